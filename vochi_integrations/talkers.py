"""Who talks with the customer, read from the two sides of a bridge (design rule 8). Pure."""

from vochi_integrations.callstate import CallState, only
from vochi_integrations.domain import CallEvent, Number, Party
from vochi_integrations.phones import last9

UNKNOWN_TALKER = ""


def talker_of(state: CallState, event: CallEvent) -> str | None:
    """Return who talks with the customer in this bridge, None when it is no such bridge (rule 8).

    The call's own channel is the customer's on an incoming call and the extension's on an outgoing one.
    """
    caller, connected = event.caller, event.connected
    if event.unique_id != state.unique_id:
        return _talker_on_leg(state, caller, connected)
    if state.direction == "in":
        return _office_side(state, connected)
    if state.direction == "out":
        return caller.extension if caller.party is Party.INTERNAL else only(state.rung)
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
