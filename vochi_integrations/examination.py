"""The command `doctor`: the same checks as the page, for when there may be no daemon to ask."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import asyncpg
import msgspec
import orjson

from vochi_integrations import db
from vochi_integrations.app import client_session, database_of
from vochi_integrations.db import UNAVAILABLE, Database
from vochi_integrations.domain import Enterprise
from vochi_integrations.errors import StartupError
from vochi_integrations.integrations import create_integrations, read_configs
from vochi_integrations.integrations.base import Integration
from vochi_integrations.integrations.findings import Finding
from vochi_integrations.ops.bundle import bundle
from vochi_integrations.ops.doctor import checks, is_well, lines, unopened
from vochi_integrations.ops.patient import Live, Patient
from vochi_integrations.ops.pbx_checks import pbx_checks
from vochi_integrations.pbx.control import PbxControl
from vochi_integrations.pbx.ssh import SshHosts
from vochi_integrations.settings import Settings
from vochi_integrations.snapshot import SnapshotStore

ASK = aiohttp.ClientTimeout(total=3.0)


async def doctor(settings: Settings, number: str | None, *, as_json: bool, archive: Path | None) -> int:
    """Print what is well and what is not; return 0, or 1 when something is red. `archive` gets the support bundle."""
    async with (
        client_session(settings.crm) as session,
        _opened(settings) as (database, refused),
        _hosts(settings) as hosts,
    ):
        integrations = create_integrations(settings, session)
        stats = await _asked(settings, "stats")
        patient = Patient(
            settings=settings,
            database=database,
            integrations=integrations,
            enterprises=await _enterprises(settings, database, integrations),
            live=lambda: _live(settings, stats),
        )
        more = pbx_checks(PbxControl(settings.asterisk, hosts))
        findings = [*refused, *await checks(patient, number, more)]
        if archive is not None:
            data = await bundle(patient, number, stats=stats, more=more)
            await asyncio.to_thread(archive.write_bytes, data)
    _print(findings, as_json=as_json)
    return 0 if is_well(findings) else 1


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Database | None, Sequence[Finding]]]:
    """Yield the database, or None and the finding that says why it cannot be opened."""
    async with AsyncExitStack() as stack:
        database, refused = None, []
        try:
            database = await stack.enter_async_context(_database(settings))
        except StartupError as error:
            refused = [unopened(error)]
        yield database, refused


@asynccontextmanager
async def _hosts(settings: Settings) -> AsyncIterator[SshHosts]:
    hosts = SshHosts(settings.asterisk)
    try:
        yield hosts
    finally:
        await hosts.close()


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    """Open the configured database as it is: nothing is migrated."""
    async with database_of(settings) as dsn, db.connected(dsn) as database:
        yield database


async def _enterprises(
    settings: Settings, database: Database | None, integrations: Mapping[str, Integration]
) -> Mapping[str, Enterprise]:
    """Read all enterprises as the daemon does; none when its tables are not there."""
    if database is None:
        return {}
    zone = ZoneInfo(settings.retailcrm.timezone)
    store = SnapshotStore(database, settings.cache, zone, lambda config: read_configs(integrations, config))
    try:
        await store.load_all()
    except (*UNAVAILABLE, asyncpg.PostgresError):
        return {}
    return store.current.by_number


async def _live(settings: Settings, stats: Mapping[str, Any]) -> Live | None:
    health = await _asked(settings, "health")
    if not health:
        return None
    cache = stats.get("cache_stats", {})
    return Live(
        status=str(health.get("status")),
        reasons=health.get("reasons", []),
        listening=cache.get("listening") is True,
        spooled=stats.get("spooled", 0),
        alerts=[alert["text"] for alert in stats.get("alerts", []) if not alert["enterprise"]],
    )


async def _asked(settings: Settings, path: str) -> Mapping[str, Any]:
    """Ask the running daemon; return nothing when there is none."""
    server = settings.server
    host = "127.0.0.1" if server.internal_host in ("0.0.0.0", "::", "") else server.internal_host  # noqa: S104
    try:
        async with (
            aiohttp.ClientSession(timeout=ASK) as session,
            session.get(f"http://{host}:{server.internal_port}/{path}") as response,
        ):
            answer = orjson.loads(await response.read())
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _print(findings: Sequence[Finding], *, as_json: bool) -> None:
    if as_json:
        print(orjson.dumps([msgspec.to_builtins(finding) for finding in findings]).decode())  # noqa: T201
        return
    print("\n".join(lines(findings, colours=sys.stdout.isatty())))  # noqa: T201
    red = sum(finding.verdict == "bad" for finding in findings)
    print(f"Красных: {red}." if red else "Всё в порядке.")  # noqa: T201
