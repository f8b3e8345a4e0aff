"""A tenant with a long backlog beside a quiet one."""

import asyncio
import time

import pytest

from tests.faults.arena import Arena, Tenant
from tests.faults.crm import Fault
from tests.lab import WAITING_RECORDS, eventually

pytestmark = pytest.mark.alone
BACKLOG = 10_000
CALLS = 15
RECORD_SECONDS = 2.0
GROWTH_MB = 20.0


@pytest.mark.parametrize("fault", [None, Fault.HANG], ids=["its CRM is slow", "its CRM hangs"])
async def test_a_backlog_of_ten_thousand_records_is_not_felt_by_a_quiet_tenant(
    arena: Arena, fault: Fault | None
) -> None:
    loaded, quiet = await arena.add_tenant(), await arena.add_tenant()
    daemon = await arena.started()
    alone = await quiet_calls(arena, quiet)
    usual = daemon.memory_mb
    loaded.crm.delay = 0.1
    if fault is not None:
        await loaded.crm.break_(fault)
    await queue_records(arena, loaded)
    await asyncio.sleep(1)
    beside = await quiet_calls(arena, quiet)
    arena.notes |= {"pop-ups p90": beside, "without the backlog": alone}
    assert beside <= 1.5 * alone + 0.020
    assert daemon.memory_mb < usual + GROWTH_MB
    if fault is not None:
        await loaded.crm.mend()
        loaded.crm.delay = 0
    arena.notes["the backlog is in after"] = await backlog_is_in(arena)
    arena.notes["memory"] = f"{daemon.memory_mb - usual:+.1f} MB"
    assert daemon.memory_mb < usual + GROWTH_MB
    await arena.check()


async def quiet_calls(arena: Arena, tenant: Tenant) -> float:
    """Make calls one after another; each record comes in time. Return nine tenths of the pop-ups' seconds."""
    calls = [await arena.hosts.call(tenant.token, ring=0.1, talk=0.1) for _ in range(CALLS)]
    await arena.all_in(RECORD_SECONDS)
    late = [arena.ledger.taken(call, "record")[0].at - arena.hosts.calls[call].taken["hangup"] for call in calls]
    assert max(late) <= RECORD_SECONDS
    seconds = arena.popup_seconds(calls)
    assert len(seconds) == CALLS
    return seconds[int(CALLS * 0.9)]


async def queue_records(arena: Arena, tenant: Tenant) -> None:
    """What a daemon that is gone has left behind."""
    async with arena.sql() as sql:
        await sql.execute(WAITING_RECORDS, tenant.number, BACKLOG)


async def backlog_is_in(arena: Arena) -> float:
    """Wait for it; return how many seconds it took."""
    began = time.monotonic()

    def all_in() -> None:
        missing = BACKLOG - sum(call.startswith("old.") for call in arena.ledger.records())
        assert not missing, f"{missing} missing after {time.monotonic() - began:.0f} s"

    await eventually(all_in, 40)
    return time.monotonic() - began
