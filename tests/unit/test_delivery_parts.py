"""The small pure parts of delivery: rate, backoff, cards, redaction."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vochi_integrations.background import Batcher
from vochi_integrations.cards import Cards, cards_of
from vochi_integrations.domain import Delivery, Kind, Reason
from vochi_integrations.logs import mask_phone, mask_secret_values, redactor, without_secrets
from vochi_integrations.rate import SlidingWindow, backoff


@given(st.floats(0.5, 60), st.lists(st.floats(0, 0.3), max_size=200))
def test_no_stretch_of_time_has_more_requests_than_the_rate_allows(rate: float, gaps: list[float]) -> None:
    window, now, taken = SlidingWindow(rate), 0.0, []
    for gap in gaps:
        now += gap
        if window.wait_seconds(now) == 0:
            window.take(now)
            taken.append(now)
    allowed = max(1, int(rate))
    span = allowed / rate
    assert all(sum(moment <= other < moment + span * 0.999 for other in taken) <= allowed for moment in taken)


def test_the_window_says_how_long_to_wait() -> None:
    window = SlidingWindow(2)
    window.take(10.0)
    window.take(10.4)
    assert window.wait_seconds(10.5) == pytest.approx(0.6)
    assert window.wait_seconds(11.1) == 0


def test_a_quarter_of_the_rate_is_kept_free() -> None:
    window = SlidingWindow(8)
    for _ in range(6):
        assert window.wait_seconds(10.0, window.reserve) == 0
        window.take(10.0)
    assert window.wait_seconds(10.0, window.reserve) == pytest.approx(1.1)
    assert window.wait_seconds(10.0) == 0


def test_a_held_window_lets_nothing_go_and_is_not_forgotten() -> None:
    window = SlidingWindow(40)
    assert window.is_quiet(10.0)
    window.hold(15.0)
    assert window.wait_seconds(10.0) == pytest.approx(5.0)
    assert not window.is_quiet(14.9)
    window.take(15.0)
    assert not window.is_quiet(15.5)
    assert window.is_quiet(16.5)


@given(st.floats(0.01, 5), st.integers(1, 500))
def test_pauses_double_to_their_limit(base: float, failures: int) -> None:
    expected = min(60.0, base * 2.0 ** min(failures - 1, 60))
    assert expected / 2 <= backoff(base, failures, 60.0) <= expected


def delivery(kind: Kind, codes: list[str], reason: str | None = None) -> Delivery:
    return Delivery(
        enterprise="1",
        integration="retailcrm",
        call="1.1",
        kind=kind,
        dedupe_key="",
        cls="realtime",
        payload={"codes": codes},
        reason=reason,
    )


class TestCards:
    def test_what_is_closed_is_not_shown_any_more(self) -> None:
        cards = Cards()
        cards.close(delivery("popup_over", ["150", "152"], Reason.ANSWERED_ELSEWHERE))
        popup = delivery("popup", ["150", "151"])
        assert cards.to_show(popup) == ["151"]
        assert cards.why_closed(popup) == Reason.ANSWERED_ELSEWHERE

    def test_only_what_was_shown_is_closed(self) -> None:
        cards = Cards()
        cards.begin(["151"])
        assert cards.to_close(delivery("popup_over", ["150", "151"])) == ["151"]

    def test_a_call_is_over_when_its_cards_are_closed_and_nothing_is_to_be_delivered(self) -> None:
        cards, popup, over = Cards(), delivery("popup", ["150", "151"]), delivery("popup_over", ["150", "151"])
        cards.take(popup)
        cards.begin(["151"])
        assert not cards.is_over
        cards.take(over)
        cards.close(over)
        assert not cards.is_over
        cards.release(over)
        assert not cards.is_over
        cards.release(popup)
        assert cards.is_over

    def test_they_are_read_back_from_the_table(self) -> None:
        cards = cards_of(
            [
                ("popup", ["150"], "done", 1, None),
                ("popup", ["151"], "sending", 0, None),
                ("popup", ["152"], "pending", 0, None),
                ("popup", ["153"], "expired", 0, "expired"),
                ("popup_over", ["150"], "done", 1, "answered_elsewhere"),
            ]
        )
        assert cards == Cards(shown={"150", "151"}, closed={"150": "answered_elsewhere"}, running=1)


async def test_a_batcher_flushes_in_order_and_collects_meanwhile() -> None:
    batches: list[list[int]] = []
    gate = asyncio.Event()

    async def flush(batch: list[int]) -> None:
        batches.append(batch)
        await gate.wait()

    batcher = Batcher(flush, limit=3)
    runner = asyncio.create_task(batcher.run())
    batcher.add(0)
    while not batches:
        await asyncio.sleep(0)
    for number in range(1, 6):
        batcher.add(number)
    gate.set()
    await batcher.drained()
    assert batches == [[0], [1, 2, 3], [4, 5]]
    runner.cancel()


def test_secrets_are_masked_by_name_at_any_depth() -> None:
    value = {"apiKey": "k", "event": [{"clientId": "c", "phone": "1"}], "Token": None, "password": {"a": 1}}
    assert without_secrets(value) == {
        "apiKey": "****",
        "event": [{"clientId": "****", "phone": "1"}],
        "Token": "****",
        "password": "****",
    }
    assert mask_secret_values({"api_key": "abcdefghij", "x": {"secret": "short"}, "token": ""}) == {
        "api_key": "****ghij",
        "x": {"secret": "****"},
        "token": "",
    }


def test_log_lines_have_no_secret_and_no_whole_phone() -> None:
    redact = redactor(show_phones=False)
    assert redact(None, "", {"event": "x", "token": "t", "api_key": "k", "phone": "+375290000001"}) == {
        "event": "x",
        "token": "****",
        "api_key": "****",
        "phone": "+37529****001",
    }
    assert redact(None, "", {"error": "375290000001 is busy"}) == {"error": "37529****001 is busy"}
    assert redact(None, "", {"phone": None, "error": None}) == {"phone": None, "error": None}
    assert redactor(show_phones=True)(None, "", {"phone": "+375290000001"}) == {"phone": "+375290000001"}
    assert mask_phone("12345") == "****"
