"""The same on the PostgreSQL a distribution ships: any version from 13 on will do."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.integration.test_call_path import fresh_id, post
from tests.kinds import GROUP, dial, hangup, start, talk
from tests.lab import Lab, eventually, until
from vochi_integrations.db import migrate, prepare

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
OWNER = "postgres" if os.geteuid() == 0 else None

pytestmark = pytest.mark.skipif(
    not BINARIES and not os.environ.get("CI"), reason="no PostgreSQL of the distribution in /usr/lib/postgresql"
)


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """The DSN of a cluster of our own on a socket in a temporary folder."""
    assert BINARIES, "CI installs postgresql"
    pg_ctl, data = BINARIES[-1], folder / "other"
    data.mkdir()
    if OWNER:
        shutil.chown(data, OWNER)
    run(folder, pg_ctl, "init", "-s", "-D", data, "-o", "-A trust -U postgres")
    run(folder, pg_ctl, "start", "-s", "-w", "-D", data, "-o", f"-h '' -k {data}", "-l", data / "log")
    yield f"postgresql://postgres@/postgres?host={data}"
    run(folder, pg_ctl, "stop", "-s", "-m", "immediate", "-D", data)


def run(folder: Path, *command: str | Path) -> None:
    """Run a command as PostgreSQL's own user when root runs the tests."""
    subprocess.run(command, check=True, user=OWNER, cwd=folder, stdout=subprocess.DEVNULL)


async def test_a_call_from_its_events_to_its_record(server: str, tmp_path: Path) -> None:
    await migrate(server)
    assert await migrate(server) == []
    sql = await asyncpg.connect(server)
    await prepare(sql)
    call, silent = fresh_id(1), fresh_id(2)
    async with Lab.open(server, sql, tmp_path) as lab:
        await lab.add_company()
        async with lab.daemon(calls__orphan_close_seconds=0.3) as daemon:
            await post(daemon, call, start(0), dial(1, GROUP), *talk(4, 12, "151", 1), hangup(20, ["151"], "2"))
            await post(daemon, silent, dial(0, ["161"]))
            await until(lambda: len(lab.records) == 2)
            await sql.execute("UPDATE enterprises SET active = false")

            async def seen() -> None:
                assert (await daemon.get("/integrations/0367"))[1]["integrations"] == {"retailcrm": False}

            await eventually(seen, 1.0)
            assert len((await daemon.get(f"/api/trace/0367?q={call}"))[1]["calls"]) == 1
    assert len(lab.popups) == 2
    await sql.close()
