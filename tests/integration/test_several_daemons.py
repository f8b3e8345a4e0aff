"""Restarts, and two daemons on one database: nothing twice, nothing lost."""

import asyncio
import itertools
import time
from collections.abc import Iterable

from tests.integration.test_call_path import WIDE, fresh_id, post, seen, wanted
from tests.kinds import GROUP, KINDS, M, dial, hangup, start, talk
from tests.lab import Lab, eventually, until
from vochi_integrations.demo.sequences import Sequence, moved


async def test_a_restart_in_the_middle_of_a_call_changes_nothing(lab: Lab) -> None:
    """Every kind of call, with a restart before each of its events."""
    await lab.add_company()
    await lab.give_mobile()
    lab.crm.switch(rate_limit=False)
    calls = begun_now(KINDS)
    for index in range(max(len(call.events) for call in calls)):
        async with lab.daemon(**WIDE) as daemon:
            events = [call.events[index] for call in calls if index < len(call.events)]
            await asyncio.gather(*(daemon.post(kind, body) for _, kind, body in events))
            await settled(lab)

    assert {call.name: seen(lab, call) for call in calls} == {call.name: wanted(call) for call in calls}
    assert not list(lab.account.screens.open)
    assert lab.account.totals.duplicates == 0


def begun_now(kinds: Iterable[Sequence]) -> list[Sequence]:
    now = int(time.time())
    return [moved(kind, run=run, began_at=now, scale=1.0) for run, kind in enumerate(kinds, 1)]


async def settled(lab: Lab) -> None:
    async def nothing_waits() -> None:
        assert not await lab.sql.fetchval(
            "SELECT count(*) FROM integration_deliveries WHERE status IN ('pending', 'sending')"
        )

    await eventually(nothing_waits, 10)


async def test_events_of_one_call_may_come_to_two_daemons_in_turn(lab: Lab) -> None:
    await lab.add_company()
    await lab.give_mobile()
    lab.crm.switch(rate_limit=False)
    async with lab.daemon("one", **WIDE) as one, lab.daemon("two", **WIDE) as two:
        calls = begun_now(KINDS)

        async def play(call: Sequence) -> None:
            for daemon, (_, kind, body) in zip(itertools.cycle((one, two)), call.events, strict=False):
                await daemon.post(kind, body)
                await settled(lab)

        for call in calls:
            await play(call)
        await settled(lab)
        assert {call.name: seen(lab, call) for call in calls} == {call.name: wanted(call) for call in calls}
    assert not list(lab.account.screens.open)
    assert lab.account.totals.duplicates == 0


async def test_two_daemons_given_the_same_events_at_once_act_once(lab: Lab) -> None:
    await lab.add_company()
    lab.crm.switch(rate_limit=False)
    calls = [fresh_id(number) for number in range(40)]
    async with lab.daemon("one", **WIDE) as one, lab.daemon("two", **WIDE) as two:
        events = (start(0), dial(1, GROUP), *talk(4, 12, "151", 1), hangup(20, ["151"], "2"))
        await asyncio.gather(*(post(daemon, call, *events) for call in calls for daemon in (one, two)))
        await until(lambda: len(lab.records) == len(calls))
        await settled(lab)
    shown = [(event["callExternalId"], tuple(event["codes"])) for event in lab.popups]
    assert len(shown) == len(set(shown)) <= len(calls)
    assert lab.account.totals.duplicates == 0
    assert await lab.sql.fetchval("SELECT count(*) FROM call_events WHERE event_type = 'hangup'") == len(calls)


async def test_a_silent_call_is_closed_once_by_whichever_daemon_looks_first(lab: Lab) -> None:
    await lab.add_company()
    call = fresh_id()
    quick = {"calls__orphan_close_seconds": 0.3}
    async with lab.daemon("one", **quick) as one, lab.daemon("two", **quick):
        await post(one, call, start(0), dial(1, GROUP))
        await until(lambda: lab.records)
        await settled(lab)
        await post(one, call, hangup(20, ["151"], "2"))
    assert [(record["externalId"], record["result"]) for record in lab.records] == [(call, "no answer")]
    assert [event["hangupStatus"] for event in lab.events("hangup")] == ["no answered"]
    assert (await lab.reasons())[-1] == ("hangup", "duplicate")
    assert lab.account.totals.duplicates == 0
    assert not await lab.sql.fetchval("SELECT count(*) FROM open_calls")


async def test_a_silent_call_is_closed_after_a_restart_too(lab: Lab) -> None:
    await lab.add_company()
    call = fresh_id()
    async with lab.daemon("one") as daemon:
        await post(daemon, call, start(0), dial(1, GROUP), *talk(4, 12, "151", 1))
        await until(lambda: lab.popups)
    await lab.sql.execute("UPDATE open_calls SET close_at = now()")
    async with lab.daemon("two", calls__orphan_close_seconds=0.2):
        await until(lambda: lab.records)
    assert [(record["result"], record["code"]) for record in lab.records] == [("answered", "151")]


async def test_a_call_that_is_heard_of_again_is_left_open(lab: Lab) -> None:
    await lab.add_company()
    call = fresh_id()
    async with lab.daemon(calls__orphan_close_seconds=0.6) as daemon:
        await post(daemon, call, start(0), dial(1, ["150"]))
        for number in range(6):
            await asyncio.sleep(0.2)
            await post(daemon, call, dial(2 + number, ["150", str(151 + number % 3)], trunk=str(number)))
        assert not lab.records
        await until(lambda: lab.records)


async def test_a_record_that_could_not_be_sent_goes_after_a_restart(lab: Lab) -> None:
    await lab.add_company()
    call = fresh_id()
    lab.crm.switch(fault="outage")
    async with lab.daemon(delivery__retry_base=30) as daemon:
        await post(daemon, call, dial(0, ["151"], 1), hangup(9, ["151"], "2", 1))

        async def failed() -> None:
            assert [row["attempts"] for row in await lab.deliveries(kind="record")] == [1]

        await eventually(failed)
    lab.crm.switch(fault=None)
    await lab.sql.execute("UPDATE integration_deliveries SET next_attempt_at = now()")
    async with lab.daemon():
        await until(lambda: lab.records)
    assert [record["externalId"] for record in lab.records] == [call]


async def test_a_mobile_leg_is_known_by_a_daemon_that_did_not_see_its_call(lab: Lab) -> None:
    """The leg's caller is an extension, so only the call in progress tells it from an outgoing call (rule 6)."""
    await lab.add_company()
    await lab.give_mobile()
    main, leg = fresh_id(1), fresh_id(2)
    async with lab.daemon("one") as one, lab.daemon("two") as two:
        await post(one, main, start(0), dial(1, GROUP), *talk(4, 12, "151", 1)[:3])
        await post(two, leg, dial(5, ["151"], 1, phone=M))
        await post(one, leg, hangup(9, ["151"], "2", 1, phone=M))
        await post(one, main, hangup(20, ["151"], "2"))
        await until(lambda: lab.records)
        await settled(lab)
    assert [record["externalId"] for record in lab.records] == [main]
    assert {event["callExternalId"] for event in lab.popups} == {main}
