"""The lab: an emulated CRM, companies in a real database, daemons on real ports."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import msgspec

from tests.kinds import EXTENSIONS, OWNER_OF_M, M
from vochi_integrations.demo.sequences import Sequence, moved
from vochi_integrations.emulators.retailcrm import CRM, Account, Crm, User, create_app
from vochi_integrations.emulators.run import connected_account
from vochi_integrations.serve import listening, running
from vochi_integrations.settings import Settings, load

NUMBER = "0367"
TOKEN = "375290000000"
API_KEY = "test-key-0001"
CODES = {extension: 1000 + index for index, extension in enumerate(EXTENSIONS)}
WITHIN = 5.0
# What a daemon that is gone has left behind: $2 records of enterprise $1.
WAITING_RECORDS = """
    INSERT INTO integration_deliveries(
        enterprise_number, integration_type, call_external_id, kind, dedupe_key, class, payload, status,
        event_at, deadline_at
    )
    SELECT $1, 'retailcrm', 'old.' || n, 'record', '', 'history',
           jsonb_build_object('externalId', 'old.' || n, 'date', '2025-09-14 12:00:00', 'type', 'in',
                              'phone', '375290000001', 'result', 'answered', 'duration', 7, 'durationWaiting', 2),
           'pending', now(), now() + interval '1 day'
    FROM generate_series(1, $2) n
"""

Check = Callable[[], Any] | Callable[[], Awaitable[Any]]


async def eventually(check: Check, within: float = WITHIN) -> Any:
    """Repeat an assertion until it holds; its last failure is the test's."""
    deadline = time.monotonic() + within
    while True:
        try:
            result = check()
            return await result if inspect.isawaitable(result) else result
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.01)


async def until(found: Callable[[], Any], within: float = WITHIN) -> Any:
    """Wait until something is there, and return it."""

    def check() -> Any:
        result = found()
        assert result, "it never came"
        return result

    return await eventually(check, within)


class DaemonUnderTest:
    """A daemon on real ports, and a host that posts to it."""

    def __init__(self, session: aiohttp.ClientSession, public: int, internal: int) -> None:
        self.session = session
        self.public = f"http://127.0.0.1:{public}"
        self.internal = f"http://127.0.0.1:{internal}"

    async def post(self, kind: str, body: Mapping[str, Any], token: str = TOKEN) -> None:
        """Post an event as a host does; it must be taken."""
        async with self.session.post(f"{self.public}/{kind}", json={"Token": token, **body}) as response:
            assert (response.status, await response.text()) == (200, '{"status":"ok"}')

    async def send(self, method: str, url: str, **options: Any) -> tuple[int, Any]:
        """Make any request; return its status and its JSON, or its text."""
        async with self.session.request(method, url, **options) as response:
            text = await response.text()
            return response.status, msgspec.json.decode(text) if "json" in response.content_type else text

    async def get(self, path: str) -> tuple[int, Any]:
        return await self.send("GET", self.internal + path)

    async def play(self, sequence: Sequence, *, run: int = 1, seconds: float = 0.0, token: str = TOKEN) -> Sequence:
        """Post a recorded call as if it began now, as fast as it goes; return it as it was played."""
        scale = seconds / sequence.seconds if seconds else 1.0
        call = moved(sequence, run=run, began_at=int(time.time()), scale=scale)
        for _, kind, body in call.events:
            await self.post(kind, body, token)
        return call


class Lab:
    """One emulated RetailCRM for all companies of a test, each with an account of its own if it wants."""

    def __init__(self, dsn: str, sql: asyncpg.Connection, folder: Path, session: aiohttp.ClientSession) -> None:
        self.dsn = dsn
        self.sql = sql
        self.folder = folder
        self.session = session
        self.crm_url = ""
        self.app = create_app([self._account(API_KEY, "June")])

    @classmethod
    @asynccontextmanager
    async def open(cls, dsn: str, sql: asyncpg.Connection, folder: Path) -> AsyncIterator["Lab"]:
        async with aiohttp.ClientSession() as session:
            lab = cls(dsn, sql, folder, session)
            async with listening(lab.app, "127.0.0.1", 0, "emulator", 0.5) as port:
                lab.crm_url = f"http://127.0.0.1:{port}"
                yield lab

    @staticmethod
    def _account(api_key: str, name: str) -> Account:
        users = [User(user, f"Имя{user}", f"Фамилия{user}") for user in CODES.values()]
        return connected_account(Account(api_key, name, users=users), CODES)

    @property
    def crm(self) -> Crm:
        return self.app[CRM]

    @property
    def account(self) -> Account:
        return self.crm.accounts[API_KEY]

    def events(self, *types: str) -> list[dict[str, Any]]:
        """The `call/event` requests so far, of some types or all."""
        return [item.event for item in self.account.events if not types or item.event["type"] in types]

    @property
    def popups(self) -> list[dict[str, Any]]:
        return self.events("in", "out")

    @property
    def records(self) -> list[dict[str, Any]]:
        return [call.call for call in self.account.calls.values()]

    async def add_company(
        self,
        number: str = NUMBER,
        token: str = TOKEN,
        extensions: Iterable[str] = EXTENSIONS,
        **retailcrm: object,
    ) -> None:
        """Insert a company, its extensions and its RetailCRM configuration."""
        config = {
            "enabled": True,
            "domain": self.crm_url,
            "api_key": API_KEY,
            "user_extensions": {str(user): code for code, user in CODES.items()},
            **retailcrm,
        }
        await self.sql.execute(
            "INSERT INTO enterprises(number, name, name2, secret, ip, active, integrations_config)"
            " VALUES ($1, $2, $3, $4, '127.0.0.1', true, $5)",
            *(number, f"Company {number}", token, f"secret-{number}", {"retailcrm": config}),
        )
        await self.sql.executemany(
            "INSERT INTO user_internal_phones(phone_number, enterprise_number) VALUES ($1, $2)",
            [(extension, number) for extension in extensions],
        )

    async def give_mobile(self, extension: str = OWNER_OF_M) -> None:
        """Let the manager's mobile of the recorded calls belong to an extension."""
        user = await self.sql.fetchval(
            "INSERT INTO users(enterprise_number, personal_phone) VALUES ($1, $2) RETURNING id", NUMBER, f"+{M}"
        )
        await self.sql.execute("UPDATE user_internal_phones SET user_id = $1 WHERE phone_number = $2", user, extension)

    def settings(self, name: str = "state", **overrides: object) -> Settings:
        """Settings as the environment gives them: `delivery__timeout=0.3` is `delivery.timeout`."""
        values = {
            "database__dsn": self.dsn,
            "server__state_dir": str(self.folder / name),
            "server__public_port": 0,
            "server__internal_port": 0,
            "server__shutdown_seconds": 1,
            "crm__allow_insecure_urls": "true",
            **overrides,
        }
        return load(None, {f"VOCHI_{key.upper()}": str(value) for key, value in values.items()})

    @asynccontextmanager
    async def daemon(self, name: str = "state", **overrides: object) -> AsyncIterator[DaemonUnderTest]:
        """Run a daemon in this process; `name` is its state folder, so two names are two daemons."""
        async with AsyncExitStack() as stack:
            _, public, internal = await stack.enter_async_context(running(self.settings(name, **overrides)))
            yield DaemonUnderTest(self.session, public, internal)

    async def deliveries(self, **where: object) -> list[dict[str, Any]]:
        """Rows of `integration_deliveries`, in the order they were made."""
        rows = await self.sql.fetch("SELECT * FROM integration_deliveries ORDER BY id")
        return [dict(row) for row in rows if all(row[name] == value for name, value in where.items())]

    async def reasons(self) -> list[tuple[str, str | None]]:
        """Each stored event with its reason."""
        rows = await self.sql.fetch("SELECT event_type, reason FROM call_events ORDER BY id, event_sequence")
        return [(row["event_type"], row["reason"]) for row in rows]
