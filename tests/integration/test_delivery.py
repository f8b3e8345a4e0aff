"""Policies by meaning: breaker, refused accounts, rate of an account, split batches, ages (decisions 4, 6)."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import chain, repeat
from typing import Any

import msgspec
import pytest
from aiohttp import web

from tests.integration.test_call_path import fresh_id, post
from tests.kinds import dial, hangup
from tests.lab import API_KEY, NUMBER, WAITING_RECORDS, DaemonUnderTest, Lab, eventually, until
from vochi_integrations.app import Daemon, create_public
from vochi_integrations.domain import Delivery
from vochi_integrations.serve import listening, running

Said = tuple[int, str, dict[str, str]]
PAGE = "<html>503 Service Temporarily Unavailable</html>"
RIGHT_AWAY = {"Retry-After": "0"}
QUICK: dict[str, Any] = {"delivery__retry_base": 0.05, "breaker__failures": 3, "breaker__open_seconds": 0.5}


async def call(daemon: DaemonUnderTest, unique_id: str) -> None:
    await post(daemon, unique_id, dial(0, ["151"]), hangup(9, ["151"], "2"))


async def only(lab: Lab, **where: object) -> dict[str, Any]:
    rows = await lab.deliveries(**where)
    assert len(rows) == 1
    return rows[0]


async def unwell(daemon: DaemonUnderTest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await daemon.get("/stats"))[1]["unwell"]
    return found


async def open_breaker(lab: Lab, daemon: DaemonUnderTest, reason: str) -> None:
    """Call until the breaker is open."""
    await call(daemon, fresh_id(1))

    async def is_open() -> None:
        assert [(lane["breaker"], lane["reason"]) for lane in await unwell(daemon)] == [("open", reason)]

    await eventually(is_open)


async def test_an_open_breaker_ends_pop_ups_at_once_and_keeps_records(lab: Lab) -> None:
    await lab.add_company()
    lab.crm.switch(fault="500")
    second = fresh_id(2)
    async with lab.daemon(**QUICK | {"breaker__open_seconds": 60}) as daemon:
        await open_breaker(lab, daemon, "breaker_open")
        asked = lab.account.totals.requests
        await call(daemon, second)

        async def ended() -> None:
            popup = await only(lab, kind="popup", call_external_id=second)
            assert (popup["status"], popup["reason"], popup["attempts"]) == ("skipped", "breaker_open", 0)
            record = await only(lab, kind="record", call_external_id=second)
            assert (record["status"], record["locked_by"]) == ("pending", None)

        await eventually(ended)
        assert lab.account.totals.requests == asked


async def test_one_probe_brings_all_that_waited(lab: Lab) -> None:
    await lab.add_company()
    lab.crm.switch(fault="outage")
    async with lab.daemon(**QUICK) as daemon:
        await open_breaker(lab, daemon, "breaker_open")
        for number in range(2, 30):
            await call(daemon, fresh_id(number))
        lab.crm.switch(fault=None)
        await until(lambda: len(lab.records) == 29)
        assert not lab.popups
        assert lab.account.totals.duplicates == 0
        assert lab.account.totals.uploads < 10

        async def quiet() -> None:
            assert await unwell(daemon) == []

        await eventually(quiet)


async def test_a_refused_key_pauses_everything_until_the_key_is_changed(lab: Lab) -> None:
    await lab.add_company(api_key="a-wrong-key")
    async with lab.daemon(**QUICK) as daemon:
        await open_breaker(lab, daemon, "bad_key")
        for number in range(2, 12):
            await call(daemon, fresh_id(number))

        async def held() -> None:
            waiting = await lab.deliveries(kind="record", status="pending")
            assert len(waiting) == 11
            assert not any(row["locked_by"] for row in waiting)
            reasons = {row["reason"] for row in await lab.deliveries(kind="popup") if not row["attempts"]}
            assert reasons == {"bad_key"}

        await eventually(held)
        assert lab.crm.stranger.totals.requests <= 3
        await lab.sql.execute(
            "UPDATE enterprises SET integrations_config['retailcrm']['api_key'] = to_jsonb($1::text)", API_KEY
        )
        await until(lambda: len(lab.records) == 11, 3)
    assert not lab.popups


@asynccontextmanager
async def crm_saying(lab: Lab, answers: Iterator[Said]) -> AsyncIterator[None]:
    """A company whose CRM gives its answers one after another."""

    async def answer(_: web.Request) -> web.Response:
        status, text, headers = next(answers)
        kind = "text/html" if text == PAGE else "application/json"
        return web.Response(status=status, text=text, headers=headers, content_type=kind)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    async with listening(app, "127.0.0.1", 0, "crm", 0.5) as port:
        await lab.add_company(domain=f"http://127.0.0.1:{port}")
        yield


@pytest.mark.parametrize(
    ("limited", "opens"),
    [
        ((429, '{"success": false}', RIGHT_AWAY), False),
        ((429, PAGE, {}), False),
        ((503, PAGE, RIGHT_AWAY), False),
        ((503, '{"success": false}', {}), False),
        ((503, PAGE, {}), True),
    ],
)
async def test_a_rate_limit_is_no_failure_but_a_bare_page_may_be_one(lab: Lab, limited: Said, *, opens: bool) -> None:
    async with crm_saying(lab, repeat(limited)), lab.daemon(**QUICK) as daemon:
        await post(daemon, fresh_id(), dial(0, ["151"]))

        async def given_up() -> None:
            popup = await only(lab, kind="popup")
            assert (popup["status"], popup["attempts"]) == ("failed", 3)

        await eventually(given_up)
        assert bool(await unwell(daemon)) is opens


async def test_a_probe_that_meets_a_rate_limit_leaves_its_place_to_another(lab: Lab) -> None:
    failed: Said = (500, '{"success": false}', {})
    answers = chain([failed] * 3, [(429, PAGE, RIGHT_AWAY)] * 2, repeat((200, '{"success": true}', {})))
    async with crm_saying(lab, answers), lab.daemon(**QUICK) as daemon:
        await call(daemon, fresh_id(1))

        async def is_in() -> None:
            assert (await only(lab, kind="record"))["status"] == "done"
            assert await unwell(daemon) == []

        await eventually(is_in)


async def test_a_record_too_old_fails_with_its_reason(lab: Lab) -> None:
    await lab.add_company()
    lab.crm.switch(fault="outage")
    async with lab.daemon(**QUICK, delivery__history_max_age=0.5, delivery__lease=0.6) as daemon:
        await call(daemon, fresh_id())

        async def failed() -> None:
            row = await only(lab, kind="record")
            assert (row["status"], row["reason"]) == ("failed", "expired")

        await eventually(failed)


async def test_nothing_is_sent_while_a_starting_daemon_holds_up_its_loop(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages take their time to be compiled: a request under way would run out of its own."""
    await lab.add_company()
    lab.crm.switch(fault="outage")
    async with lab.daemon() as daemon:
        await call(daemon, fresh_id())
        await eventually(lambda: failed_once(lab))
    lab.crm.switch(fault=None, latency_ms=100)

    def slowly(events: Any) -> web.Application:
        time.sleep(0.5)
        return create_public(events)

    monkeypatch.setattr("vochi_integrations.app.create_public", slowly)
    await lab.sql.execute("UPDATE integration_deliveries SET next_attempt_at = now()")
    async with lab.daemon(delivery__timeout=0.3):
        await until(lambda: lab.records)

        async def sent() -> None:
            record = await only(lab, kind="record")
            assert (record["status"], record["attempts"]) == ("done", 2)

        await eventually(sent)


async def failed_once(lab: Lab) -> None:
    record = await only(lab, kind="record")
    assert (record["attempts"], record["locked_by"]) == (1, None)


async def test_a_batch_with_one_bad_record_loses_only_that_one(lab: Lab) -> None:
    await lab.add_company()
    lab.crm.switch(fault="outage")
    bad = fresh_id(7)
    async with lab.daemon(**QUICK) as daemon:
        for number in range(1, 41):
            await call(daemon, fresh_id(number) if number != 7 else bad)

        async def waiting() -> None:
            assert len(await lab.deliveries(kind="record", status="pending", locked_by=None)) == 40

        await eventually(waiting)
        await lab.sql.execute(
            """UPDATE integration_deliveries SET payload = jsonb_set(payload, '{result}', '"missed"')
               WHERE call_external_id = $1 AND kind = 'record'""",
            bad,
        )
        lab.crm.switch(fault=None)
        await until(lambda: len(lab.records) == 39)

        async def alone() -> None:
            row = await only(lab, kind="record", status="failed")
            assert (row["call_external_id"], row["reason"]) == (bad, "crm_rejected")
            assert "result" in str(row["response"])

        await eventually(alone)
    assert lab.account.totals.uploads <= 20
    assert lab.account.totals.limited == 0


async def test_tenants_of_one_account_share_its_rate(lab: Lab) -> None:
    """Forty calls of two companies at once, ten requests a second: the account never sees more, in any second."""
    await lab.add_company()
    await lab.add_company("0368", "375290000099")
    async with lab.daemon(delivery__enterprise_rate=10, delivery__enterprise_concurrency=20) as daemon:
        for number in range(12):
            for token in ("375290000000", "375290000099"):
                await daemon.post("dial", dial(0, ["151"])[2] | {"UniqueId": fresh_id(number)}, token)
        await until(lambda: len(lab.popups) == 24)
    times = sorted(event.at for event in lab.account.events)
    assert all(later - earlier >= 0.95 for earlier, later in zip(times, times[10:], strict=False))


@pytest.mark.parametrize("fault", ["500", "503", "hang", "invalid_json", "reset"])
async def test_a_pop_up_is_tried_a_few_times_and_then_given_up(lab: Lab, fault: str) -> None:
    await lab.add_company()
    lab.crm.switch(fault=fault)
    async with lab.daemon(delivery__timeout=0.2, delivery__retry_base=0.05, breaker__failures=50) as daemon:
        await daemon.post("dial", dial(0, ["151"])[2] | {"UniqueId": fresh_id()})

        async def given_up() -> None:
            row = await only(lab, kind="popup")
            assert (row["status"], row["reason"], row["attempts"]) == ("failed", "crm_unreachable", 3)

        await eventually(given_up)

        async def logged() -> None:
            assert await lab.sql.fetchval("SELECT count(*) FROM integration_logs WHERE status = 'error'") == 3

        await eventually(logged)


async def test_a_waiting_pop_up_dies_at_its_deadline_not_later(lab: Lab) -> None:
    await lab.add_company()
    lab.crm.switch(latency_ms=1500)
    async with lab.daemon(delivery__enterprise_concurrency=1, delivery__popup_ttl=0.5) as daemon:
        began = time.monotonic()
        for number in range(2):
            await daemon.post("dial", dial(0, ["151"])[2] | {"UniqueId": fresh_id(number)})

        async def expired() -> None:
            row = await only(lab, kind="popup", status="expired")
            assert (row["reason"], row["attempts"]) == ("expired", 0)

        await eventually(expired)
        assert time.monotonic() - began < 1.4


@pytest.mark.parametrize("tells_the_crm", [True, False])
async def test_a_pop_up_that_waits_for_its_turn_does_not_go_once_its_call_is_over(
    lab: Lab, *, tells_the_crm: bool
) -> None:
    await lab.add_company(events={"hangup": tells_the_crm})
    lab.crm.switch(latency_ms=500)
    async with lab.daemon(delivery__enterprise_concurrency=1) as daemon:
        await post(daemon, fresh_id(1), dial(0, ["150"]))
        await call(daemon, second := fresh_id(2))
        await eventually(lambda: assert_expired(lab, second))
    assert [popup["codes"] for popup in lab.popups] == [["150"]]


async def test_a_pop_up_left_to_the_next_daemon_does_not_go_once_its_call_is_over(lab: Lab) -> None:
    """The closing may have been looked at before it: there was nothing to close."""
    await lab.add_company()
    lab.crm.switch(latency_ms=60_000)
    async with lab.daemon(delivery__enterprise_concurrency=1, server__shutdown_seconds=0.1) as daemon:
        await post(daemon, fresh_id(1), dial(0, ["150"]))
        await call(daemon, second := fresh_id(2))
    ended = "UPDATE integration_deliveries SET status = 'skipped', reason = 'no_popup' WHERE kind = 'popup_over'"
    await lab.sql.execute(ended)
    lab.crm.switch(latency_ms=0)
    async with lab.daemon():
        await eventually(lambda: assert_expired(lab, second))
    assert [popup["codes"] for popup in lab.popups] == [["150"]]


@asynccontextmanager
async def unwritten_popup(lab: Lab, popup_ttl: float) -> AsyncIterator[tuple[DaemonUnderTest, str]]:
    """A pop-up had to wait for its turn; inside the block neither PostgreSQL nor the spool takes that it begins."""
    await lab.add_company()
    lab.crm.switch(latency_ms=500)
    settings = lab.settings(delivery__enterprise_concurrency=1, delivery__popup_ttl=popup_ttl)
    async with running(settings) as (served, public, internal):
        daemon = DaemonUnderTest(lab.session, public, internal)
        written, tries = served.outbox._written, list[object]()

        async def nowhere(*what: object) -> bool:
            tries.append(what)
            return False

        await post(daemon, fresh_id(1), dial(0, ["150"]))
        await post(daemon, call := fresh_id(2), dial(0, ["151"]))
        served.outbox._written = nowhere  # type: ignore[assignment, method-assign]
        lab.crm.switch(latency_ms=0)
        await until(lambda: tries)
        yield daemon, call
        served.outbox._written = written  # type: ignore[method-assign]
        await eventually(lambda: assert_expired(lab, call))
    assert [popup["codes"] for popup in lab.popups] == [["150"]]


async def assert_expired(lab: Lab, call: str) -> None:
    assert (await only(lab, kind="popup", call_external_id=call))["status"] == "expired"


async def test_a_pop_up_that_cannot_be_written_dies_at_its_deadline(lab: Lab) -> None:
    async with unwritten_popup(lab, 1):
        late = time.monotonic() + 1
        await until(lambda: time.monotonic() > late)


async def test_a_pop_up_whose_call_ends_before_it_is_written_does_not_go(lab: Lab) -> None:
    async with unwritten_popup(lab, 10) as (daemon, call):
        await post(daemon, call, hangup(9, ["151"], "2"))


async def test_a_wake_up_is_not_lost_with_the_database(lab: Lab) -> None:
    await lab.add_company()
    lab.crm.switch(fault="outage")
    async with running(lab.settings(delivery__retry_base=60)) as (served, public, internal):
        await call(DaemonUnderTest(lab.session, public, internal), fresh_id())
        await eventually(lambda: failed_once(lab))
        lab.crm.switch(fault=None)
        refused = refuse_once(served)
        served.dispatcher.on_change([NUMBER])
        await until(lambda: lab.records)
        assert refused == [1]


def refuse_once(served: Daemon) -> list[int]:
    """PostgreSQL is away for one wake-up; return a list that will tell."""
    wake, refused = served.outbox.wake_lanes, list[int]()

    async def refuse(_: Any) -> None:
        served.outbox.wake_lanes = wake  # type: ignore[method-assign]
        refused.append(1)
        raise ConnectionRefusedError

    served.outbox.wake_lanes = refuse  # type: ignore[assignment, method-assign]
    return refused


async def test_what_another_daemon_has_taken_over_is_not_remembered(lab: Lab) -> None:
    values = {"enterprise": NUMBER, "integration": "retailcrm", "call": "1.1", "kind": "record", "dedupe_key": ""}
    taken = msgspec.convert(values | {"id": 7, "cls": "history", "payload": {}}, Delivery)
    async with running(lab.settings()) as (served, _, _):
        served.outbox.holding([taken])
        taken.lapses -= 1
        assert await served.outbox.still_held([taken]) == []
        assert not served.outbox._held


async def test_nothing_is_taken_up_before_what_came_of_attempts_is_in_the_table(lab: Lab) -> None:
    """PostgreSQL is back, and the spool is not empty yet: it may say that a record is in the CRM."""
    await lab.add_company()
    async with running(lab.settings()) as (served, _, _):
        replay, refused = served.outbox.replay, list[object]()

        async def refuse(*what: object) -> None:
            refused.append(what)
            raise ConnectionRefusedError

        served.outbox.replay = refuse  # type: ignore[assignment, method-assign]
        await served.outbox.spool.put("logs", b"[]")
        await lab.sql.execute(WAITING_RECORDS, NUMBER, 1)
        await until(lambda: len(refused) >= 4)
        assert not lab.records
        served.outbox.replay = replay  # type: ignore[method-assign]
        await until(lambda: lab.records)


async def test_what_is_in_our_hands_is_not_taken_up_again_when_its_lease_lapsed(lab: Lab) -> None:
    await lab.add_company()
    row = await lab.sql.fetchval(f"{WAITING_RECORDS} RETURNING id", NUMBER, 1)
    await lab.sql.execute("UPDATE integration_deliveries SET next_attempt_at = now() + interval '1 hour'")
    async with running(lab.settings()) as (served, _, _):
        served.outbox._held.add(row)
        await lab.sql.execute("UPDATE integration_deliveries SET next_attempt_at = now()")
        assert await served.outbox.claim((), 10, 10) == []
        served.outbox._held.clear()
        await lab.sql.execute("UPDATE integration_deliveries SET locked_until = now() - interval '1 second'")
        await until(lambda: lab.records)


async def test_a_long_queue_waits_in_the_table_not_in_memory(lab: Lab) -> None:
    await lab.add_company()
    await lab.sql.execute(WAITING_RECORDS, NUMBER, 2000)
    lab.crm.switch(latency_ms=50)
    most = 0
    async with lab.daemon(delivery__queue_limit=50) as daemon:

        async def arrived() -> None:
            nonlocal most
            held = "SELECT count(*) FROM integration_deliveries WHERE locked_by IS NOT NULL"
            most = max(most, await lab.sql.fetchval(held))
            assert len(lab.records) == 2000
            assert (await daemon.get("/health"))[0] == 200

        await eventually(arrived, 20)
    assert most <= 400
    assert lab.account.totals.limited == 0
    assert lab.account.totals.duplicates == 0
