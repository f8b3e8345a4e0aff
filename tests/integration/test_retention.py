"""Old rows go, little by little; what is needed, young or somebody else's stays, and intake does not notice."""

import asyncio
import time

from tests.integration.test_call_path import fresh_id, post
from tests.integration.test_several_daemons import settled
from tests.kinds import GROUP, dial, hangup, start
from tests.lab import NUMBER, Lab, until
from vochi_integrations.db import connected
from vochi_integrations.retention import LOCK, Retention
from vochi_integrations.settings import Retention as RetentionSettings

EVENTS = """
    INSERT INTO call_events (enterprise_number, unique_id, call_unique_id, event_type, event_sequence,
        received_timestamp, raw_data, event_hash)
    SELECT $1, $2 || i, $2 || i, 'start', 1, (now() AT TIME ZONE 'UTC') - make_interval(days => $4), '{}',
        CASE WHEN $5 THEN decode(md5(i::text), 'hex') END
    FROM generate_series(1, $3) i
"""
LOGS = """
    INSERT INTO integration_logs (created_at, enterprise_number, integration_type, event_type, status)
    SELECT now() - make_interval(days => $2), '0367', $1, 'record', 'success' FROM generate_series(1, $3)
"""
DELIVERIES = """
    INSERT INTO integration_deliveries (enterprise_number, integration_type, call_external_id, kind, dedupe_key, class,
        payload, status, event_at, created_at, finished_at)
    SELECT '0367', 'retailcrm', $1 || i, 'record', '', 'history', '{}', $2, now(), now() - make_interval(days => $3),
        CASE WHEN $4::int IS NOT NULL THEN now() - make_interval(days => $4) END
    FROM generate_series(1, 3) i
"""


async def forget(lab: Lab, **days: float) -> dict[str, int]:
    kept = {"events_days": 0.0, "deliveries_days": 0.0, "logs_days": 0.0} | days
    async with connected(lab.dsn) as database:
        return await Retention(database, RetentionSettings(**kept), ["retailcrm"]).forget()


async def add_events(lab: Lab, name: str, count: int, days: int, *, ours: bool = True) -> None:
    await lab.sql.execute(EVENTS, NUMBER, name, count, days, ours)


async def test_old_events_go_except_those_of_a_call_in_progress_and_other_services(lab: Lab) -> None:
    await add_events(lab, "theirs", 2_500, 900, ours=False)
    await add_events(lab, "old", 3, 31)
    await add_events(lab, "talking", 1, 31)
    await lab.sql.execute("INSERT INTO open_calls VALUES ($1, 'talking1', now())", NUMBER)
    await add_events(lab, "more", 2_200, 31)
    await add_events(lab, "young", 3, 29)
    assert await forget(lab, events_days=30) == {"forget_events": 2_203, "forget_clicks": 0}
    rows = await lab.sql.fetch(
        "SELECT rtrim(unique_id, '0123456789') AS name, count(*) AS n FROM call_events GROUP BY 1"
    )
    assert {row["name"]: row["n"] for row in rows} == {"theirs": 2_500, "talking": 1, "young": 3}
    assert await forget(lab, events_days=30) == {"forget_events": 0, "forget_clicks": 0}


async def test_deliveries_go_when_they_are_done_with_for_so_long(lab: Lab) -> None:
    await lab.sql.execute(DELIVERIES, "old", "done", 31, 31)
    await lab.sql.execute(DELIVERIES, "skipped", "skipped", 31, None)
    await lab.sql.execute(DELIVERIES, "waiting", "pending", 31, None)
    await lab.sql.execute(DELIVERIES, "sending", "sending", 31, None)
    await lab.sql.execute(DELIVERIES, "replayed", "done", 31, 1)
    await lab.sql.execute(DELIVERIES, "talking", "done", 31, 31)
    await lab.sql.execute("INSERT INTO open_calls SELECT '0367', 'talking' || i, now() FROM generate_series(1, 3) i")
    await lab.sql.execute(DELIVERIES, "young", "failed", 29, 29)
    assert await forget(lab, deliveries_days=30) == {"forget_deliveries": 6}
    kept = {row["call_external_id"][:-1] for row in await lab.deliveries()}
    assert kept == {"waiting", "sending", "replayed", "talking", "young"}


async def test_logs_of_our_crms_go_and_no_others(lab: Lab) -> None:
    await lab.sql.execute(LOGS, "uon", 900, 1_500)
    await lab.sql.execute(LOGS, "retailcrm", 91, 1_500)
    await lab.sql.execute(LOGS, "retailcrm", 89, 5)
    assert await forget(lab, logs_days=90) == {"forget_logs": 1_500}
    rows = await lab.sql.fetch("SELECT integration_type, count(*) AS n FROM integration_logs GROUP BY 1")
    assert {row["integration_type"]: row["n"] for row in rows} == {"uon": 1_500, "retailcrm": 5}


async def test_zero_days_keep_everything(lab: Lab) -> None:
    await add_events(lab, "old", 3, 9_000)
    assert await forget(lab) == {}
    assert await lab.sql.fetchval("SELECT count(*) FROM call_events") == 3


async def test_one_daemon_at_a_time_deletes_and_the_next_run_may(lab: Lab) -> None:
    await add_events(lab, "old", 3, 31)
    await lab.sql.execute("SELECT pg_advisory_lock($1)", LOCK)
    assert await forget(lab, events_days=30) == {}
    await lab.sql.execute("SELECT pg_advisory_unlock($1)", LOCK)
    async with connected(lab.dsn) as database:
        retention = Retention(database, RetentionSettings(events_days=30), ["retailcrm"])
        assert (await retention.forget())["forget_events"] == 3
        await lab.sql.execute("SELECT pg_advisory_lock($1)", LOCK)


async def test_a_table_that_refuses_does_not_keep_the_others(lab: Lab) -> None:
    await add_events(lab, "old", 1, 31)
    await lab.sql.execute(LOGS, "retailcrm", 91, 5)
    await lab.sql.execute("CREATE TABLE of_others (event bigint REFERENCES call_events (id))")
    try:
        await lab.sql.execute("INSERT INTO of_others SELECT id FROM call_events")
        assert await forget(lab, events_days=30, logs_days=90) == {"forget_clicks": 0, "forget_logs": 5}
    finally:
        await lab.sql.execute("DROP TABLE of_others")


async def test_the_loop_begins_soon_after_the_start(lab: Lab) -> None:
    await add_events(lab, "old", 3, 401)
    async with connected(lab.dsn) as database:
        retention = Retention(database, RetentionSettings(), ["retailcrm"], first_seconds=0.01)
        running = asyncio.create_task(retention.run())
        await until_empty(lab)
        running.cancel()


async def until_empty(lab: Lab) -> None:
    async with asyncio.timeout(5):
        while await lab.sql.fetchval("SELECT count(*) FROM call_events"):
            await asyncio.sleep(0.01)


async def test_calls_come_in_while_it_deletes_and_what_is_kept_still_stops_repeats(lab: Lab) -> None:
    await lab.add_company()
    await add_events(lab, "old", 20_000, 401)
    call = fresh_id()
    took: list[float] = []
    async with lab.daemon() as daemon:
        ended = (start(0), dial(1, GROUP), hangup(9, ["151"], "2"))
        await post(daemon, call, *ended)
        await until(lambda: lab.records)
        running = asyncio.create_task(forget(lab, events_days=400, deliveries_days=400))
        while not running.done():
            began = time.monotonic()
            await post(daemon, fresh_id(100 + len(took)), start(0))
            took.append(time.monotonic() - began)
        assert (await running)["forget_events"] == 20_000
        await post(daemon, call, *ended)
        await settled(lab)
    assert len(took) > 20
    assert max(took) < 1.0
    assert len(lab.records) == 1
    assert len(lab.popups) == 1
    assert await lab.sql.fetchval("SELECT count(*) FROM call_events") == 3 + len(took)
