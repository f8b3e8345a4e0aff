"""What is known of one call."""

from typing import NamedTuple

from msgspec import Struct

from vochi_integrations.domain import CallEvent, Direction, Effect, Number, Reason
from vochi_integrations.events import is_outside


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
    hung_up: bool = False
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


def union(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, *more))) if more else known


def only(extensions: tuple[str, ...]) -> str | None:
    """Return the one there is, None when there are none or several."""
    return extensions[0] if len(extensions) == 1 else None
