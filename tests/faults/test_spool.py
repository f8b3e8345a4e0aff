"""The local spool while PostgreSQL is away: a crash, a torn write, no room, no right to write."""

import asyncio
import os
import resource
import sqlite3
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from tests.faults.arena import HEALTHY_WITHIN, Arena, Tenant
from tests.faults.host import bodies
from tests.faults.processes import DaemonProcess
from tests.lab import eventually

SPOOL = "spool.sqlite"
CALLS = 10
DISK_BYTES = 65_536
Damage = Callable[[Path], None]


async def test_events_spooled_by_a_killed_daemon_reach_the_crm(arena: Arena) -> None:
    tenant = await arena.add_tenant()
    daemon = await arena.started()
    begun = [arena.hosts.new_call(tenant.token) for _ in range(CALLS)]
    for call in begun:
        await arena.hosts.play(call, ring=0, talk=0, kinds=("start", "dial"))
    outage = await spool_calls(arena, tenant)
    for call in begun:
        await arena.hosts.play(call, ring=0, talk=0, kinds=("hangup",))
    killed = await daemon.kill()
    await both_come_back(arena, daemon)
    assert arena.hosts.answers.keys() == {"200"}, arena.hosts.answers
    await arena.check(forgotten=[(outage, killed)])


def truncate_journal(folder: Path) -> None:
    """Lose the end of the last commit."""
    journal = folder / f"{SPOOL}-wal"
    if journal.exists() and journal.stat().st_size:
        os.truncate(journal, journal.stat().st_size - 100)


def garbage_after_journal(folder: Path) -> None:
    """A write that was under way when the power went: what SQLite has committed is all before it."""
    with (folder / f"{SPOOL}-wal").open("ab") as journal:
        journal.write(os.urandom(5_000))


def garbage_as_journal(folder: Path) -> None:
    """All is in the main file, and its journal is rubbish."""
    connection = sqlite3.connect(folder / SPOOL)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    (folder / f"{SPOOL}-wal").write_bytes(os.urandom(5_000))


@pytest.mark.parametrize("damage", [truncate_journal, garbage_after_journal, garbage_as_journal])
async def test_a_torn_write_of_the_spool_loses_nothing_that_was_committed(arena: Arena, damage: Damage) -> None:
    """The last commit, which the truncated journal loses, holds a call's first event only."""
    tenant = await arena.add_tenant()
    daemon = await arena.started()
    outage = await spool_calls(arena, tenant)
    await arena.hosts.call(tenant.token, kinds=("start",))
    killed = await daemon.kill()
    assert (daemon.state_dir / SPOOL).exists()
    damage(daemon.state_dir)
    await both_come_back(arena, daemon)
    assert arena.hosts.answers.keys() == {"200"}, arena.hosts.answers
    await arena.check(forgotten=[(outage, killed)])


async def test_a_full_spool_is_told_to_the_hosts_and_to_health(arena: Arena) -> None:
    tenant = await arena.add_tenant()
    daemon = await arena.started(server__spool_max_mb=0.2)
    await arena.postgres.stop()
    await post_until_refused(arena, tenant)
    await says_down(arena, daemon)
    await taken_again(arena)


def small_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (DISK_BYTES, resource.RLIM_INFINITY))


def large_disk(pid: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def test_a_full_disk_is_told_to_the_hosts_and_to_health(arena: Arena) -> None:
    """Full means that no file may grow beyond a size."""
    tenant = await arena.add_tenant()
    daemon = await arena.started(preexec=small_disk)
    await arena.postgres.stop()
    await post_until_refused(arena, tenant)
    await says_down(arena, daemon)
    large_disk(daemon.pid)
    await taken_again(arena)


async def test_a_spool_that_cannot_be_opened_is_told_before_or_when_it_is_needed(arena: Arena) -> None:
    """A folder in its place: the daemon refuses to start and names it, or does without while PostgreSQL is there."""
    tenant = await arena.add_tenant()
    daemon = arena.daemon()
    (daemon.state_dir / SPOOL).mkdir(parents=True)
    code = await daemon.try_start()
    if code is not None:
        arena.notes["refuses to start"] = f"exit code {code}"
        assert code == 1
        assert SPOOL in daemon.tail
        assert "Traceback" not in daemon.tail
        return
    await arena.hosts.call(tenant.token)
    assert arena.hosts.answers.keys() == {"200"}
    await arena.postgres.stop()
    await post_until_refused(arena, tenant)
    await says_down(arena, daemon)
    await taken_again(arena)


async def spool_calls(arena: Arena, tenant: Tenant) -> float:
    """Stop PostgreSQL and make calls; return when it stopped."""
    began = asyncio.get_running_loop().time()
    await arena.postgres.stop("immediate")
    await asyncio.gather(*(arena.hosts.call(tenant.token) for _ in range(CALLS)))
    return began


async def both_come_back(arena: Arena, daemon: DaemonProcess) -> None:
    await arena.postgres.start()
    await daemon.start()
    await arena.healthy(within=HEALTHY_WITHIN)


async def post_until_refused(arena: Arena, tenant: Tenant) -> None:
    """Post large events until one is not taken; it must be a 503."""
    for number in range(500):
        call = arena.hosts.new_call(tenant.token)
        body = orjson.loads(bodies(call, tenant.token)[0]) | {"Note": f"{number:04}" * 1_000}
        if not await arena.hosts.post(call, "start", orjson.dumps(body)):
            break
    assert arena.hosts.answers.keys() <= {"200", "503"}, arena.hosts.answers
    assert arena.hosts.answers["503"] == 1


async def says_down(arena: Arena, daemon: DaemonProcess) -> None:
    async def down() -> None:
        status, said = await arena.health(daemon)
        assert (status, said["status"]) == (503, "down"), said

    await eventually(down, 2)


async def taken_again(arena: Arena) -> None:
    """PostgreSQL is back: all is well, and what was taken is stored."""
    await arena.postgres.start()
    await arena.healthy()
    taken = [call for call, known in arena.hosts.calls.items() if "start" in known.taken]

    async def stored() -> None:
        async with arena.sql() as sql:
            rows = await sql.fetch("SELECT unique_id FROM call_events WHERE event_type = 'start'")
        assert not set(taken) - {row["unique_id"] for row in rows}

    await eventually(stored, HEALTHY_WITHIN)
    await arena.check()
