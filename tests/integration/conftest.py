"""Fixtures of the daemon's surroundings."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.ssh_host import SshHost, ssh_host


@pytest.fixture
async def pbx(tmp_path: Path) -> AsyncIterator[SshHost]:
    """A PBX that lets us in."""
    async with ssh_host(tmp_path) as found:
        yield found


@pytest.fixture
async def empty(server: str) -> AsyncIterator[str]:
    """The DSN of a database with nothing in it."""
    connection = await asyncpg.connect(server)
    await connection.execute("DROP DATABASE IF EXISTS vochi_empty WITH (FORCE)")
    await connection.execute("CREATE DATABASE vochi_empty")
    yield urlunsplit(urlsplit(server)._replace(path="/vochi_empty"))
    await connection.execute("DROP DATABASE vochi_empty WITH (FORCE)")
    await connection.close()
