"""What «Диагностика» counts: requests to CRMs only, each pop-up once, and what was never sent as well."""

import time
from typing import Any

import pytest

from tests.lab import NUMBER, Lab
from vochi_integrations.db import connected
from vochi_integrations.ops.diagnosis import Diagnosis, diagnose, outcomes

EVENT = """
    INSERT INTO call_events (enterprise_number, unique_id, call_unique_id, event_type, event_sequence, event_timestamp,
        received_timestamp, raw_data, event_hash)
    SELECT $1, $2, $2, 'dial', 1, now, now, '{}', decode(md5($2), 'hex') FROM (SELECT now() AT TIME ZONE 'UTC' AS now) n
"""
DELIVERY = """
    INSERT INTO integration_deliveries (enterprise_number, integration_type, call_external_id, kind, dedupe_key, class,
        payload, status, reason, attempts, event_at, first_attempt_at, finished_at)
    VALUES ($1, 'retailcrm', $2, 'popup', $3, 'realtime', '{}', $4, $5, 1, now(), now(),
        now() + make_interval(secs => $6))
"""
LOG = """
    INSERT INTO integration_logs (enterprise_number, integration_type, event_type, request_data, status, error_message,
        call_unique_id, elapsed_ms)
    VALUES ($1, $2, $3, '{}', $4, $5, $6, $7)
"""


async def seen(lab: Lab) -> Diagnosis:
    async with connected(lab.dsn) as database:
        return await diagnose(database, NUMBER, ["retailcrm"], "day", 0.0)


async def log(
    lab: Lab, source: str, event_type: str, error: str | None = None, ms: float = 10.0, call: str = "1.1"
) -> None:
    await lab.sql.execute(LOG, NUMBER, source, event_type, "error" if error else "success", error, call, ms)


async def test_only_requests_to_crms_are_requests(lab: Lab) -> None:
    await log(lab, "retailcrm", "call_event:in", ms=40)
    await log(lab, "smart", "smart_redirect", "smart redirect: timeout", 300)
    await log(lab, "smart", "channel_redirect", "the PBX has no extension 151", 900)
    await log(lab, "retailcrm", "make_call:outcome", "busy", 5_000)
    await log(lab, "asterisk", "make_call:outcome")
    found = await seen(lab)
    assert [(row["requests"], row["errors"], row["slow"]) for row in found.requests] == [(1, 0, 40)]
    assert found.latest.keys() == {"success"}
    await log(lab, "retailcrm", "calls_upload", "no answer in time")
    assert (await seen(lab)).latest["error"]["error_message"] == "no answer in time"


async def test_a_call_with_several_cards_counts_each_once(lab: Lab) -> None:
    """Nine quick cards of one call and ten slow ones of ten: half of all are slow."""
    for number in range(9):
        await lab.sql.execute(DELIVERY, NUMBER, "1.1", str(number), "done", None, 0.05)
        await log(lab, "retailcrm", "call_event:in")
    for number in range(10):
        await lab.sql.execute(DELIVERY, NUMBER, f"2.{number}", "", "done", None, 2.0)
        await log(lab, "retailcrm", "call_event:out", call=f"2.{number}")
    popups = (await seen(lab)).popups
    assert popups["popups"] == 19
    assert popups["median"] == pytest.approx(2_000)


async def test_what_was_never_sent_is_charted(lab: Lab) -> None:
    rows: list[tuple[str, str, str | None]] = [
        ("1.1", "done", None), ("1.2", "expired", "breaker_open"), ("1.2", "skipped", "no_mapping"),
        ("1.3", "skipped", "internal_call"), ("1.4", "failed", "crm_rejected"), ("1.5", "pending", None),
    ]  # fmt: skip
    for number, (call, status, reason) in enumerate(rows):
        await lab.sql.execute(DELIVERY, NUMBER, call, str(number), status, reason, 0.0)
    for call in {row[0] for row in rows}:
        await lab.sql.execute(EVENT, NUMBER, call)
    found: list[dict[str, Any]] = outcomes(map(dict, (await seen(lab)).deliveries))
    (stretch,) = found
    assert time.time() - stretch.pop("since") < 3_600
    assert stretch == {"sent": 1, "unsent": 2, "failed": 1, "waiting": 1}
