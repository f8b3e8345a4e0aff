"""`/metrics`: read by a real parser, true to what happened, bounded, and nearly free."""

import asyncio
import itertools
import json
import re
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.test_call_path import fresh_id
from tests.integration.test_commands import serving
from tests.kinds import dial, hangup
from tests.lab import NUMBER, DaemonUnderTest, Lab, eventually, until
from vochi_integrations import clock
from vochi_integrations.callstate import CallState, Step
from vochi_integrations.domain import Delivery, DeliveryClass, Directory, Kind
from vochi_integrations.events import read_event
from vochi_integrations.integrations.base import Answer
from vochi_integrations.witness import Stored, Witness

DOCS = Path(__file__).parents[2] / "docs" / "monitoring"

SUFFIXES = itertools.count(1)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scraped(daemon: DaemonUnderTest) -> Samples:
    status, text = await daemon.get("/metrics")
    assert status == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """Sum what has at least these labels."""
    wanted = set(labels.items())
    return sum(found for (known, given), found in samples.items() if known == name and wanted <= given)


async def play(daemon: DaemonUnderTest, extensions: list[str]) -> str:
    call = fresh_id(next(SUFFIXES))
    await daemon.post("dial", dial(0, extensions, 1)[2] | {"UniqueId": call})
    await daemon.post("hangup", hangup(9, extensions, "2", 1)[2] | {"UniqueId": call})
    return call


async def test_a_call_is_counted_once_on_its_way(lab: Lab) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon:
        await play(daemon, ["151"])

        async def counted() -> None:
            samples = await scraped(daemon)
            assert value(samples, "vochi_events_total", kind="dial") == 1
            assert value(samples, "vochi_events_total", kind="hangup") == 1
            for kind in ("popup", "popup_over", "record"):
                assert value(samples, "vochi_deliveries_total", kind=kind, status="done") == 1
                assert value(samples, "vochi_crm_attempts_total", kind=kind, outcome="ok") == 1
            assert value(samples, "vochi_delivery_latency_seconds_count", **{"class": "realtime"}) == 2
            assert value(samples, "vochi_delivery_latency_seconds_count", **{"class": "history"}) == 1
            assert value(samples, "vochi_event_accept_seconds_count") == 2
            assert 0 < value(samples, "vochi_delivery_latency_seconds_sum") < 5
            assert value(samples, "vochi_listening") == 1
            assert value(samples, "vochi_snapshot_enterprises") == 1
            assert value(samples, "vochi_spool_in_use") == 0
            assert value(samples, "vochi_breakers", state="closed") >= 0
            assert value(samples, "process_cpu_seconds_total") > 0

        await eventually(counted)


async def test_what_was_not_sent_is_counted_with_its_reason(lab: Lab) -> None:
    await lab.add_company(user_extensions={"1001": "150"})
    async with lab.daemon() as daemon:
        await play(daemon, ["153"])

        async def counted() -> None:
            samples = await scraped(daemon)
            assert value(samples, "vochi_deliveries_total", kind="popup", status="skipped", reason="no_mapping") == 1

        await eventually(counted)


async def test_refusals_failures_and_breakers_show(lab: Lab) -> None:
    await lab.add_company()
    lab.crm.switch(fault="500")
    overrides = {"breaker__failures": 1, "delivery__retry_base": 0.05}
    async with lab.daemon("state", **overrides) as daemon:
        assert (await daemon.send("POST", f"{daemon.public}/dial", json={"Token": "wrong", "UniqueId": "1.1"}))[
            0
        ] == 401
        await play(daemon, ["151"])

        async def counted() -> None:
            samples = await scraped(daemon)
            assert value(samples, "vochi_requests_refused_total", status="401") == 1
            assert value(samples, "vochi_crm_attempts_total", outcome="crm_unreachable") >= 1
            assert value(samples, "vochi_breakers", state="open") == 1

        await eventually(counted)


async def test_labels_are_bounded_however_many_enterprises_there_are(lab: Lab) -> None:
    """Twenty companies make no more series than one."""
    await lab.add_company()
    async with lab.daemon() as daemon:
        await play(daemon, ["151"])
        await until(lambda: lab.records)
        await eventually(lambda: _has(daemon, 1, "popup_over"))
        await eventually(lambda: _has(daemon, 1, "record"))
        before = await scraped(daemon)
        for index in range(20):
            await lab.add_company(f"9{index:03}", f"token-{index}", api_key="test-key-0001")
        await eventually(lambda: _knows(daemon, 21))
        for index in range(20):
            body = dial(0, ["151"], 1)[2] | {"UniqueId": fresh_id(next(SUFFIXES))}
            await daemon.post("dial", body, f"token-{index}")
        await eventually(lambda: _has(daemon, 21))
        after = await scraped(daemon)
        assert not [key for key in after if any(given in {NUMBER, "9000"} for _, given in key[1])]
        new = {key[0] for key in after.keys() - before.keys()}
        assert not {name for name in new if "latency" in name or "answer" in name or "accept" in name}


async def _has(daemon: DaemonUnderTest, deliveries: int, kind: str = "popup") -> None:
    assert value(await scraped(daemon), "vochi_deliveries_total", kind=kind, status="done") == deliveries


async def _knows(daemon: DaemonUnderTest, enterprises: int) -> None:
    assert value(await scraped(daemon), "vochi_snapshot_enterprises") == enterprises


async def test_metrics_are_not_for_the_world(lab: Lab) -> None:
    async with lab.daemon() as daemon:
        assert (await daemon.send("GET", f"{daemon.public}/metrics"))[0] == 404
        assert (await daemon.send("GET", f"{daemon.public}/api/doctor"))[0] == 404
        assert (await daemon.send("GET", f"{daemon.public}/api/support-bundle"))[0] == 404


CALLS = 200


@pytest.mark.alone
async def test_counting_costs_two_percent_of_the_event_path_at_most(lab: Lab) -> None:
    """What the daemon's process spends on a call, by its own metric, beside what counting that call takes."""
    await lab.add_company()
    lab.crm.switch(rate_limit=False)
    unlimited = {"VOCHI_DELIVERY__ENTERPRISE_RATE": "10000"}
    async with serving(lab, **unlimited) as (_, daemon):
        await asyncio.gather(*(play(daemon, ["151"]) for _ in range(20)))
        before = value(await scraped(daemon), "process_cpu_seconds_total")
        for _ in range(CALLS // 20):
            await asyncio.gather(*(play(daemon, ["151"]) for _ in range(20)))
        await until(lambda: len(lab.records) >= CALLS + 20, 20.0)
        spent = (value(await scraped(daemon), "process_cpu_seconds_total") - before) / CALLS
    counting = min(counting_seconds() for _ in range(5))
    assert counting <= 0.02 * spent, f"{counting * 1e6:.1f} us of {spent * 1e6:.0f}"


def counting_seconds(calls: int = 2_000) -> float:
    """Return what the counters of one call take: two events, three deliveries with an attempt each."""
    witness, state = Witness(), CallState(unique_id="1.1")
    body = dial(0, ["151"], 1)[2]
    event = read_event("dial", "1.1", body, Directory(), received_at=clock.now(), origin="live")
    stored = [Stored(NUMBER, event, Step(state), None, ())]
    kinds: tuple[tuple[Kind, DeliveryClass], ...] = (
        ("popup", "realtime"), ("popup_over", "realtime"), ("record", "history"),
    )  # fmt: skip
    deliveries = [
        Delivery(enterprise=NUMBER, integration="retailcrm", call="1.1", kind=kind, dedupe_key="", cls=cls, payload={})
        for kind, cls in kinds
    ]
    answer = Answer(event_type="call_event:in", request={}, http_status=200, started_at=clock.now(), elapsed_ms=9.0)
    began = time.process_time()
    for _ in range(calls):
        witness.stored(stored)
        witness.stored(stored)
        for delivery in deliveries:
            witness.attempted(delivery, answer)
            witness.settled(delivery, "done", None)
    return (time.process_time() - began) / calls


async def test_every_metric_of_the_rules_and_the_dashboard_exists(lab: Lab) -> None:
    await lab.add_company()
    async with lab.daemon(alerts__interval=0.1) as daemon:
        await play(daemon, ["151"])
        await until(lambda: lab.records)
        await eventually(lambda: _has(daemon, 1))
        await daemon.send("GET", f"{daemon.public}/nothing")
        await eventually(lambda: _watched(daemon))
        known = {name for name, _ in await scraped(daemon)}
    used = {name: file.name for file in DOCS.iterdir() for name in re.findall(r"\bvochi_\w+", file.read_text("utf-8"))}
    assert len(used) > 20
    assert {name: file for name, file in used.items() if name not in known} == {}


def test_the_rules_tell_numbers_that_can_change_and_of_silence_too() -> None:
    """A value that is always 1 says nothing; each daemon is judged by what it says itself."""
    rules = re.split(r"- alert: ", (DOCS / "rules.yml").read_text("utf-8"))[1:]
    telling = [rule for rule in rules if "$value" in rule]
    assert len(telling) > 5
    assert not [rule for rule in telling if "== 1" in rule]
    assert [rule for rule in rules if 'vochi_alerts{rule="host_silent"}' in rule]
    assert [rule.split()[0] for rule in rules if "absent(" in rule] == ["VochiDown"]


async def _watched(daemon: DaemonUnderTest) -> None:
    assert "vochi_backlog" in {name for name, _ in await scraped(daemon)}


def test_the_dashboard_is_json_with_a_panel_for_each_part() -> None:
    dashboard = json.loads((DOCS / "dashboard.json").read_text("utf-8"))
    assert len(dashboard["panels"]) >= 10
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
