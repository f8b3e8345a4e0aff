"""Fixtures of the daemon's surroundings."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.ssh_host import SshHost, ssh_host


@pytest.fixture
async def pbx(tmp_path: Path) -> AsyncIterator[SshHost]:
    """A PBX that lets us in."""
    async with ssh_host(tmp_path) as found:
        yield found
