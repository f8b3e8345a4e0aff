"""Fixtures: a real PostgreSQL for the session, emptied for each test; a lab with the emulator and the daemon."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.lab import Lab
from vochi_integrations import embedded
from vochi_integrations.db import migrate, prepare

TABLES = (
    "enterprises users user_internal_phones user_sessions sessions gsm_lines sip_unit integration_logs shops shop_lines"
    " shop_sip_lines call_events open_calls integration_deliveries click_calls integration_config_versions admin_links"
    " admin_sessions host_hours alert_states"
).split()


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's own user can reach when root runs the tests."""
    with tempfile.TemporaryDirectory(prefix="vochi-tests-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session", autouse=True)
def _cache(folder: Path) -> Iterator[None]:
    """A folder for what daemons compile, as systemd gives them one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CACHE_DIRECTORY", str(folder))
        yield


@pytest.fixture(scope="session")
def server(folder: Path) -> Iterator[str]:
    """The DSN of a running server: `VOCHI_TEST_DSN`, else the embedded one."""
    given = os.environ.get("VOCHI_TEST_DSN")
    if given:
        yield given
        return
    with embedded.running(folder) as dsn:
        yield dsn


@pytest.fixture
async def dsn(server: str) -> str:
    """An up-to-date database without rows."""
    await migrate(server)
    await emptied(server)
    return server


async def emptied(dsn: str) -> None:
    """Truncate the tables that have rows: an empty one takes as long as a full one."""
    filled = " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT FROM {table})" for table in TABLES)  # noqa: S608 - our own names
    connection = await asyncpg.connect(dsn)
    try:
        if names := [row[0] for row in await connection.fetch(filled)]:
            await connection.execute(f"TRUNCATE {', '.join(names)} RESTART IDENTITY CASCADE")
    finally:
        connection.terminate()


@pytest.fixture
async def sql(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection such as an operator's psql."""
    connection = await asyncpg.connect(dsn)
    await prepare(connection)
    yield connection
    await connection.close()


@pytest.fixture
async def lab(dsn: str, sql: asyncpg.Connection, tmp_path: Path) -> AsyncIterator[Lab]:
    """The emulator with an account, and what is needed to run daemons against it."""
    async with Lab.open(dsn, sql, tmp_path) as opened:
        yield opened
