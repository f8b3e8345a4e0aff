"""The trace of a call: what the PBX said, what the CRM was told, and the verdict in one sentence."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from vochi_integrations.db import Database, Row
from vochi_integrations.ops.search import PHONE_DIGITS, Wanted
from vochi_integrations.ops.summary import delays, skew_of
from vochi_integrations.ops.verdicts import judge

CALLS = 20
READ_AT_ONCE = 10
SEARCHES_AT_ONCE = 2
TIMEOUT = 5.0
ENDS_LOOKED_AT = 5_000
LISTS_LOOKED_AT = 2_000
EVENTS_SHOWN = 5_000
ROWS_SHOWN = 1_000
STARTS_LOOKED_AT = 100

Rows = list[dict[str, Any]]


class Found(NamedTuple):
    """A call, and when it was last heard of as far as the search saw (UTC epoch seconds)."""

    call: str
    at: float


class TracedCall(Struct, frozen=True):
    """Everything stored of a call. `attempts` are the requests made for it, `clicks` those in the CRM that it came of;
    both are read for one call only.
    """

    call: str
    events: Rows
    deliveries: Rows
    attempts: Rows = []
    clicks: Rows = []


class Tracer:
    """Reads calls back. `turns` lets two searches run at once: no crowd of them takes the pool from the event path."""

    def __init__(self, database: Database, integrations: Collection[str]) -> None:
        self._database = database
        self._integrations = list(integrations)
        self.turns = asyncio.Semaphore(SEARCHES_AT_ONCE)

    async def find(self, number: str, wanted: Wanted, limit: int = CALLS) -> list[Found]:
        """Return an enterprise's latest calls that are wanted, the latest first."""
        if wanted.is_nonsense:
            return []
        async with self.turns:
            rows = [
                row for name, *args in self._queries(wanted, limit) for row in await self._fetch(name, number, *args)
            ]
        latest: dict[str, float] = {}
        for row in rows:
            latest[row["call"]] = max(row["found_at"], latest.get(row["call"], 0.0))
        return sorted((Found(*item) for item in latest.items()), key=lambda found: found.at, reverse=True)[:limit]

    @staticmethod
    def _queries(wanted: Wanted, limit: int) -> Iterable[tuple[Any, ...]]:
        window = (wanted.since, wanted.until, limit)
        if not wanted.names_a_call:
            yield ("recent_calls", *window)
        if wanted.unique_id:
            yield ("calls_by_id", wanted.unique_id, *window)
        if len(wanted.phone) >= PHONE_DIGITS:
            yield ("calls_by_phone", wanted.phone_tail, *window)
        elif wanted.phone:
            yield ("calls_by_phone_end", wanted.phone_tail, *window, ENDS_LOOKED_AT)
        if wanted.extension:
            yield ("calls_by_extension", wanted.extension, *window, LISTS_LOOKED_AT)

    async def calls(self, number: str, calls: Sequence[str]) -> AsyncIterator[TracedCall]:
        """Yield everything stored of some calls, in their order, without the requests made for them.

        Read a few at a time, and with way given after each call: events are stored and pop-ups sent by the same loop.
        """
        for first in range(0, len(calls), READ_AT_ONCE):
            some = list(calls[first : first + READ_AT_ONCE])
            async with self.turns:
                events = await self._fetch("events_of_calls", number, some, EVENTS_SHOWN)
                deliveries = await self._fetch("deliveries_of_calls", number, some, self._integrations, ROWS_SHOWN)
            said, told = _grouped(events, "call_unique_id"), _grouped(deliveries, "call_external_id")
            for call in some:
                yield TracedCall(call, said[call], told[call])
                await asyncio.sleep(0)

    async def call(self, number: str, call: str) -> TracedCall | None:
        """Return everything stored of a call with its requests; None when there is no such call."""
        (found,) = [traced async for traced in self.calls(number, [call])]
        if not found.events and not found.deliveries:
            return None
        attempts = await self._fetch("attempts_of_call", number, call, ROWS_SHOWN)
        clicks = await self._fetch("clicks_of_call", number, call, ROWS_SHOWN)
        return TracedCall(call, found.events, found.deliveries, _plain(attempts), _plain(clicks))

    async def skew(self, number: str) -> float:
        """Return how many seconds our clock is ahead of the PBX's, 0.0 while they are in step."""
        rows = await self._fetch("recent_starts", number, STARTS_LOOKED_AT)
        return skew_of([delay for row in rows for delay in delays(row["call"], [dict(row)])])

    async def _fetch(self, name: str, *args: object) -> list[Row]:
        return await self._database.fetch(name, *args, timeout=TIMEOUT)


def described(call: TracedCall) -> dict[str, Any]:
    """Return a call as `GET /api/trace` shows it (contract, Vocabulary)."""
    return {
        "unique_id": call.call,
        "verdict": judge(call.events, call.deliveries).text,
        "events": call.events,
        "deliveries": call.deliveries,
    }


def _plain(rows: Iterable[Row]) -> Rows:
    return [dict(row) for row in rows]


def _grouped(rows: Iterable[Row], key: str) -> dict[str, Rows]:
    grouped: dict[str, Rows] = defaultdict(list)
    for row in rows:
        grouped[row[key]].append({name: value for name, value in row.items() if name != key})
    return grouped
