"""SIGTERM: an orderly end in bounded time, nothing lost."""

import asyncio
import time

from tests.faults.arena import SHUTDOWN_SECONDS, Arena
from tests.faults.crm import Fault
from tests.faults.test_backlog import backlog_is_in, queue_records
from tests.lab import until

BOUND = SHUTDOWN_SECONDS + 2
BEGUN_BEFORE = 0.3
HELD = "SELECT count(*) FROM integration_deliveries WHERE locked_by IS NOT NULL"


async def test_sigterm_under_load_ends_in_time_and_loses_nothing(arena: Arena) -> None:
    tenants = [await arena.add_tenant() for _ in range(2)]
    tenants[0].crm.delay = 0.2
    daemon = await arena.started()
    async with arena.hosts.calling([tenant.token for tenant in tenants], 30):
        for _ in range(3):
            await asyncio.sleep(0.7)
            assert await daemon.stop(BOUND) == 0
            await daemon.start()
        await arena.healthy()
    await arena.check()
    assert not daemon.said("background task died")


async def test_sigterm_while_a_crm_hangs_ends_in_time_and_loses_nothing(arena: Arena) -> None:
    tenant = await arena.add_tenant()
    daemon = await arena.started(delivery__timeout=10)
    await tenant.crm.break_(Fault.HANG)
    for _ in range(5):
        await arena.hosts.call(tenant.token)
    assert await daemon.stop(BOUND) == 0
    await tenant.crm.mend()
    await daemon.start()
    await arena.healthy()
    await arena.check()


async def test_sigterm_begins_no_upload_ends_with_those_that_run_and_leaves_the_rest_to_anybody(arena: Arena) -> None:
    """Ten thousand records wait, and a request takes most of the shutdown's time: begun later it would be cut."""
    tenant = await arena.add_tenant()
    daemon = await arena.started(delivery__timeout=5)
    tenant.crm.delay = 0.75 * SHUTDOWN_SECONDS
    await queue_records(arena, tenant)
    await until(lambda: tenant.crm.requests)
    await asyncio.sleep(tenant.crm.delay)
    signalled = time.monotonic()
    assert await daemon.stop(BOUND) == 0
    assert time.monotonic() - signalled < SHUTDOWN_SECONDS + BEGUN_BEFORE
    assert not tenant.crm.requests_since(signalled + BEGUN_BEFORE)
    async with arena.sql() as sql:
        assert await sql.fetchval(HELD) == 0
    tenant.crm.delay = 0
    await daemon.start()
    await backlog_is_in(arena)
    assert not arena.ledger.sent_again()
    await arena.check()


async def test_sigterm_while_postgresql_is_away_ends_in_time_and_loses_nothing(arena: Arena) -> None:
    tenant = await arena.add_tenant()
    daemon = await arena.started()
    async with arena.hosts.calling([tenant.token], 10):
        await asyncio.sleep(0.5)
        stopped = asyncio.get_running_loop().time()
        await arena.postgres.stop("immediate")
        await asyncio.sleep(1.5)
        assert await daemon.stop(BOUND) == 0
        ended = asyncio.get_running_loop().time()
        await arena.postgres.start()
        await daemon.start()
        await arena.healthy()
    await arena.check(forgotten=[(stopped - 1, ended)])


async def test_sigterm_while_postgresql_is_frozen_ends_in_time_and_loses_nothing(arena: Arena) -> None:
    tenant = await arena.add_tenant()
    daemon = await arena.started()
    async with arena.hosts.calling([tenant.token], 10):
        await asyncio.sleep(0.5)
        began = asyncio.get_running_loop().time()
        with arena.postgres.frozen():
            await asyncio.sleep(0.5)
            assert await daemon.stop(BOUND) == 0
            ended = asyncio.get_running_loop().time()
        await daemon.start()
        await arena.healthy()
    await arena.check(forgotten=[(began - 1, ended)])
