"""Fixtures: a PostgreSQL for the module, put right before each test; an arena over it."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.conftest import TABLES
from tests.faults.arena import Arena
from tests.faults.postgres import PrivatePostgres
from vochi_integrations.db import migrate


@pytest.fixture(scope="module")
def server_of_module() -> Iterator[PrivatePostgres]:
    with (
        tempfile.TemporaryDirectory(prefix="vochi-faults-", ignore_cleanup_errors=True) as folder,
        PrivatePostgres.running(Path(folder)) as server,
    ):
        yield server


@pytest.fixture
async def postgres(server_of_module: PrivatePostgres) -> PrivatePostgres:
    """A running server with an up-to-date database without rows."""
    await ready(server_of_module)
    return server_of_module


async def ready(server: PrivatePostgres) -> None:
    server.thaw()
    await server.start()
    await migrate(server.dsn)
    connection = await asyncpg.connect(server.dsn)
    await connection.execute(f"TRUNCATE {TABLES} RESTART IDENTITY CASCADE")
    connection.terminate()


@pytest.fixture
async def arena(postgres: PrivatePostgres, tmp_path: Path) -> AsyncIterator[Arena]:
    async with Arena.open(postgres, tmp_path) as opened:
        yield opened
