"""Dead letters: found by what an operator knows, sent again at a pace, once; nothing is sent that was not asked for."""

import asyncio
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_call_path import fresh_id, post
from tests.integration.test_commands import run
from tests.integration.test_several_daemons import settled
from tests.kinds import GROUP, dial, hangup, start
from tests.lab import NUMBER, DaemonUnderTest, Lab, eventually, until
from vochi_integrations.db import connected
from vochi_integrations.letters import Outcome, read_order, replay
from vochi_integrations.settings import Delivery as DeliverySettings

SHORT: dict[str, Any] = {
    "delivery__history_max_age": 0.3,
    "delivery__retry_base": 0.05,
    "delivery__realtime_attempts": 1,
}
REPLAY = "/api/deliveries/replay"
FAILED = """
    INSERT INTO integration_deliveries (enterprise_number, integration_type, call_external_id, kind, dedupe_key, class,
        payload, status, reason, attempts, event_at, finished_at)
    SELECT $1, 'retailcrm', i::text || random(), 'record', '', 'history', $5, $3, $4, 7,
        now() - interval '1 hour' + i * interval '1 second', now()
    FROM generate_series(1, $2) i
"""


async def fail_a_call(lab: Lab, call: str) -> None:
    """Let a call's card and record fail for good, because the CRM is away longer than the daemon tries."""
    lab.crm.switch(fault="outage")
    async with lab.daemon(**SHORT) as daemon:
        await post(daemon, call, start(0), dial(1, GROUP))
        await eventually(lambda: has_failed(lab, "popup"))
        await post(daemon, call, hangup(9, ["151"], "2"))
        await settled(lab)
    assert [row["status"] for row in await lab.deliveries(kind="record")] == ["failed"]
    lab.crm.switch(fault=None)
    lab.crm.clear()


async def has_failed(lab: Lab, kind: str) -> None:
    assert [row["status"] for row in await lab.deliveries(kind=kind)] == ["failed"]


async def add_failed(
    lab: Lab,
    count: int,
    number: str = NUMBER,
    *,
    status: str = "failed",
    reason: str = "crm_unreachable",
    **data: object,
) -> None:
    """Insert records, one a second from an hour ago on; `data` is their payload."""
    await lab.sql.execute(FAILED, number, count, status, reason, data)


async def ask(daemon: DaemonUnderTest, **body: object) -> tuple[int, Any]:
    return await daemon.send("POST", daemon.internal + REPLAY, json=body)


async def test_a_failed_record_is_found_and_sent_again_and_no_pop_up_with_it(lab: Lab) -> None:
    await lab.add_company()
    call = fresh_id()
    await fail_a_call(lab, call)
    async with lab.daemon() as daemon:
        status, listed = await daemon.get(f"/api/deliveries?enterprise={NUMBER}&class=history")
        (found,) = listed["deliveries"]
        assert (status, listed["total"], listed["next"]) == (200, 1, None)
        assert (found["call"], found["kind"], found["status"], found["replays"]) == (call, "record", "failed", 0)
        assert found["event_at"].endswith("Z")
        status, said = await ask(daemon, enterprise=NUMBER, dry_run=True)
        assert (status, said) == (200, {"matched": 1, "not_replayable": 0, "replayed": 0, "seconds": 0.0})
        assert not lab.records
        status, said = await ask(daemon, enterprise=NUMBER, since=time.time() - 60)
        assert (status, said) == (200, {"matched": 1, "not_replayable": 0, "replayed": 1, "seconds": 0.0})
        await until(lambda: lab.records)
        await settled(lab)
        assert (await daemon.get("/api/deliveries?class=history"))[1]["total"] == 0
        assert (await ask(daemon, enterprise=NUMBER))[1]["matched"] == 0
    assert [record["externalId"] for record in lab.records] == [call]
    assert not lab.popups
    (row,) = await lab.deliveries(kind="record")
    assert (row["status"], row["reason"], row["attempts"], row["replays"]) == ("done", None, 1, 1)
    assert row["finished_at"]


async def test_a_pop_up_that_was_asked_for_is_shown_although_its_call_is_over(lab: Lab) -> None:
    await lab.add_company()
    call = fresh_id()
    await fail_a_call(lab, call)
    (popup,) = await lab.deliveries(kind="popup")
    async with lab.daemon() as daemon:
        assert (await ask(daemon, ids=[popup["id"]]))[1]["matched"] == 0
        assert (await ask(daemon, ids=[popup["id"]], **{"class": "realtime"}))[1]["replayed"] == 1
        await until(lambda: lab.popups)
        await settled(lab)
    assert [(event["callExternalId"], event["codes"]) for event in lab.popups] == [(call, GROUP)]
    (row,) = await lab.deliveries(kind="popup")
    assert (row["status"], row["replays"]) == ("done", 1)


async def test_what_was_skipped_or_done_is_not_replayed_and_is_counted(lab: Lab) -> None:
    await lab.add_company()
    for count, status in ((2, "failed"), (1, "expired"), (3, "skipped"), (1, "done")):
        await add_failed(lab, count, status=status, externalId="x")
    await add_failed(lab, 1)
    ids = [row["id"] for row in await lab.deliveries()]
    async with connected(lab.dsn) as database:
        order = read_order({"ids": [*ids, 10_000]})
        outcome = await replay(database, order, DeliverySettings())
        assert outcome == Outcome(matched=8, not_replayable=5, replayed=3, seconds=0.0)
        assert await replay(database, order, DeliverySettings()) == Outcome(8, 8, 0, 0.0)
    statuses = [row["status"] for row in await lab.deliveries()]
    assert statuses == ["pending"] * 3 + ["skipped"] * 3 + ["done", "failed"]


async def test_replays_are_spread_over_time_the_oldest_first_each_enterprise_for_itself(lab: Lab) -> None:
    await add_failed(lab, 25, externalId="x")
    await add_failed(lab, 5, "0368", externalId="x")
    everything = read_order({"since": 0})
    async with connected(lab.dsn) as database:
        outcome = await replay(database, everything, DeliverySettings())
        assert (outcome.replayed, outcome.seconds) == (30, 2.0)
        first = min(row["not_before"] for row in await lab.deliveries())
        await add_failed(lab, 2, externalId="x")
        outcome = await replay(database, everything, DeliverySettings())
        assert outcome.replayed == 2
        assert 2.0 < outcome.seconds <= 3.0
        await lab.sql.execute("UPDATE integration_deliveries SET next_attempt_at = next_attempt_at + interval '1 hour'")
        await database.execute("wake_lanes", [NUMBER, "0368"], ["retailcrm"] * 2)
    rows = await lab.deliveries(enterprise_number=NUMBER)
    assert turns(rows, first) == [0] * 10 + [1] * 10 + [2] * 5 + [3] * 2
    assert all(row["next_attempt_at"] == row["not_before"] for row in rows[10:])
    assert turns(await lab.deliveries(enterprise_number="0368"), first) == [0] * 5
    assert {(row["deadline_at"] - row["not_before"]).total_seconds() for row in rows} == {259200.0}
    assert {(row["attempts"], row["replays"], row["reason"], row["finished_at"]) for row in rows} == {
        (0, 1, None, None)
    }


def turns(rows: list[dict[str, Any]], first: datetime) -> list[float]:
    """Seconds from the first turn of a replay to that of each delivery."""
    return [round((row["not_before"] - first).total_seconds(), 3) for row in rows]


async def test_a_slow_pace_is_one_in_its_longer_time(lab: Lab) -> None:
    await add_failed(lab, 3, externalId="x")
    async with connected(lab.dsn) as database:
        outcome = await replay(database, read_order({"since": 0}), DeliverySettings(replay_rate=0.5))
    assert outcome.seconds == 4.0


async def test_replays_at_once_send_nothing_twice(lab: Lab) -> None:
    await add_failed(lab, 200, externalId="x")
    async with connected(lab.dsn) as database:
        order = read_order({"enterprise": NUMBER})
        outcomes = await asyncio.gather(*(replay(database, order, DeliverySettings()) for _ in range(5)))
    assert sum(outcome.replayed for outcome in outcomes) == 200
    assert {row["replays"] for row in await lab.deliveries()} == {1}


async def test_replays_at_once_keep_the_pace_together(lab: Lab) -> None:
    await add_failed(lab, 50, externalId="x")
    ids = [row["id"] for row in await lab.deliveries()]
    async with connected(lab.dsn) as database:
        orders = [read_order({"ids": ids[start::5]}) for start in range(5)]
        await asyncio.gather(*(replay(database, order, DeliverySettings()) for order in orders))
    rows = await lab.deliveries()
    assert sorted(turns(rows, min(row["not_before"] for row in rows))) == sorted([*range(5)] * 10)


async def test_a_long_list_comes_in_pages_the_latest_first(lab: Lab) -> None:
    await add_failed(lab, 7, externalId="x")
    await add_failed(lab, 2, "0368", reason="crm_rejected", externalId="x")
    async with lab.daemon() as daemon:
        seen: list[int] = []
        cursor = ""
        while cursor is not None:
            _, page = await daemon.get(f"/api/deliveries?limit=4{cursor and '&cursor=' + cursor}")
            assert page["total"] == 9
            seen += [row["id"] for row in page["deliveries"]]
            cursor = page["next"]
        latest = sorted(await lab.deliveries(), key=lambda row: (row["event_at"], row["id"]), reverse=True)
        assert seen == [row["id"] for row in latest]
        for query, count in {
            "enterprise=0368": 2,
            "reason=crm_rejected": 2,
            "enterprise=0367&reason=crm_rejected": 0,
            "integration=retailcrm&kind=record": 9,
            "integration=bitrix": 0,
            "status=done": 0,
            "class=realtime": 0,
            f"until={time.time() - 1800}": 9,
            f"since={time.time() - 1800}": 0,
        }.items():
            assert (await daemon.get(f"/api/deliveries?{query}"))[1]["total"] == count, query


@pytest.mark.parametrize("data", [b"{}", b"", b"[]", b"null", b'{"class":"all"}', b'{"ids":[]}', b'{"nonsense":1}'])
async def test_a_replay_that_says_nothing_replays_nothing(lab: Lab, data: bytes) -> None:
    await add_failed(lab, 1, externalId="x")
    async with lab.daemon() as daemon:
        status, said = await daemon.send("POST", daemon.internal + REPLAY, data=data)
        assert (status, said["error"], bool(said["message"])) == (400, "bad_request", True)
        assert (await daemon.get("/api/deliveries?limit=1000"))[0] == 400
        for path in ("/api/deliveries", REPLAY):
            assert (await daemon.send("POST", daemon.public + path, json={"since": 0}))[0] == 404
    assert [row["status"] for row in await lab.deliveries()] == ["failed"]


async def test_the_command_lists_and_replays_beside_a_running_daemon(lab: Lab, tmp_path: Path) -> None:
    await lab.add_company()
    call = fresh_id()
    await fail_a_call(lab, call)
    environ = {"VOCHI_DATABASE__DSN": lab.dsn}
    code, out, errors = await run("deliveries", "list", "--kind", "record", "--limit", "1", cwd=tmp_path, **environ)
    assert (code, errors) == (0, "")
    names, row, *ends = out.splitlines()
    assert names.split()[:5] == ["id", "enterprise", "call", "kind", "status"]
    assert row.split()[1:5] == [NUMBER, call, "record", "failed"]
    assert names.index("kind") == row.index("record")
    assert ends[0] == "1 of 1"
    code, out, _ = await run("deliveries", "list", "--enterprise", "0999", cwd=tmp_path, **environ)
    assert (code, out.splitlines()[1:]) == (0, ["0 of 0"])
    code, _, errors = await run("deliveries", "replay", cwd=tmp_path, **environ)
    assert (code, errors.count("\n")) == (2, 1)
    assert "say what to replay" in errors
    async with lab.daemon():
        command = ("deliveries", "replay", "--enterprise", NUMBER)
        dry = await run(*command, "--dry-run", cwd=tmp_path, **environ)
        assert dry == (0, "1 matched, 0 not replayable, 1 would be replayed, the last one in 0 s\n", "")
        assert (await run(*command, cwd=tmp_path, **environ))[1].startswith("1 matched, 0 not replayable, 1 replayed")
        await until(lambda: lab.records)
        (popup,) = await lab.deliveries(kind="popup")
        one = ("--ids", str(popup["id"]), "--class", "realtime")
        assert "1 replayed" in (await run("deliveries", "replay", *one, cwd=tmp_path, **environ))[1]
        await until(lambda: lab.popups)
