"""Calls in memory: their state, and which call an event belongs to."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct, field

from vochi_integrations.calls import fold
from vochi_integrations.callstate import CallState, Step
from vochi_integrations.domain import CallEvent, Party
from vochi_integrations.events import is_outside
from vochi_integrations.phones import last9

Key = tuple[str, str]
QUIET_CALLS = 4_000
OF_A_BRIDGE = frozenset({"bridge_leave", "bridge_create", "bridge_destroy"})


class KnownCall(Struct):
    """A call's state, the digests of its events, by which a repeat is known, and the bridges it was in."""

    state: CallState
    digests: list[bytes] = field(default_factory=list)
    bridges: set[str] = field(default_factory=set)


class CallBook:
    """The calls of all enterprises by (enterprise, UniqueId). What is forgotten is read back from `call_events`.

    Live calls stay; of the others the last `QUIET_CALLS` do, which bounds memory.
    """

    def __init__(self) -> None:
        self._calls: dict[Key, KnownCall] = {}
        self._live: dict[str, set[str]] = {}
        self._numbers: dict[Key, set[str]] = {}
        self._legs: dict[Key, str] = {}
        self._bridges: dict[Key, str] = {}
        self._digests: set[tuple[str, bytes]] = set()
        self._quiet: deque[Key] = deque()

    def __len__(self) -> int:
        return len(self._calls)

    def __contains__(self, key: Key) -> bool:
        return key in self._calls

    def is_repeat(self, enterprise: str, event: CallEvent) -> bool:
        return (enterprise, event.digest) in self._digests

    def state(self, enterprise: str, call: str) -> CallState:
        known = self._calls.get((enterprise, call))
        return CallState(unique_id=call) if known is None else known.state

    def live_calls(self, enterprise: str) -> Iterator[CallState]:
        return (self._calls[enterprise, call].state for call in self._live.get(enterprise, ()))

    def silent_calls(self, since: float) -> list[Key]:
        """Return the live calls that have heard nothing since then (UTC epoch seconds)."""
        live = ((enterprise, call) for enterprise, calls in self._live.items() for call in calls)
        return [key for key in live if self._calls[key].state.last_event_at < since]

    def call_of(self, enterprise: str, event: CallEvent) -> str:
        """Return the UniqueId of the call an event belongs to: mostly its own."""
        leg_of = self._legs.get((enterprise, event.unique_id))
        if leg_of is not None:
            return leg_of
        if event.kind == "bridge":
            return self._call_of_channel(enterprise, event)
        if event.kind in OF_A_BRIDGE:
            return self._bridges.get((enterprise, event.bridge_id), event.unique_id)
        if event.call_type == 1 and is_outside(event.phone):
            return self._call_carried_on(enterprise, event) or event.unique_id
        return event.unique_id

    def _call_of_channel(self, enterprise: str, event: CallEvent) -> str:
        """Find the customer call that a colleague's channel talks in, seen from that channel's own event."""
        own = event.unique_id
        if own in self._live.get(enterprise, ()):
            return own
        for customer, office in ((event.connected, event.caller), (event.caller, event.connected)):
            if office.party is not Party.INTERNAL and office.party is not Party.MOBILE:
                continue
            states = [self.state(enterprise, call) for call in self._with_number(enterprise, customer.digits)]
            states = [state for state in states if last9(state.phone.digits) == last9(customer.digits)]
            ringing = [state for state in states if office.extension in state.rung] or states
            if len(ringing) == 1 and (office is event.caller or ringing[0].direction == "out"):
                return ringing[0].unique_id
        return own

    def _call_carried_on(self, enterprise: str, event: CallEvent) -> str | None:
        """Find the live call that a CallType-1 leg to someone's own phone carries on (rule 6)."""
        if self.state(enterprise, event.unique_id).popped:
            return None
        mobile = last9(event.phone.digits)
        for call in self._with_number(enterprise, event.phone.digits):
            named = self.state(enterprise, call).outside
            if call != event.unique_id and any(last9(number) == mobile for number in named):
                return call
        if event.phone.party is not Party.MOBILE:
            return None
        callers = {number.extension for number in event.extensions if number.extension}
        talking = (state for state in self.live_calls(enterprise) if callers.intersection(state.talkers))
        return next((state.unique_id for state in talking if state.unique_id != event.unique_id), None)

    def _with_number(self, enterprise: str, digits: str) -> set[str]:
        return self._numbers.get((enterprise, last9(digits)), set()) if digits else set()

    def fold(self, enterprise: str, call: str, event: CallEvent) -> Step:
        """Advance a call by an event and remember it."""
        key = (enterprise, call)
        known = self._calls.get(key)
        if known is None:
            known = self._calls[key] = KnownCall(CallState(unique_id=call))
            self._let_go(key)
        before = known.state
        step = fold(before, event)
        known.state = step.state
        known.digests.append(event.digest)
        self._digests.add((enterprise, event.digest))
        self._index(enterprise, before, known, event)
        return step

    def restore(self, keys: Iterable[Key], stored: Iterable[tuple[Key, CallEvent]]) -> None:
        """Rebuild calls from their stored events, given in the order they were stored in; others are forgotten."""
        for key in keys:
            self.forget(key)
        for (enterprise, call), event in stored:
            self.fold(enterprise, call, event)

    def rewind(self, key: Key, before: CallState) -> None:
        """Take back the latest events of a call: they were not kept."""
        known = self._calls.get(key)
        if known is None or before.version == 0:
            self.forget(key)
            return
        after, known.state = known.state, before
        kept = len(known.digests) + before.version - after.version
        taken_back = known.digests[kept:]
        del known.digests[kept:]
        self._digests.difference_update((key[0], digest) for digest in taken_back)
        if after.is_live:
            self._drop_live(key[0], after)
        if before.is_live:
            self._note_live(key[0], CallState(unique_id=before.unique_id), before)

    def forget(self, key: Key) -> None:
        known = self._calls.pop(key, None)
        if known is None:
            return
        enterprise, call = key
        self._drop_live(enterprise, known.state)
        self._digests.difference_update((enterprise, digest) for digest in known.digests)
        for index, names in ((self._legs, known.state.legs), (self._bridges, known.bridges)):
            for name in names:
                if index.get((enterprise, name)) == call:
                    del index[enterprise, name]

    def _index(self, enterprise: str, before: CallState, known: KnownCall, event: CallEvent) -> None:
        after = known.state
        if event.kind == "bridge":
            self._note_bridge(enterprise, known, event.bridge_id)
        elif event.unique_id != after.unique_id and event.kind in ("dial", "hangup"):
            self._legs[enterprise, event.unique_id] = after.unique_id
        if after.is_live:
            self._note_live(enterprise, before, after)
        elif before.is_live:
            self._drop_live(enterprise, before)
            self._let_go((enterprise, after.unique_id))

    def _note_bridge(self, enterprise: str, known: KnownCall, bridge_id: str) -> None:
        """A bridge is a customer call's even when a colleague's channel enters it later."""
        holder = self._bridges.get((enterprise, bridge_id))
        if holder is None or holder not in self._live.get(enterprise, ()):
            self._bridges[enterprise, bridge_id] = known.state.unique_id
            known.bridges.add(bridge_id)

    def _note_live(self, enterprise: str, before: CallState, after: CallState) -> None:
        if before.is_live and after.phone is before.phone and after.outside is before.outside:
            return
        self._live.setdefault(enterprise, set()).add(after.unique_id)
        for digits in (after.phone.digits, *after.outside):
            self._numbers.setdefault((enterprise, last9(digits)), set()).add(after.unique_id)

    def _drop_live(self, enterprise: str, state: CallState) -> None:
        _discard(self._live, enterprise, state.unique_id)
        for digits in (state.phone.digits, *state.outside):
            _discard(self._numbers, (enterprise, last9(digits)), state.unique_id)

    def _let_go(self, key: Key) -> None:
        """Queue a call that nobody waits for; the longest in the queue is forgotten."""
        self._quiet.append(key)
        while len(self._quiet) > QUIET_CALLS:
            oldest = self._quiet.popleft()
            if oldest[1] not in self._live.get(oldest[0], ()):
                self.forget(oldest)


def _discard(index: dict[Any, set[str]], key: object, item: str) -> None:
    items = index.get(key)
    if items is not None:
        items.discard(item)
        if not items:
            del index[key]
