"""How a call ends: its one record, its cards off the screens (design rules 8-11, 13). Pure."""

from msgspec.structs import replace

from vochi_integrations.callstate import CallState, Step, only, union
from vochi_integrations.domain import (
    CallEvent,
    ClosePopup,
    Direction,
    Effect,
    Outcome,
    Party,
    Reason,
    Result,
    ShowPopup,
    Skip,
    WriteRecord,
)
from vochi_integrations.events import is_outside

ANSWERED = 2
NOT_DIALLED = 1


def end_call(state: CallState, event: CallEvent, *, replayed: bool = False) -> Step:
    """Make the call's one record and take its cards off the screens (rules 8-11, 13)."""
    effects: list[Effect] = []
    hung_up_alone = event.kind == "hangup" and not state.dialled and not state.talkers
    if hung_up_alone and not replayed:
        rung = tuple(number.extension for number in event.extensions if number.party is Party.INTERNAL)
        effects += _synthetic_popup(state, event, rung)
        state = replace(state, popped=union(state.popped, rung if event.origin == "live" else ()))
    answered = bool(state.talkers) or event.call_status == ANSWERED
    open_cards = tuple(item for item in state.popped if item not in state.closed)
    for extensions, outcome in _outcomes(state, event, open_cards, answered=answered):
        effects.append(popup_over(state, event, extensions, outcome, Reason.CALL_OVER))
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
    popup = popup_for(state, event, rung)
    return (replace(popup, synthetic=True, ended_at=event.ended_at or event.received_at),)


def _outcomes(
    state: CallState, event: CallEvent, open_cards: tuple[str, ...], *, answered: bool
) -> list[tuple[tuple[str, ...], Outcome]]:
    """Say how the call ended for whom: answered by a colleague is not answered for the others (contract, Pop-ups)."""
    unanswered: Outcome = "cancel" if event.call_status == NOT_DIALLED and not state.dialled else "no answered"
    talked = tuple(item for item in open_cards if item in state.talkers)
    if not talked:
        parts: list[tuple[tuple[str, ...], Outcome]] = [(open_cards, "answered" if answered else unanswered)]
    else:
        others = tuple(item for item in open_cards if item not in state.talkers)
        parts = [(talked, "answered"), (others, "no answered")]
    return [(extensions, outcome) for extensions, outcome in parts if extensions]


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
    owner = named[0] if named else _only_one_dialled(state, event, direction)
    return owner, owner


def _only_one_dialled(state: CallState, event: CallEvent, direction: Direction) -> str:
    """Return the only extension that was dialled; nobody when an outside number may have answered instead.

    Of an outgoing call that is the caller, whom a hangup hides behind the line (facts: asterisk_hosts §1.2).
    """
    others = [number for number in event.extensions if is_outside(number) and number.digits != state.phone.digits]
    may_be_other = bool(others) and direction == "in"
    return "" if may_be_other or state.outside else only(state.rung) or ""


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


def popup_for(state: CallState, event: CallEvent, extensions: tuple[str, ...]) -> ShowPopup:
    return ShowPopup(
        call=state.unique_id,
        at=event.received_at,
        direction=state.direction or "in",
        phone=state.phone.digits,
        trunk=event.trunk or state.trunk,
        extensions=extensions,
    )


def popup_over(
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
