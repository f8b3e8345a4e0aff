from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.pbx.server import SshPbx, ssh_pbx


@pytest.fixture
async def pbx(tmp_path: Path) -> AsyncIterator[SshPbx]:
    async with ssh_pbx(tmp_path) as running:
        yield running
