"""The trace of a call: what the PBX said, what the CRM was told, and the verdict in one sentence."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from vochi_integrations.db import Database, Row
from vochi_integrations.ops.clicks import judge_click
from vochi_integrations.ops.search import EVER, PHONE_DIGITS, Wanted
from vochi_integrations.ops.summary import delays, skew_of
from vochi_integrations.ops.verdicts import judge

CALLS = 20
READ_AT_ONCE = 10
SEARCHES_AT_ONCE = 2
TIMEOUT = 5.0
NUMBERS_LOOKED_AT = 1_000
LISTS_LOOKED_AT = 2_000
LATEST_LOOKED_AT = 2_000
EVENTS_SHOWN = 5_000
ROWS_SHOWN = 1_000
STARTS_LOOKED_AT = 100
ABOUT_SECONDS = 3_600.0

Rows = list[dict[str, Any]]


class Found(NamedTuple):
    """A call, and when it was last heard of as far as the search saw (UTC epoch seconds)."""

    call: str
    at: float


class Hits(NamedTuple):
    """What a search found, the latest first: calls, and clicks in the CRM that led to no call.

    `is_cut` when the company has more numbers or lists of extensions than are looked through: earlier calls may be
    missing, those among its latest are not.
    """

    calls: list[Found]
    clicks: Rows
    is_cut: bool


class Names(NamedTuple):
    """What calls are looked for by: ends of numbers backwards, lists of extensions, as the indexes have them."""

    tails: list[str]
    lists: list[str]
    is_cut: bool


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
    """Reads calls back. `turns` lets two queries run at once: no crowd of them takes the pool from the event path."""

    def __init__(self, database: Database, integrations: Collection[str]) -> None:
        self._database = database
        self._integrations = list(integrations)
        self.turns = asyncio.Semaphore(SEARCHES_AT_ONCE)

    async def find(self, number: str, wanted: Wanted, limit: int = CALLS) -> Hits:
        """Return an enterprise's latest calls and clicks that are wanted, at most so many of each."""
        if wanted.is_nonsense:
            return Hits([], [], is_cut=False)
        names = await self._names(number, wanted)
        latest: dict[str, float] = {}
        for query, *args in _queries(wanted, names, limit):
            for row in await self._fetch(query, number, *args):
                latest[row["call"]] = max(row["found_at"], latest.get(row["call"], 0.0))
        found = sorted((Found(*item) for item in latest.items()), key=lambda found: found.at, reverse=True)
        return Hits(found[:limit], await self._clicks(number, wanted, limit), names.is_cut)

    async def _names(self, number: str, wanted: Wanted) -> Names:
        """Look up which numbers end so, and which lists have the extension."""
        tails, lists, is_cut = [wanted.phone_tail] if wanted.phone else [], [], False
        if 0 < len(wanted.phone) < PHONE_DIGITS:
            rows = await self._fetch("phone_tails", number, wanted.phone_tail, NUMBERS_LOOKED_AT + 1)
            tails, is_cut = [row["tail"] for row in rows[:NUMBERS_LOOKED_AT]], len(rows) > NUMBERS_LOOKED_AT
        if wanted.extension:
            rows = await self._fetch("extension_lists", number, LISTS_LOOKED_AT + 1)
            known = {row["list"] for row in rows[:LISTS_LOOKED_AT] if f" {wanted.extension} " in row["list"]}
            lists = sorted(known | set(_alone(wanted.extension)))
            is_cut = is_cut or len(rows) > LISTS_LOOKED_AT
        return Names(tails, lists, is_cut)

    async def _clicks(self, number: str, wanted: Wanted, limit: int) -> Rows:
        if wanted.names_a_call and not (wanted.phone or wanted.extension):
            return []
        window = (wanted.since, wanted.until, limit)
        return _plain(await self._fetch("clicks_without_call", number, *window, wanted.phone_tail, wanted.extension))

    async def calls(self, number: str, calls: Sequence[str]) -> AsyncIterator[TracedCall]:
        """Yield everything stored of some calls, in their order, without the requests made for them.

        Read a few at a time, and with way given after each call: events are stored and pop-ups sent by the same loop.
        """
        for first in range(0, len(calls), READ_AT_ONCE):
            some = list(calls[first : first + READ_AT_ONCE])
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

    async def skew(self, number: str, at: float = EVER) -> float:
        """Return how many seconds our clock was ahead of the PBX's about a moment (UTC epoch seconds; now when none).

        0.0 when they were in step: the calls of the company tell, a single one does not.
        """
        rows = await self._fetch("recent_starts", number, STARTS_LOOKED_AT, at + ABOUT_SECONDS)
        return skew_of(delays(_plain(rows)))

    async def _fetch(self, name: str, *args: object) -> list[Row]:
        async with self.turns:
            return await self._database.fetch(name, *args, timeout=TIMEOUT)


def _alone(extension: str) -> tuple[str, str]:
    """Return how the index has an extension that is named alone: by itself, and in a JSON array."""
    return f" {extension} ", f"  {extension}  "


def _queries(wanted: Wanted, names: Names, limit: int) -> Iterable[tuple[Any, ...]]:
    """The queries that find what is wanted, each with its arguments after the enterprise's number."""
    window = (wanted.since, wanted.until, limit)
    if not wanted.names_a_call:
        yield ("recent_calls", *window)
    if wanted.unique_id:
        yield ("calls_by_id", wanted.unique_id, *window)
    if wanted.phone:
        yield ("calls_by_phones", names.tails, *window)
        yield ("live_calls_by_phone", wanted.phone_tail, *window)
    if wanted.extension:
        yield ("calls_by_extensions", names.lists, *window)
    if names.is_cut:
        yield ("calls_lately", *window, LATEST_LOOKED_AT, wanted.phone_tail, wanted.extension)


def described(call: TracedCall) -> dict[str, Any]:
    """Return a call as `GET /api/trace` shows it (contract, Vocabulary)."""
    return {
        "unique_id": call.call,
        "verdict": judge(call.events, call.deliveries).text,
        "events": call.events,
        "deliveries": call.deliveries,
    }


def described_click(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a click that led to no call as `GET /api/trace` shows it."""
    return {**row, "verdict": judge_click(row).text}


def _plain(rows: Iterable[Row]) -> Rows:
    return [dict(row) for row in rows]


def _grouped(rows: Iterable[Row], key: str) -> dict[str, Rows]:
    grouped: dict[str, Rows] = defaultdict(list)
    for row in rows:
        grouped[row[key]].append({name: value for name, value in row.items() if name != key})
    return grouped
