"""Two and three daemons on one database, one of them killed or frozen: the others go on, and nothing happens twice."""

import asyncio
import time

import pytest

from tests.faults.arena import HEALTHY_WITHIN, Arena
from tests.faults.postgres import frozen

RATE = 20.0
FROZEN_SECONDS = 5.0
NAMES = ("one", "two", "three")


@pytest.mark.parametrize("count", [2, 3])
async def test_what_a_killed_daemon_held_is_done_by_another(arena: Arena, count: int) -> None:
    tenants = [await arena.add_tenant() for _ in range(3)]
    for name in NAMES[:count]:
        await arena.started(name)
    victim = arena.daemons[0]
    for tenant in tenants:
        tenant.crm.delay = 0.1
    async with arena.hosts.calling([tenant.token for tenant in tenants], RATE):
        await asyncio.sleep(1.5)
        killed = await victim.kill()
        await arena.healthy(within=HEALTHY_WITHIN)
    await arena.check(forgotten=[(killed - 1, killed + 0.5)])


@pytest.mark.parametrize("count", [2, 3])
async def test_a_frozen_daemon_that_comes_back_does_nothing_twice(arena: Arena, count: int) -> None:
    """Its leases expire; another takes over; when it wakes, what it held is no longer its own."""
    tenants = [await arena.add_tenant() for _ in range(3)]
    for name in NAMES[:count]:
        await arena.started(name)
    victim = arena.daemons[0]
    for tenant in tenants:
        tenant.crm.delay = 0.1
    async with arena.hosts.calling([tenant.token for tenant in tenants], RATE):
        await asyncio.sleep(1.5)
        stopped = time.monotonic()
        with frozen([victim.pid]):
            await asyncio.sleep(FROZEN_SECONDS)
        await arena.healthy(within=HEALTHY_WITHIN)
    await arena.check(forgotten=[(stopped - 1, stopped + 0.3)])
    assert victim.is_running


async def test_records_waiting_in_a_killed_daemon_are_sent_when_its_lease_ends(arena: Arena) -> None:
    """The other daemon hears nothing of these calls; it finds them in the table."""
    tenant = await arena.add_tenant()
    first, second = await arena.started("one"), arena.daemon("two")
    tenant.crm.delay = 0.4
    await asyncio.gather(*(arena.hosts.call(tenant.token, ring=0, talk=0) for _ in range(20)))
    killed = await first.kill()
    await second.start()
    await arena.check(within=HEALTHY_WITHIN, forgotten=[(killed - 1, killed + 0.5)])
