"""The call state machine: `fold(state, event) -> Step`. Pure: no I/O, no clock, no configuration.

The rules are design §6; the small print of records and pop-ups is the contract's.
"""

from collections.abc import Callable

from msgspec.structs import replace

from vochi_integrations.callstate import CallState, Step, union
from vochi_integrations.domain import (
    CallEvent,
    Direction,
    Party,
    Reason,
    Skip,
)
from vochi_integrations.endings import end_call, popup_for, popup_over
from vochi_integrations.events import is_outside
from vochi_integrations.phones import last9
from vochi_integrations.talkers import talker_of

DIRECTIONS: dict[int, Direction] = {0: "in", 1: "out"}
OPEN_BRIDGE_SECONDS = 4 * 3600.0
CLOCK_SKEW_SECONDS = 120.0


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
        rung=union(state.rung, extensions),
        outside=union(state.outside, outside),
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
    return Step(replace(state, popped=state.popped + new), (popup_for(state, event, new),))


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
    return end_call(replace(state, unclaimed=None), hangup, replayed=True)


def _bridge(state: CallState, event: CallEvent) -> Step:
    talker = talker_of(state, event)
    if event.kind == "bridge":
        elsewhere = frozenset(pair for pair in state.joined if pair[0] != event.unique_id)
        state = replace(state, joined=elsewhere | {(event.unique_id, event.bridge_id)})
    if talker is None:
        return Step(replace(state, last_bridge_at=event.received_at), reason=Reason.INFORMATIONAL)
    legs = state.legs if event.unique_id == state.unique_id else union(state.legs, (event.unique_id,))
    first = event.received_at if state.first_talk_at is None else state.first_talk_at
    talkers = state.talkers if state.talkers[-1:] == (talker,) else (*state.talkers, talker)
    state = replace(state, legs=legs, talkers=talkers, first_talk_at=first, last_bridge_at=event.received_at)
    return _answered(state, event)


def _answered(state: CallState, event: CallEvent) -> Step:
    """Close the cards of everybody who was rung and does not talk."""
    others = tuple(item for item in state.popped if item not in state.closed and item not in state.talkers)
    if not others or state.ended:
        return Step(state, reason=Reason.INFORMATIONAL)
    over = popup_over(state, event, others, "no answered", Reason.ANSWERED_ELSEWHERE)
    return Step(replace(state, closed=state.closed + others), (over,))


def _bridge_leave(state: CallState, event: CallEvent) -> Step:
    if event.bridge_empty:
        return _bridge_destroy(state, event)
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
    if _is_second(state, event):
        return Step(state, reason=Reason.DUPLICATE)
    state = replace(state, hung_up=True)
    state = _identified(state, event) if event.call_type in DIRECTIONS else _with_phone(state, event)
    reason = _not_a_customer(state, event)
    if reason is None:
        return end_call(replace(state, trunk=event.trunk or state.trunk), event)
    if state.direction is None and is_outside(state.phone):
        return _skipped(replace(state, unclaimed=event), event, reason)
    return _skipped(replace(state, ended=state.direction is not None), event, reason)


def _is_second(state: CallState, event: CallEvent) -> bool:
    """Tell whether a call had its hangup: a CallType-2 one that was not its own before does not count (rule 5)."""
    if state.ended or not state.hung_up or state.is_customer_call:
        return state.ended
    return state.unclaimed is None or event.call_type not in DIRECTIONS


def _with_phone(state: CallState, event: CallEvent) -> CallState:
    return state if is_outside(state.phone) or not event.phone.digits else replace(state, phone=event.phone)


def _skipped(state: CallState, event: CallEvent, reason: Reason) -> Step:
    return Step(state, (Skip(call=state.unique_id, at=event.received_at, kind="record", reason=reason),), reason)


def _leg(state: CallState, event: CallEvent) -> Step:
    """A leg that carries this call on to someone's own phone makes nothing (rule 6)."""
    return Step(replace(state, legs=union(state.legs, (event.unique_id,))), reason=Reason.FORWARDING_LEG)


def _timeout(state: CallState, event: CallEvent) -> Step:
    """Close a call whose hangup never came, from what was seen (rule 12)."""
    if not state.is_live:
        return Step(state, reason=Reason.CALL_OVER)
    if idle_until(state, event.idle_seconds) > event.received_at:
        return Step(state, reason=Reason.INFORMATIONAL)
    return end_call(state, event)


HANDLERS: dict[str, Callable[[CallState, CallEvent], Step]] = {
    "start": _start,
    "dial": _dial,
    "bridge": _bridge,
    "bridge_leave": _bridge_leave,
    "bridge_destroy": _bridge_destroy,
    "hangup": _hangup,
    "timeout": _timeout,
}
