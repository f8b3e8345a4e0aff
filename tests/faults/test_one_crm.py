"""One broken CRM, looked at closely."""

import asyncio

import pytest

from tests.faults.arena import HEALTHY_WITHIN, Arena
from tests.faults.crm import Fault
from tests.lab import eventually

PROBE_SECONDS = 1.0


@pytest.mark.parametrize("fault", [Fault.ERROR_500, Fault.RETRY_429, Fault.HANG])
async def test_a_pop_up_that_failed_is_not_tried_again_when_its_call_is_over(arena: Arena, fault: Fault) -> None:
    """Its next try is due after the end."""
    tenant = await arena.add_tenant()
    await arena.started(delivery__retry_base=2.0, delivery__timeout=0.3, breaker__failures=50)
    await tenant.crm.break_(fault)
    call = await arena.hosts.call(tenant.token, ring=0.5, talk=0.2)
    tried = len(arena.ledger.of(call, "popup"))
    await asyncio.sleep(2.5)
    assert tried == 1
    assert len(arena.ledger.of(call, "popup")) == tried
    await tenant.crm.mend()
    await arena.check(within=HEALTHY_WITHIN)


async def test_a_key_that_is_good_again_is_found_by_a_probe(arena: Arena) -> None:
    """Nobody changes anything here; meanwhile hardly a request is made, and the records wait."""
    tenant = await arena.add_tenant()
    await arena.started(breaker__refused_seconds=PROBE_SECONDS)
    await tenant.crm.break_(Fault.WRONG_KEY)
    async with arena.hosts.calling([tenant.token], 10):
        await asyncio.sleep(3 * PROBE_SECONDS)
        arena.notes["requests meanwhile"] = len(tenant.crm.requests)
        assert 1 <= len(tenant.crm.requests) <= 10
    await tenant.crm.mend()
    await arena.healthy()
    await arena.check(within=HEALTHY_WITHIN)


async def test_a_config_change_ends_the_pause_of_a_refused_key_at_once(arena: Arena) -> None:
    """The change itself may take a second to be seen: a first call may still come too early."""
    tenant = await arena.add_tenant()
    await arena.started(breaker__refused_seconds=600)
    await tenant.crm.break_(Fault.WRONG_KEY)
    for _ in range(3):
        await arena.hosts.call(tenant.token)
    await tenant.crm.mend()
    tenant.crm.api_key = "key-renewed"
    await arena.configure(tenant)
    await arena.healthy(within=2)
    await arena.check(within=2)


async def test_retry_after_is_honoured(arena: Arena) -> None:
    """The CRM asks for a second: so many requests come in four, however many calls there are."""
    tenant = await arena.add_tenant()
    await arena.started(breaker__failures=1_000, breaker__failure_ratio=1.0)
    await tenant.crm.break_(Fault.RETRY_503)
    async with arena.hosts.calling([tenant.token], 10):
        await asyncio.sleep(4)
        arena.notes["requests in four seconds"] = len(tenant.crm.requests)
        assert len(tenant.crm.requests) <= 4 * 5
    await tenant.crm.mend()
    await arena.check(within=HEALTHY_WITHIN + 1)


async def test_an_outage_ends_for_all_waiting_records_at_once(arena: Arena) -> None:
    """Backoff follows the outage, not the record: one that succeeds wakes the others, many in a request."""
    tenant = await arena.add_tenant()
    await arena.started(delivery__history_retry_max=2.0)
    await tenant.crm.break_(Fault.REFUSE)
    async with arena.hosts.calling([tenant.token], 30) as calls:
        await asyncio.sleep(2)
    await tenant.crm.mend()
    mended = len(tenant.crm.requests)
    await arena.check(within=HEALTHY_WITHIN)
    arena.notes["requests for all of them"] = len(tenant.crm.requests) - mended
    assert len(tenant.crm.requests) - mended <= len(calls) / 2

    async def nothing_open() -> None:
        async with arena.sql() as sql:
            assert not await sql.fetchval("SELECT count(*) FROM open_calls")

    await eventually(nothing_open)
