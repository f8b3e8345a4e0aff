"""The call state machine: `fold(state, event) -> Step`. Pure: no I/O, no clock, no configuration.

The rules are design §6; the small print of records and pop-ups is the contract's.
"""

from collections.abc import Callable
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from vochi_integrations.domain import (
    CallEvent,
    ClosePopup,
    Direction,
    Effect,
    Number,
    Outcome,
    Party,
    Reason,
    Result,
    ShowPopup,
    Skip,
    WriteRecord,
)
from vochi_integrations.events import is_outside
from vochi_integrations.phones import last9

DIRECTIONS: dict[int, Direction] = {0: "in", 1: "out"}
ANSWERED = 2
NOT_DIALLED = 1
OPEN_BRIDGE_SECONDS = 4 * 3600.0
CLOCK_SKEW_SECONDS = 120.0
UNKNOWN_TALKER = ""


class CallState(Struct, frozen=True, kw_only=True, gc=False):
    """What is known of one call, keyed by (enterprise, `unique_id`). Times are UTC epoch seconds.

    `rung`, `popped` and `closed` are extensions; `talkers` too, "" for someone outside the office.
    `joined` are the (channel, bridge) pairs now in a bridge. `unclaimed` is a CallType-2 hangup that
    came before the call's own start or dial (rule 5).
    """

    unique_id: str
    version: int = 0
    direction: Direction | None = None
    phone: Number = Number()
    trunk: str = ""
    dialled: bool = False
    rung: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    popped: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    talkers: tuple[str, ...] = ()
    legs: tuple[str, ...] = ()
    joined: frozenset[tuple[str, str]] = frozenset()
    first_talk_at: float | None = None
    last_bridge_at: float = 0.0
    last_event_at: float = 0.0
    skew: float | None = None
    unclaimed: CallEvent | None = None
    ended: bool = False

    @property
    def is_customer_call(self) -> bool:
        """True once it is known to be a call with a customer, not an internal or a forwarding leg."""
        return self.direction is not None and is_outside(self.phone) and not self.is_forwarding

    @property
    def is_forwarding(self) -> bool:
        """A CallType-1 leg dialled by no extension (rule 6)."""
        return self.direction == "out" and self.dialled and not self.rung

    @property
    def is_live(self) -> bool:
        return self.is_customer_call and not self.ended


class Step(NamedTuple):
    """What an event did. `reason` says why it led to nothing, None when it led to something."""

    state: CallState
    effects: tuple[Effect, ...] = ()
    reason: Reason | None = None


def fold(state: CallState, event: CallEvent) -> Step:
    """Advance a call by one event of its own channel or of a leg linked to it."""
    heard_at = state.last_event_at if event.kind == "timeout" else max(state.last_event_at, event.received_at)
    known = replace(state, version=state.version + 1, last_event_at=heard_at)
    return HANDLERS.get(event.kind, _inform)(known, event)


def idle_until(state: CallState, idle_seconds: float) -> float:
    """Return when a call that hears nothing more counts as lost (contract, Orphans)."""
    return state.last_event_at + (max(idle_seconds, OPEN_BRIDGE_SECONDS) if state.joined else idle_seconds)


def _inform(state: CallState, _: CallEvent) -> Step:
    return Step(state, reason=Reason.INFORMATIONAL)


def _start(state: CallState, event: CallEvent) -> Step:
    return _claim(_identified(state, event), event, Step(state, reason=Reason.INFORMATIONAL))


def _dial(state: CallState, event: CallEvent) -> Step:
    if event.unique_id != state.unique_id:
        return _leg(state, event)
    state = _identified(state, event)
    extensions = tuple(number.extension for number in event.extensions if number.party is Party.INTERNAL)
    outside = tuple(number.digits for number in event.extensions if is_outside(number))
    state = replace(
        state,
        dialled=True,
        rung=_union(state.rung, extensions),
        outside=_union(state.outside, outside),
        trunk=event.trunk or state.trunk,
    )
    if state.ended:
        return Step(state, reason=Reason.CALL_OVER)
    step = Step(state, reason=_not_a_customer(state, event))
    return _claim(state, event, step) if step.reason or state.unclaimed else _ring(state, event, extensions)


def _ring(state: CallState, event: CallEvent, extensions: tuple[str, ...]) -> Step:
    """Show the card to the extensions this dial adds (rule 7)."""
    new = tuple(extension for extension in extensions if extension not in state.popped)
    if not new:
        return Step(state, reason=Reason.ALREADY_SHOWN if extensions else Reason.NO_EXTENSION)
    return Step(replace(state, popped=state.popped + new), (_popup(state, event, new),))


def _identified(state: CallState, event: CallEvent) -> CallState:
    """Learn direction and customer from a start or dial; the first to know fixes them (rule 4)."""
    direction = state.direction or DIRECTIONS.get(-1 if event.call_type is None else event.call_type)
    return replace(
        state,
        direction=direction,
        phone=state.phone if is_outside(state.phone) or not event.phone.digits else event.phone,
        trunk=state.trunk or event.trunk,
        skew=_skew(event) if state.skew is None else state.skew,
    )


def _skew(event: CallEvent) -> float:
    """How far our clock is ahead of the PBX's; less than two minutes is only a late arrival."""
    difference = 0.0 if event.began_at is None else event.received_at - event.began_at
    return difference if abs(difference) > CLOCK_SKEW_SECONDS else 0.0


def _not_a_customer(state: CallState, event: CallEvent) -> Reason | None:
    """Say why a call is no business of a CRM (rules 3, 5, 6), None when it is."""
    if state.phone.party is Party.INTERNAL:
        return Reason.INTERNAL_CALL
    if not is_outside(state.phone):
        return Reason.NO_CUSTOMER
    if state.direction is None:
        return Reason.INTERNAL_CALL
    if state.is_forwarding or _calls_for_a_stranger(state, event):
        return Reason.FORWARDING_LEG
    return None


def _calls_for_a_stranger(state: CallState, event: CallEvent) -> bool:
    """A CallType-1 leg known by its hangup alone, whose caller is an outside number, carries that number's call."""
    if state.dialled or state.direction != "out":
        return False
    others = (number for number in event.extensions if last9(number.digits) != last9(state.phone.digits))
    parties = {number.party for number in others}
    return bool(parties) and Party.INTERNAL not in parties


def _claim(state: CallState, event: CallEvent, otherwise: Step) -> Step:
    """End a call whose only hangup, of CallType 2, came before it was known to be a call (rule 5)."""
    if state.unclaimed is None or not state.is_customer_call:
        return otherwise._replace(state=state)
    hangup = replace(state.unclaimed, received_at=event.received_at)
    return _end(replace(state, unclaimed=None), hangup, replayed=True)


def _bridge(state: CallState, event: CallEvent) -> Step:
    talker = _talker(state, event)
    if event.kind == "bridge":
        state = replace(state, joined=state.joined | {(event.unique_id, event.bridge_id)})
    if talker is None:
        return Step(replace(state, last_bridge_at=event.received_at), reason=Reason.INFORMATIONAL)
    legs = state.legs if event.unique_id == state.unique_id else _union(state.legs, (event.unique_id,))
    first = event.received_at if state.first_talk_at is None else state.first_talk_at
    talkers = state.talkers if state.talkers[-1:] == (talker,) else (*state.talkers, talker)
    state = replace(state, legs=legs, talkers=talkers, first_talk_at=first, last_bridge_at=event.received_at)
    return _answered(state, event)


def _answered(state: CallState, event: CallEvent) -> Step:
    """Close the cards of everybody who was rung and does not talk."""
    others = tuple(item for item in state.popped if item not in state.closed and item not in state.talkers)
    if not others or state.ended:
        return Step(state, reason=Reason.INFORMATIONAL)
    over = _popup_over(state, event, others, "no answered", Reason.ANSWERED_ELSEWHERE)
    return Step(replace(state, closed=state.closed + others), (over,))


def _talker(state: CallState, event: CallEvent) -> str | None:
    """Return who talks with the customer in this bridge, None when it is no such bridge (rule 8).

    The call's own channel is the customer's on an incoming call and the extension's on an outgoing one.
    """
    caller, connected = event.caller, event.connected
    if event.unique_id != state.unique_id:
        return _talker_on_leg(state, caller, connected)
    if state.direction == "in":
        return _office_side(state, connected)
    if state.direction == "out":
        return caller.extension if caller.party is Party.INTERNAL else _only(state.rung)
    if caller.party is Party.INTERNAL:
        return None if connected.party is Party.INTERNAL else caller.extension
    return _office_side(state, connected)


def _talker_on_leg(state: CallState, caller: Number, connected: Number) -> str | None:
    for customer, office in ((caller, connected), (connected, caller)):
        if _is_customer(state, customer):
            return _office_side(state, office)
    return None


def _office_side(state: CallState, number: Number) -> str | None:
    """An extension, a manager's own mobile, or an outside number that the call's dial named."""
    if number.party is Party.INTERNAL or (number.party is Party.MOBILE and not _is_customer(state, number)):
        return number.extension
    named = {last9(digits) for digits in state.outside}
    return UNKNOWN_TALKER if number.digits and last9(number.digits) in named else None


def _is_customer(state: CallState, number: Number) -> bool:
    return bool(number.digits) and last9(number.digits) == last9(state.phone.digits)


def _bridge_leave(state: CallState, event: CallEvent) -> Step:
    left = frozenset(pair for pair in state.joined if pair[0] != event.unique_id or pair[1] != event.bridge_id)
    return _left(state, left, event)


def _bridge_destroy(state: CallState, event: CallEvent) -> Step:
    return _left(state, frozenset(pair for pair in state.joined if pair[1] != event.bridge_id), event)


def _left(state: CallState, joined: frozenset[tuple[str, str]], event: CallEvent) -> Step:
    moment = event.received_at if state.joined else state.last_bridge_at
    return Step(replace(state, joined=joined, last_bridge_at=moment), reason=Reason.INFORMATIONAL)


def _hangup(state: CallState, event: CallEvent) -> Step:
    if event.unique_id != state.unique_id:
        return _leg(state, event)
    if state.ended:
        return Step(state, reason=Reason.DUPLICATE)
    state = _identified(state, event) if event.call_type in DIRECTIONS else _with_phone(state, event)
    reason = _not_a_customer(state, event)
    if reason is None:
        return _end(replace(state, trunk=event.trunk or state.trunk), event)
    if state.direction is None and is_outside(state.phone):
        return _skipped(replace(state, unclaimed=event), event, reason)
    return _skipped(replace(state, ended=state.direction is not None), event, reason)


def _with_phone(state: CallState, event: CallEvent) -> CallState:
    return state if is_outside(state.phone) or not event.phone.digits else replace(state, phone=event.phone)


def _skipped(state: CallState, event: CallEvent, reason: Reason) -> Step:
    return Step(state, (Skip(call=state.unique_id, at=event.received_at, kind="record", reason=reason),), reason)


def _leg(state: CallState, event: CallEvent) -> Step:
    """A leg that carries this call on to someone's own phone makes nothing (rule 6)."""
    return Step(replace(state, legs=_union(state.legs, (event.unique_id,))), reason=Reason.FORWARDING_LEG)


def _timeout(state: CallState, event: CallEvent) -> Step:
    """Close a call whose hangup never came, from what was seen (rule 12)."""
    if not state.is_live:
        return Step(state, reason=Reason.CALL_OVER)
    if idle_until(state, event.idle_seconds) > event.received_at:
        return Step(state, reason=Reason.INFORMATIONAL)
    return _end(state, event)


def _end(state: CallState, event: CallEvent, *, replayed: bool = False) -> Step:
    """Make the call's one record and take its cards off the screens (rules 8-11, 13)."""
    effects: list[Effect] = []
    hung_up_alone = event.kind == "hangup" and not state.dialled and not state.talkers
    if hung_up_alone and not replayed:
        rung = tuple(number.extension for number in event.extensions if number.party is Party.INTERNAL)
        effects += _synthetic_popup(state, event, rung)
        state = replace(state, popped=_union(state.popped, rung if event.origin == "live" else ()))
    answered = bool(state.talkers) or event.call_status == ANSWERED
    open_cards = tuple(item for item in state.popped if item not in state.closed)
    if open_cards:
        outcome = _outcome(state, event, answered=answered)
        effects.append(_popup_over(state, event, open_cards, outcome, Reason.CALL_OVER))
    effects.append(_record(state, event, answered=answered))
    return Step(replace(state, ended=True, closed=state.closed + open_cards, joined=frozenset()), tuple(effects))


def _synthetic_popup(state: CallState, event: CallEvent, rung: tuple[str, ...]) -> tuple[Effect, ...]:
    """The user's rule for a hangup without a dial; whether it still helps is the router's to say (rule 11)."""
    if not rung:
        return ()
    if event.origin == "download":
        skip = Skip(
            call=state.unique_id, at=event.received_at, kind="popup", reason=Reason.RECOVERED_CALL, extensions=rung
        )
        return (skip,)
    popup = _popup(state, event, rung)
    return (replace(popup, synthetic=True, ended_at=event.ended_at or event.received_at),)


def _outcome(state: CallState, event: CallEvent, *, answered: bool) -> Outcome:
    if answered:
        return "answered"
    return "cancel" if event.call_status == NOT_DIALLED and not state.dialled else "no answered"


def _record(state: CallState, event: CallEvent, *, answered: bool) -> WriteRecord:
    direction = state.direction or "in"
    first, last = _owners(state, event, direction, answered=answered)
    began_at = _began_at(event, state)
    duration = _duration(state, event, answered=answered)
    return WriteRecord(
        call=state.unique_id,
        at=event.received_at,
        direction=direction,
        phone=state.phone.digits,
        trunk=state.trunk,
        result=_result(event, direction, answered=answered),
        first=first,
        last=last,
        began_at=began_at,
        duration=round(duration),
        waiting=round(_waiting(state, event, began_at, duration)),
        record_url=event.record_url,
        recovered=event.origin == "download",
    )


def _owners(state: CallState, event: CallEvent, direction: Direction, *, answered: bool) -> tuple[str, str]:
    """Return the first and the last to talk: bridge, then hangup, then the only one dialled (rule 8)."""
    if state.talkers:
        return state.talkers[0], state.talkers[-1]
    if direction == "in" and not answered:
        return "", ""
    named = [number.extension for number in event.extensions if number.extension]
    owner = named[0] if named else _only(state.rung) or ""
    return owner, owner


def _only(extensions: tuple[str, ...]) -> str | None:
    return extensions[0] if len(extensions) == 1 else None


def _result(event: CallEvent, direction: Direction, *, answered: bool) -> Result:
    if answered:
        return "answered"
    return "failed" if event.call_status == NOT_DIALLED and direction == "out" else "no answer"


def _began_at(event: CallEvent, state: CallState) -> float:
    times = (event.began_at, event.started_at, event.ended_at)
    return next((time for time in times if time is not None), state.last_event_at)


def _duration(state: CallState, event: CallEvent, *, answered: bool) -> float:
    """Seconds of talk: first to last moment in a bridge, else EndTime - StartTime (contract, Records)."""
    if state.first_talk_at is not None:
        last = event.received_at if state.joined and event.kind == "hangup" else state.last_bridge_at
        end = last if event.ended_at is None else min(last, event.ended_at + (state.skew or 0.0))
        return max(0.0, end - state.first_talk_at)
    if answered and event.started_at is not None and event.ended_at is not None:
        return max(0.0, event.ended_at - event.started_at)
    return 0.0


def _waiting(state: CallState, event: CallEvent, began_at: float, duration: float) -> float:
    """Seconds from the call's beginning to its first answer, or to its end."""
    if state.first_talk_at is not None:
        return max(0.0, state.first_talk_at - (state.skew or 0.0) - began_at)
    ended_at = state.last_event_at - (state.skew or 0.0) if event.ended_at is None else event.ended_at
    return max(0.0, ended_at - began_at - duration)


def _popup(state: CallState, event: CallEvent, extensions: tuple[str, ...]) -> ShowPopup:
    return ShowPopup(
        call=state.unique_id,
        at=event.received_at,
        direction=state.direction or "in",
        phone=state.phone.digits,
        trunk=event.trunk or state.trunk,
        extensions=extensions,
    )


def _popup_over(
    state: CallState, event: CallEvent, extensions: tuple[str, ...], outcome: Outcome, reason: Reason
) -> ClosePopup:
    return ClosePopup(
        call=state.unique_id,
        at=event.received_at,
        direction=state.direction or "in",
        phone=state.phone.digits,
        trunk=state.trunk,
        extensions=extensions,
        outcome=outcome,
        reason=reason,
    )


def _union(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, *more))) if more else known


HANDLERS: dict[str, Callable[[CallState, CallEvent], Step]] = {
    "start": _start,
    "dial": _dial,
    "bridge": _bridge,
    "bridge_leave": _bridge_leave,
    "bridge_destroy": _bridge_destroy,
    "hangup": _hangup,
    "timeout": _timeout,
}
