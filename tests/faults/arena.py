"""A test's whole world: a database, tenants with a CRM each, hosts, and daemons in processes."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from msgspec import Struct

from tests.faults.crm import FakeCrm
from tests.faults.host import Hosts
from tests.faults.ledger import Judgement, Ledger
from tests.faults.postgres import PrivatePostgres
from tests.faults.processes import DaemonProcess
from tests.faults.table import Figure, answered, judged
from tests.lab import eventually
from vochi_integrations.db import prepare

EXTENSIONS = ["150", "151", "152"]
POPUP_TTL = 6.0
SHUTDOWN_SECONDS = 2.0
HEALTHY_WITHIN = 5.0
PROMPT = 1.0
QUICK = {
    "server__shutdown_seconds": SHUTDOWN_SECONDS,
    "delivery__timeout": 0.5,
    "delivery__popup_ttl": POPUP_TTL,
    "delivery__retry_base": 0.1,
    "delivery__lease": 2,
    "cache__heartbeat": 0.5,
    "breaker__failures": 3,
    "breaker__open_seconds": 0.5,
}


class Tenant(Struct, frozen=True):
    number: str
    token: str
    crm: FakeCrm

    def config(self, **changed: object) -> dict[str, object]:
        """The tenant's `integrations_config`."""
        users = {str(user): extension for user, extension in enumerate(EXTENSIONS, 1)}
        mine = {"enabled": True, "domain": self.crm.url, "api_key": self.crm.api_key, "user_extensions": users}
        return {"retailcrm": mine | changed}


class Arena:
    """Daemons are ended when it closes; `tenants` are served by all of them, each by the next one when one is gone.

    `notes` is what a test measures beside what the ledger knows.
    """

    def __init__(self, postgres: PrivatePostgres, folder: Path, session: aiohttp.ClientSession) -> None:
        self.postgres = postgres
        self.folder = folder
        self.session = session
        self.ledger = Ledger()
        self.tenants: list[Tenant] = []
        self.daemons: list[DaemonProcess] = []
        self.hosts = Hosts(session, self._addresses)
        self.notes: dict[str, Figure] = {}
        self._terms: dict[str, Any] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, postgres: PrivatePostgres, folder: Path) -> AsyncIterator["Arena"]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            arena = cls(postgres, folder, session)
            try:
                yield arena
            finally:
                await asyncio.gather(*(daemon.close() for daemon in arena.daemons))
                await asyncio.gather(*(tenant.crm.close() for tenant in arena.tenants))

    def _addresses(self, token: str) -> Sequence[str]:
        """The daemons in the order in which a balancer that hashes by token tries them."""
        ready = [daemon.public for daemon in self.daemons if daemon.public]
        first = int(token) % len(ready) if ready else 0
        return ready[first:] + ready[:first]

    async def add_tenant(self, crm: FakeCrm | None = None) -> Tenant:
        number = f"{1000 + len(self.tenants)}"
        crm = crm or FakeCrm(self.ledger, f"key-{number}")
        await crm.open()
        tenant = Tenant(number, f"37529{number}", crm)
        self.tenants.append(tenant)
        async with self.sql() as sql:
            await sql.execute(
                "INSERT INTO enterprises(number, name, name2, secret, integrations_config)"
                " VALUES ($1, 'Company ' || $1, $2, 'secret-' || $1, $3)",
                *(number, tenant.token, tenant.config()),
            )
            await sql.execute(
                "INSERT INTO user_internal_phones(phone_number, enterprise_number) SELECT unnest($1::text[]), $2",
                *(EXTENSIONS, number),
            )
        return tenant

    async def configure(self, tenant: Tenant, **changed: object) -> None:
        """Change a tenant's configuration as psql does."""
        async with self.sql() as sql:
            await sql.execute(
                "UPDATE enterprises SET integrations_config = $2 WHERE number = $1",
                *(tenant.number, tenant.config(**changed)),
            )

    @asynccontextmanager
    async def sql(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.postgres.dsn, timeout=5)
        try:
            await prepare(connection)
            yield connection
        finally:
            connection.terminate()

    def daemon(
        self,
        name: str = "one",
        preexec: Callable[[], None] | None = None,
        environ: dict[str, str] | None = None,
        **keys: object,
    ) -> DaemonProcess:
        """Prepare a daemon; a name is a state folder. `keys` are settings: `delivery__lease=2`."""
        values = {
            "database__dsn": self.postgres.dsn,
            "server__state_dir": self.folder / name,
            "server__public_port": 0,
            "server__internal_port": 0,
            "crm__allow_insecure_urls": "true",
            "logging__format": "json",
            **QUICK,
            **keys,
        }
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("VOCHI_")}
        settings = {f"VOCHI_{key.upper()}": str(value) for key, value in values.items()}
        daemon = DaemonProcess(name, inherited | settings | (environ or {}), preexec)
        self.daemons.append(daemon)
        return daemon

    async def started(self, name: str = "one", **options: Any) -> DaemonProcess:
        daemon = self.daemon(name, **options)
        await daemon.start()
        return daemon

    async def health(self, daemon: DaemonProcess) -> tuple[int, dict[str, Any]]:
        assert daemon.is_running, f"{daemon.name} has ended by itself"
        timeout = aiohttp.ClientTimeout(total=2)
        async with self.session.get(f"{daemon.public}/health", timeout=timeout) as response:
            return response.status, await response.json()

    async def healthy(self, tenants: Sequence[Tenant] = (), within: float = HEALTHY_WITHIN) -> None:
        """Every daemon says ok, and a call at every tenant pops up promptly, within the bar for recovery."""
        began = time.monotonic()
        deadline = began + within

        async def all_ok() -> None:
            for daemon in self.daemons:
                if daemon.wanted:
                    status, said = await self.health(daemon)
                    assert (status, said["status"]) == (200, "ok"), f"{daemon.name} says {said}"

        await eventually(all_ok, within)
        await asyncio.gather(*(self._pops_up(tenant, deadline) for tenant in tenants or self.tenants))
        self.notes["well after"] = time.monotonic() - began

    async def _pops_up(self, tenant: Tenant, deadline: float) -> None:
        while True:
            call = await self.hosts.call(tenant.token, ring=0.0, talk=0.0, kinds=("start", "dial"))
            try:
                await self.shown(call, PROMPT)
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
            else:
                return
            finally:
                await self.hosts.play(call, ring=0.0, talk=0.0, kinds=("hangup",))

    async def shown(self, call: str, within: float) -> None:
        def taken() -> None:
            assert self.ledger.taken(call, "popup"), f"no pop-up of {call}; the hosts got {self.hosts.answers}"

        await eventually(taken, within)

    def popup_seconds(self, calls: Collection[str]) -> list[float]:
        """From a dial's sending to its pop-up, for the calls that had one, in ascending order."""
        shown = ((call, self.ledger.of(call, "popup")) for call in calls)
        return sorted(popups[0].at - self.hosts.calls[call].sent["dial"] for call, popups in shown if popups)

    async def all_in(self, within: float = 20.0, refused: Collection[str] = ()) -> None:
        """Wait until every acknowledged call has its record."""

        def nothing_missing() -> None:
            assert not self.judge(refused=refused).lost

        await eventually(nothing_missing, within)

    def judge(self, **options: Any) -> Judgement:
        return self.ledger.judge(self.hosts.calls, popup_ttl=POPUP_TTL, **options)

    async def settled(self, within: float = 10.0) -> None:
        """Wait until no delivery waits in the table."""

        async def nothing_waits() -> None:
            async with self.sql() as sql:
                waiting = await sql.fetch(
                    "SELECT id, kind, status, reason, attempts, locked_by FROM integration_deliveries"
                    " WHERE status IN ('pending', 'sending') LIMIT 5"
                )
            assert not waiting

        await eventually(nothing_waits, within)

    async def check(self, *, within: float = 20.0, refused: Collection[str] = (), **options: Any) -> None:
        """All records are in, and nothing at all is wrong with what came."""
        self._terms = {"refused": refused, **options}
        began = time.monotonic()
        await self.all_in(within, refused)
        self.notes["records after"] = time.monotonic() - began
        await self.settled()
        assert self.judge(**self._terms) == Judgement()

    def figures(self) -> dict[str, Figure]:
        """Return what the table of faults says of this test; the judgement on the terms of its `check`."""
        found: dict[str, Figure] = {}
        if self.hosts.calls:
            found |= answered(len(self.hosts.calls), self.hosts.answers)
        if self._terms is not None:
            found |= judged(self.judge(**self._terms)) | {"sent again": self.ledger.sent_again()}
        stops = [seconds for daemon in self.daemons for seconds in daemon.stops]
        return found | self.notes | ({"SIGTERM to exit": max(stops)} if stops else {})
