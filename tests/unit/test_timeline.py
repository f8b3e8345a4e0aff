"""The timeline of a call: every kind of event and delivery has its line, in order, with the PBX's clock corrected."""

from typing import Any, get_args

import pytest

from tests.kinds import MAIN, C, by_time, dial, hangup, start, talk
from vochi_integrations.domain import Directory, Kind, Reason, Status
from vochi_integrations.ops.clicks import CLICKS, REFUSALS
from vochi_integrations.ops.redirects import SOURCES
from vochi_integrations.ops.summary import delays, skew_of, summarize
from vochi_integrations.ops.timeline import timeline
from vochi_integrations.ops.trace import TracedCall

BEGAN = float(MAIN.partition(".")[0])
OFFICE = Directory(internal=frozenset({"150", "151", "152"}))


def rows(*events: tuple[float, str, dict[str, Any]], reason: str | None = None) -> list[dict[str, Any]]:
    return [
        {
            "event_type": kind,
            "unique_id": body.get("UniqueId") or body["BridgeUniqueid"],
            "reason": reason,
            "repeats": 0,
            "data_source": "live",
            "raw_data": body,
            "received_at": BEGAN + second,
        }
        for second, kind, body in events
    ]


def delivery(kind: str, status: str, reason: str | None = None, **more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "id": 7,
        "kind": kind,
        "class": "history" if kind == "record" else "realtime",
        "status": status,
        "reason": reason,
        "attempts": 1,
        "replays": 0,
        "payload": {"codes": ["150"]},
        "response": None,
        "event_at": BEGAN + 1,
        "first_attempt_at": BEGAN + 1.01,
        "finished_at": BEGAN + 1.05,
    }
    return known | more


ANSWERED = by_time(start(0), dial(1, ["150", "151"]), talk(8, 20, "151", 1), hangup(24, ["151"], "2"))


def test_a_call_is_told_in_the_order_of_its_moments() -> None:
    call = TracedCall(
        MAIN, rows(*ANSWERED), [delivery("popup", "done"), delivery("record", "done", event_at=BEGAN + 24)]
    )
    entries = timeline(call, OFFICE)
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    titles = [entry.title for entry in entries]
    assert titles[0] == "Звонок начался на АТС"
    for title in (f"Вызываются 150, 151, звонит {C}", f"Разговор: 151 и {C}", "Карточка 150: принято CRM"):
        assert title in titles
    assert "Звонок завершён, был разговор: 151" in titles
    (popup,) = [entry for entry in entries if entry.title.startswith("Карточка")]
    assert popup.ms == pytest.approx(50)


def test_times_of_a_pbx_with_a_slow_clock_are_corrected() -> None:
    late = [(second + 192, kind, body) for second, kind, body in ANSWERED]
    call = TracedCall(MAIN, rows(*late), [])
    skew = skew_of(delays(call.events * 3))
    assert skew == 192
    first = timeline(call, OFFICE, skew=skew)[0]
    assert (first.title, first.at) == ("Звонок начался на АТС", BEGAN + 192)
    (ended,) = [entry for entry in timeline(call, OFFICE, skew=skew) if entry.title.startswith("Звонок завершён")]
    assert "событие шло 1 с" in ended.detail


@pytest.mark.parametrize(
    ("found", "skew"),
    [
        ([], 0.0),
        ([0.4, 1.0, 30.0], 0.0),
        ([60.0], 0.0),
        ([60.0, 61.0], 0.0),
        ([-0.9, 0.2], 0.0),
        ([191.0, 192.0, 240.0], 191.0),
        ([-60.0], -60.0),
        ([-60.0, -59.0], -60.0),
    ],
)
def test_a_late_event_is_no_wrong_clock(found: list[float], skew: float) -> None:
    assert skew_of(found) == skew


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("status", get_args(Status))
@pytest.mark.parametrize("reason", [None, *Reason])
def test_every_delivery_has_its_line(kind: str, status: str, reason: str | None) -> None:
    (entry,) = timeline(TracedCall("x", [], [delivery(kind, status, reason)]), OFFICE)
    assert entry.title
    assert bool(entry.delivery) == (kind == "record" and status == "failed")
    if reason and status in ("skipped", "expired", "failed"):
        assert entry.reason == reason
        assert entry.detail


@pytest.mark.parametrize("reason", Reason)
def test_every_decision_about_an_event_is_shown_with_its_code(reason: Reason) -> None:
    (entry,) = timeline(TracedCall("x", rows(dial(1, ["150"]), reason=reason), []), OFFICE)
    assert entry.reason == ("" if reason is Reason.INFORMATIONAL else reason)


def log_row(event_type: str, request: object, response: object, **more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "integration_type": "smart",
        "event_type": event_type,
        "request_data": request,
        "response_data": response,
        "status": "success",
        "error_message": None,
        "elapsed_ms": 12.0,
        "http_status": None,
        "began_at": BEGAN,
    }
    return known | more


@pytest.mark.parametrize("state", CLICKS)
@pytest.mark.parametrize("reason", [None, *REFUSALS])
def test_clicks_are_told_with_what_came_of_them_once_each(state: str, reason: str | None) -> None:
    row = {"source": "retailcrm", "code": "150", "phone": C, "state": state, "reason": reason, "message": ""}
    click = {**row, "pbx_ms": 80.0, "clicked_at": BEGAN}
    asked, came = {"code": "150", "phone": C}, {"state": state, "reason": reason, "pbx_ms": 80.0}
    noted = log_row("make_call:outcome", asked, came, integration_type="retailcrm")
    (entry,) = timeline(TracedCall("x", [], [], [noted], [click]), OFFICE)
    assert CLICKS[state] in entry.detail
    assert (bool(reason) and REFUSALS[reason or ""] in entry.detail) == (state == "failed" and reason is not None)
    assert (entry.source, entry.title) == ("pbx", f"Звонок по клику в CRM: 150 → {C}")
    assert timeline(TracedCall("x", [], [], [noted], []), OFFICE) == [entry], "made while PostgreSQL was away"


@pytest.mark.parametrize("source", SOURCES)
def test_smart_redirects_are_our_decisions_in_words(source: str) -> None:
    extension = "151" if source in ("retailcrm", "last_call", "first_call") else ""
    failed = source in ("timeout", "error")
    answer = {"source": source, "cached": True, "extension": extension, "name": "Виктор"}
    row = log_row("smart_redirect", {"phone": C}, answer, status="error" if failed else "success")
    (entry,) = timeline(TracedCall("x", [], [], [row]), OFFICE)
    assert entry.title == "Умная переадресация: " + ("добавочный 151" if extension else "как обычно, по настройкам АТС")
    assert entry.detail == f"{SOURCES[source]}, уже было известно, АТС покажет имя: Виктор"
    assert (entry.source, entry.reason, entry.tone == "bad", entry.ms) == ("us", source, failed, 12.0)


@pytest.mark.parametrize("reason", [None, *REFUSALS])
def test_a_moved_channel_is_the_pbxs_in_words(reason: str | None) -> None:
    asked, came = {"channel": "SIP/0001363-00000004", "extension": "151"}, {"reason": reason} if reason else None
    row = log_row("channel_redirect", asked, came, status="error" if reason else "success", error_message=reason)
    (entry,) = timeline(TracedCall("x", [], [], [row]), OFFICE)
    moved = "АТС не перевела звонок на 151" if reason else "Звонок переведён на 151"
    assert (entry.source, entry.title) == ("pbx", moved)
    assert entry.detail == (REFUSALS[reason] if reason else "")


def test_a_strange_line_of_the_log_breaks_nothing() -> None:
    for event_type in ("smart_redirect", "channel_redirect", "make_call:outcome", "solar_flare"):
        bodies: tuple[object, ...] = (None, "text", [], {"source": 5, "reason": {}})
        for body in bodies:
            row = log_row(event_type, body, body)
            assert len(timeline(TracedCall("x", [], [], [row]), OFFICE)) == 1


def test_a_strange_body_is_shown_and_breaks_nothing() -> None:
    strange = {"UniqueId": MAIN, "Phone": {"a": 1}, "Extensions": 5, "CallType": "?", "EndTime": "yesterday"}
    call = TracedCall(MAIN, rows((0, "hangup", strange), (1, "solar_flare", {"UniqueId": MAIN})), [])
    assert [entry.title for entry in timeline(call, OFFICE)][-1] == "solar_flare"
    assert summarize(MAIN, call.events, OFFICE).direction is None


def test_a_call_in_a_line() -> None:
    summary = summarize(MAIN, rows(*ANSWERED), OFFICE)
    assert (summary.phone, summary.direction, summary.extensions) == (C, "in", ("150", "151"))
    assert (summary.answered, summary.is_live, summary.talk) == (True, False, 12)
    live = summarize(MAIN, rows(start(0), dial(1, ["150"])), OFFICE)
    assert (live.answered, live.is_live, live.talk) == (False, True, None)
