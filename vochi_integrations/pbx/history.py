"""Our own call history: who talked with a number last, or first."""

from collections import defaultdict
from collections.abc import Iterable

from msgspec import Struct

from vochi_integrations.calls import fold
from vochi_integrations.callstate import CallState
from vochi_integrations.db import Database
from vochi_integrations.domain import CallEvent, Enterprise, WriteRecord
from vochi_integrations.events import stored_event
from vochi_integrations.phones import last9

CALLS = 10
TIMEOUT = 0.5


class Talk(Struct, frozen=True):
    """A call that was answered: when it began (UTC epoch seconds) and the extension that answered."""

    began_at: float
    extension: str


class History:
    """Reads who answered a customer; a call is understood by the same rules as when it happened."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def last(self, enterprise: Enterprise, phone: str) -> str:
        """Return the extension that last talked with a number, "" when none did. Raises what the database raises."""
        talks = await self._talks("last_talks_of_number", enterprise, phone)
        return talks[-1].extension if talks else ""

    async def first(self, enterprise: Enterprise, phone: str) -> str:
        """Return the extension that was the first to talk with a number."""
        talks = await self._talks("first_talks_of_number", enterprise, phone)
        return talks[0].extension if talks else ""

    async def _talks(self, query: str, enterprise: Enterprise, phone: str) -> list[Talk]:
        tail = last9(phone.lstrip("+"))
        rows = await self._database.fetch(query, enterprise.number, tail, CALLS, timeout=TIMEOUT)
        return talks_of((row["call_unique_id"], stored_event(row, enterprise.directory)) for row in rows)


def talks_of(events: Iterable[tuple[str, CallEvent]]) -> list[Talk]:
    """Fold stored events, each with its call, into the calls that an extension answered, in the order they began."""
    calls: dict[str, list[CallEvent]] = defaultdict(list)
    for call, event in events:
        calls[call].append(event)
    talks = (talk for call, stored in calls.items() for talk in _answered(call, stored))
    return sorted(talks, key=lambda talk: talk.began_at)


def _answered(call: str, events: Iterable[CallEvent]) -> Iterable[Talk]:
    state = CallState(unique_id=call)
    for event in events:
        step = fold(state, event)
        state = step.state
        for effect in step.effects:
            if isinstance(effect, WriteRecord) and effect.result == "answered" and effect.first:
                yield Talk(effect.began_at, effect.first)
