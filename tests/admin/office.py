"""An administrator's requests to a daemon, and a company that is not connected yet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.lab import NUMBER, DaemonUnderTest, Lab

PUBLIC_URL = "https://bot.example.com"
KEY = "key-of-the-administrator-4321"
EXTENSIONS = ("150", "151", "152", "153")
MODULE = "vochi-telephony"

Answer = tuple[int, Any]


class Office:
    """Calls the API of the internal listener for one enterprise."""

    def __init__(self, lab: Lab, daemon: DaemonUnderTest, number: str) -> None:
        self.lab = lab
        self.daemon = daemon
        self.number = number

    async def get(self, name: str, **options: Any) -> Answer:
        return await self.call("GET", name, **options)

    async def post(self, name: str, body: object = None, **options: Any) -> Answer:
        return await self.call("POST", name, **({} if body is None else {"json": body}), **options)

    async def call(self, method: str, name: str, **options: Any) -> Answer:
        """Ask `/api/{name}/{number}`; a name with `{n}` in it says itself where the number stands."""
        path = name.format(n=self.number) if "{n}" in name else f"{name}/{self.number}"
        return await self.daemon.send(method, f"{self.daemon.internal}/api/{path}", **options)

    async def stored(self) -> dict[str, Any]:
        value = await self.lab.sql.fetchval(
            "SELECT integrations_config FROM enterprises WHERE number = $1", self.number
        )
        config: dict[str, Any] = (value or {}).get("retailcrm") or {}
        return config

    async def logs(self) -> list[tuple[str, str]]:
        rows = await self.lab.sql.fetch("SELECT event_type, status FROM integration_logs ORDER BY id")
        return [(row["event_type"], row["status"]) for row in rows]

    @property
    def module(self) -> dict[str, Any]:
        return self.lab.account.modules[MODULE]

    @property
    def codes(self) -> dict[int, str]:
        """The extensions the CRM has, by user."""
        return {user: code for code, user in self.lab.account.codes.items()}


@asynccontextmanager
async def office(lab: Lab, number: str = NUMBER, name: str = "state", **settings: object) -> AsyncIterator[Office]:
    async with lab.daemon(name, server__public_url=PUBLIC_URL, **settings) as daemon:
        yield Office(lab, daemon, number)


async def add_bare_company(lab: Lab, number: str = NUMBER, **config: object) -> None:
    """Insert a company with extensions and no CRM, or with what is given of its configuration."""
    whole = {"retailcrm": config} if config else {}
    await lab.sql.execute(
        "INSERT INTO enterprises(number, name, name2, secret, integrations_config) VALUES ($1, 'June', $2, $3, $4)",
        *(number, f"token-{number}", f"secret-{number}", whole),
    )
    await lab.sql.executemany(
        "INSERT INTO user_internal_phones(phone_number, enterprise_number) VALUES ($1, $2)",
        [(extension, number) for extension in EXTENSIONS],
    )
