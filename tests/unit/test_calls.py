"""The call state machine on every recorded kind of call, and on whatever may become of their events."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.folding import DIRECTORY, ENTERPRISE, Outcome, events_of, play, read
from tests.kinds import GROUP, INTERNAL, KINDS, MAIN, RECORDED, C, M, by_time, dial, hangup, mobile_leg, start, talk
from vochi_integrations.callbook import CallBook
from vochi_integrations.calls import OPEN_BRIDGE_SECONDS, fold, idle_until
from vochi_integrations.callstate import CallState
from vochi_integrations.demo.sequences import RECORDED_AT, Sequence
from vochi_integrations.domain import CallEvent, ClosePopup, Reason, ShowPopup, Skip, WriteRecord
from vochi_integrations.events import timeout_event

by_name = pytest.mark.parametrize("sequence", KINDS, ids=[kind.name for kind in KINDS])


@by_name
def test_each_kind_brings_the_pop_ups_and_the_record_it_should(sequence: Sequence) -> None:
    outcome = play(events_of(sequence))
    shown = [(popup.call, popup.direction, list(popup.extensions)) for popup in outcome.popups]
    assert shown == [(popup.id, popup.type, popup.codes) for popup in sequence.expect.popups]
    expected = sequence.expect.record
    records = [(item.call, item.direction, item.result == "answered", item.first or None) for item in outcome.records]
    assert records == ([(expected.id, expected.type, expected.answered, expected.code)] if expected else [])


@by_name
def test_every_card_that_was_shown_is_closed(sequence: Sequence) -> None:
    outcome = play(events_of(sequence))
    shown = Counter(code for popup in outcome.popups for code in popup.extensions)
    closed = Counter(code for effect in outcome.effects if isinstance(effect, ClosePopup) for code in effect.extensions)
    assert shown == closed


@by_name
def test_every_event_leads_to_something_or_has_a_reason(sequence: Sequence) -> None:
    book, events = CallBook(), events_of(sequence)
    for event in events:
        step = book.fold(ENTERPRISE, book.call_of(ENTERPRISE, event), event)
        assert step.effects or step.reason


@by_name
def test_times_are_never_negative_nor_longer_than_the_call(sequence: Sequence) -> None:
    for record in play(events_of(sequence)).records:
        assert 0 <= record.duration <= sequence.seconds + 130
        assert 0 <= record.waiting <= sequence.seconds + 130


def disturbed(sequence: Sequence) -> st.SearchStrategy[list[CallEvent]]:
    """Lose some events, double others, let all of them arrive in any order."""
    events = events_of(sequence)
    counts = st.lists(st.integers(0, 2), min_size=len(events), max_size=len(events))
    return counts.flatmap(
        lambda copies: st.permutations(
            [event for event, count in zip(events, copies, strict=True) for _ in range(count)]
        )
    )


disturbed_calls = st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), disturbed(kind)))


def rung_by(events: list[CallEvent]) -> dict[str, set[str]]:
    """Return who each channel's own dials, or its hangup, say was rung."""
    rung: dict[str, set[str]] = defaultdict(set)
    for event in events:
        if event.kind in ("dial", "hangup"):
            rung[event.unique_id] |= {number.extension for number in event.extensions if number.extension}
    return rung


@settings(max_examples=600, deadline=None)
@given(disturbed_calls)
def test_disorder_never_makes_a_second_record_or_a_wrong_pop_up(case: tuple[Sequence, list[CallEvent]]) -> None:
    sequence, events = case
    outcome = play(events)
    assert max(Counter(record.call for record in outcome.records).values(), default=0) <= 1
    shown = Counter((popup.call, code) for popup in outcome.popups for code in popup.extensions)
    assert max(shown.values(), default=0) <= 1
    rung = rung_by(events)
    assert all(code in rung[call] for call, code in shown)
    customer_side = {
        "in" if event.call_type == 0 else "out"
        for event in events
        if event.unique_id == MAIN and event.call_type in (0, 1)
    }
    directions = {
        effect.direction for effect in outcome.effects if not isinstance(effect, Skip) and effect.call == MAIN
    }
    assert directions <= customer_side
    if "FollowMe" not in sequence.name:
        assert {record.call for record in outcome.records} <= {
            sequence.expect.record.id if sequence.expect.record else ""
        }
    if sequence in INTERNAL or sequence.id == "S18":
        assert not outcome.popups
        assert not outcome.records


@settings(max_examples=300, deadline=None)
@given(disturbed_calls)
def test_folding_is_deterministic_and_goes_on_from_stored_events_anywhere(
    case: tuple[Sequence, list[CallEvent]],
) -> None:
    _, events = case
    whole = play(events)
    for cut in range(len(events) + 1):
        first = Outcome()
        play(events[:cut], CallBook(), first)
        restarted = CallBook()
        stored = [((ENTERPRISE, call), event) for call, event in first.stored]
        restarted.restore(dict(stored), stored)
        resumed = play(events[cut:], restarted, first)
        assert resumed.effects == whole.effects
        assert resumed.reasons == whole.reasons


@settings(max_examples=300, deadline=None)
@given(disturbed_calls, st.data())
def test_what_is_taken_back_never_happened(case: tuple[Sequence, list[CallEvent]], data: st.DataObject) -> None:
    _, events = case
    whole = play(events)
    cut = data.draw(st.integers(0, len(events)))
    refused = events[cut : cut + data.draw(st.integers(0, 4))]
    book = CallBook()
    outcome = play(events[:cut], book)
    before: dict[tuple[str, str], CallState] = {}
    for event in refused:
        call = book.call_of(ENTERPRISE, event)
        before.setdefault((ENTERPRISE, call), book.state(ENTERPRISE, call))
        play([event], book)
    for key, state in before.items():
        book.rewind(key, state)
    assert {key: book.state(*key) for key in before} == before
    play(events[cut:], book, outcome)
    assert outcome.effects == whole.effects
    assert outcome.reasons == whole.reasons


def test_a_leg_to_a_mobile_makes_nothing_even_without_its_main_call() -> None:
    outcome = play(read(*event) for event in mobile_leg(2, 9, "2"))
    assert not outcome.popups
    assert not outcome.records
    assert set(outcome.reasons) == {Reason.FORWARDING_LEG}


def test_a_lone_call_to_a_colleagues_mobile_is_an_outgoing_call() -> None:
    outcome = play([read(*dial(0, ["151"], 1, phone=M)), read(*hangup(20, ["151"], "2", 1, phone=M))])
    assert [popup.extensions for popup in outcome.popups] == [("151",)]
    assert [(record.direction, record.phone, record.first) for record in outcome.records] == [("out", M, "151")]


def test_a_transfer_hangup_that_comes_before_the_call_still_closes_it() -> None:
    events = [read(*hangup(65, ["152"], "2", 2)), read(*start(66)), read(*dial(67, GROUP))]
    outcome = play(events)
    assert [(record.direction, record.first) for record in outcome.records] == [("in", "152")]
    assert not outcome.popups


def test_a_second_hangup_with_a_link_changes_nothing() -> None:
    call = [read(*event) for event in (start(0), dial(1, GROUP), hangup(9, ["150"], "2"), hangup(12, ["151"], "2"))]
    outcome = play(call)
    assert [record.first for record in outcome.records] == ["150"]
    assert outcome.reasons[-1] is Reason.DUPLICATE


def test_the_first_answer_closes_the_other_cards_at_once() -> None:
    outcome = play(read(*event) for event in by_time(start(0), dial(1, GROUP), talk(4, 12, "151", 1)))
    (over,) = [effect for effect in outcome.effects if isinstance(effect, ClosePopup)]
    assert (over.extensions, over.outcome, over.reason) == (("150", "152"), "no answered", "answered_elsewhere")
    assert over.at == RECORDED_AT + 4


def test_an_answer_is_seen_from_the_colleagues_channel_when_the_calls_own_event_is_lost() -> None:
    events = [start(0), dial(1, ["109"]), *talk(5, 20, "117", 1), hangup(22, ["109"], "2")]
    main_lost = [
        event for event in events if event[1] == "hangup" or "117" not in str(event[2].get("ConnectedLineNum"))
    ]
    assert [record.first for record in play(read(*event) for event in main_lost).records] == ["117"]


def test_a_late_dial_of_a_finished_call_shows_no_card() -> None:
    outcome = play([read(*hangup(9, ["150"], "2")), read(*dial(10, GROUP))])
    assert [popup.synthetic for popup in outcome.popups] == [True]
    assert outcome.reasons[-1] is Reason.CALL_OVER


def test_an_internal_call_is_skipped_with_its_reason() -> None:
    outcome = play([read(*hangup(20, ["150"], "2", 2, phone="152"))])
    assert outcome.effects == [
        Skip(call=MAIN, at=RECORDED_AT + 20, kind="record", reason=Reason.INTERNAL_CALL),
    ]


@pytest.mark.parametrize("phone", ["", "<unknown>", "Anonymous", "0001363", "12345a", "+1234"])
def test_a_phone_that_is_nobodys_makes_nothing(phone: str) -> None:
    outcome = play(
        [read(*start(0, phone=phone)), read(*dial(1, GROUP, phone=phone)), read(*hangup(9, ["150"], "2", phone=phone))]
    )
    assert not outcome.popups
    assert not outcome.records
    assert outcome.reasons[-1] is Reason.NO_CUSTOMER


class TestTimes:
    def test_talk_is_from_the_first_to_the_last_moment_in_a_bridge(self) -> None:
        record = self.record(start(0), dial(1, GROUP), *talk(5, 17, "151", 1), hangup(24, ["151"], "2"))
        assert (record.duration, record.waiting, record.began_at) == (12, 5, RECORDED_AT)

    def test_an_open_bridge_ends_with_the_call_as_the_pbx_dates_it(self) -> None:
        entered = [event for event in talk(5, 17, "151", 1) if event[1] == "bridge"]
        record = self.record(start(0), dial(1, GROUP), *entered, hangup(30, ["151"], "2"))
        assert record.duration == 29 - 5

    def test_without_a_bridge_talk_is_the_whole_call_if_it_was_answered(self) -> None:
        assert self.record(start(0), dial(1, GROUP), hangup(24, ["151"], "2")).duration == 23
        assert self.record(start(0), dial(1, GROUP), hangup(24, [""], "0")).duration == 0
        assert self.record(start(0), dial(1, GROUP), hangup(24, [""], "0")).waiting == 23

    def test_a_pbx_clock_far_off_does_not_change_how_long_it_rang(self) -> None:
        events = by_time(start(0), dial(1, GROUP), talk(5, 17, "151", 1), hangup(24, ["151"], "2"))
        late = [read(seconds + 86_400, route, body) for seconds, route, body in events]
        (record,) = play(late).records
        assert (record.duration, record.waiting) == (12, 5)

    def record(self, *events: tuple[float, str, dict[str, object]]) -> WriteRecord:
        (record,) = play(read(*event) for event in by_time(*events)).records
        return record


class TestOrphans:
    def test_a_silent_call_is_closed_from_what_was_seen(self) -> None:
        state = self.state(start(0), dial(1, GROUP))
        step = fold(state, timeout_event(MAIN, 900, DIRECTORY, RECORDED_AT + 902))
        record = step.effects[-1]
        assert isinstance(record, WriteRecord)
        assert (record.result, record.waiting, record.first) == ("no answer", 1, "")
        assert isinstance(step.effects[0], ClosePopup)

    def test_an_answered_one_stays_answered(self) -> None:
        state = self.state(start(0), dial(1, GROUP), *talk(5, 17, "151", 1))
        record = fold(state, timeout_event(MAIN, 900, DIRECTORY, RECORDED_AT + 1000)).effects[-1]
        assert isinstance(record, WriteRecord)
        assert (record.result, record.first, record.duration) == ("answered", "151", 12)

    def test_one_that_talks_is_given_four_hours(self) -> None:
        entered = [event for event in talk(5, 17, "151", 1) if event[1] == "bridge"]
        state = self.state(start(0), dial(1, GROUP), *entered)
        assert idle_until(state, 900) == RECORDED_AT + 5 + OPEN_BRIDGE_SECONDS
        assert not fold(state, timeout_event(MAIN, 900, DIRECTORY, RECORDED_AT + 2000)).effects

    def test_one_that_was_heard_of_lately_is_left_alone(self) -> None:
        state = self.state(start(0), dial(1, GROUP))
        assert not fold(state, timeout_event(MAIN, 900, DIRECTORY, RECORDED_AT + 900)).effects

    def test_a_hangup_after_that_is_a_duplicate(self) -> None:
        state = self.state(start(0), dial(1, GROUP))
        state = fold(state, timeout_event(MAIN, 900, DIRECTORY, RECORDED_AT + 902)).state
        assert fold(state, read(*hangup(950, ["150"], "2"))).reason is Reason.DUPLICATE

    def state(self, *events: tuple[float, str, dict[str, object]]) -> CallState:
        book = CallBook()
        play((read(*event) for event in by_time(*events)), book)
        return book.state(ENTERPRISE, MAIN)


def test_the_recorded_calls_are_all_there() -> None:
    assert [sequence.id for sequence in RECORDED] == [
        "S1",
        "S2",
        "S3",
        "S4",
        "S5",
        "S6",
        "S8",
        "S9",
        "S11",
        "S13",
        "S18",
        "S20",
        "S21",
    ]


def test_a_synthetic_pop_up_says_when_its_call_ended() -> None:
    outcome = play([read(*hangup(30, ["151", M], "2"))])
    assert [(popup.extensions, popup.ended_at) for popup in outcome.popups] == [(("151",), RECORDED_AT + 29)]
    assert [effect.outcome for effect in outcome.effects if isinstance(effect, ClosePopup)] == ["answered"]
    assert isinstance(outcome.effects[0], ShowPopup)


def test_a_call_that_nobody_was_dialled_for_was_cancelled() -> None:
    outcome = play([read(*hangup(3, ["151"], "1", 1))])
    assert [effect.outcome for effect in outcome.effects if isinstance(effect, ClosePopup)] == ["cancel"]
    assert [record.result for record in outcome.records] == ["failed"]
    assert outcome.records[0].phone == C


def record_of(*events: tuple[float, str, dict[str, object]]) -> WriteRecord:
    (record,) = play(read(*event) for event in events).records
    return record


@pytest.mark.parametrize("named", [["375290000009"], [""]])
def test_a_mobile_beside_an_extension_may_have_answered_so_nobody_is_named(named: list[str]) -> None:
    record = record_of(start(0), dial(1, ["150", "375290000009"]), hangup(20, named, "2"))
    assert (record.result, record.first) == ("answered", "")


@pytest.mark.parametrize("status", ["0", "1", "2"])
@pytest.mark.parametrize("named", [["3880000"], ["80290000001"], [""], []])
def test_an_outgoing_call_is_the_callers_whatever_its_hangup_names(named: list[str], status: str) -> None:
    """The line, which need not be the one of `Trunk`, or the customer written in another way."""
    assert record_of(dial(0, ["151"], 1), hangup(20, named, status, 1)).first == "151"


def test_a_colleague_rung_after_the_answer_did_not_answer() -> None:
    events = [start(0), dial(1, ["150"]), *talk(4, 12, "150", 1), dial(13, ["150", "151"]), hangup(20, ["150"], "2")]
    effects = play(read(*event) for event in by_time(events)).effects
    closed = [(item.extensions, item.outcome) for item in effects if isinstance(item, ClosePopup)]
    assert closed == [(("150",), "answered"), (("151",), "no answered")]


def test_a_bridge_that_is_said_to_be_empty_is_empty() -> None:
    events = [event for event in [start(0), dial(1, ["150"]), *talk(4, 12, "150", 1)] if event[1] != "bridge_destroy"]
    leaves = [event for event in events if event[1] == "bridge_leave"]
    others = [event for event in events if event[1] != "bridge_leave"]
    state = CallState(unique_id=MAIN)
    for event in (*others, (leaves[-1][0], leaves[-1][1], leaves[-1][2] | {"BridgeNumChannels": "0"})):
        state = fold(state, read(*event)).state
    assert not state.joined


def test_a_channel_is_in_one_bridge_at_a_time() -> None:
    state = CallState(unique_id=MAIN)
    for event in (start(0), dial(1, ["150"]), *talk(4, 12, "150", 1)[:3], *talk(5, 12, "150", 2)[:3]):
        state = fold(state, read(*event)).state
    assert len({channel for channel, _ in state.joined}) == len(state.joined)
