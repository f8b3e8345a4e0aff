"""Dead letters: deliveries that came to nothing, listed by what an operator knows of them, and sent again on demand."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple, get_args

from msgspec import Struct

from vochi_integrations.db import Connection, Database, Row, queries
from vochi_integrations.domain import DeliveryClass, Kind, Status
from vochi_integrations.errors import BadRequestError
from vochi_integrations.settings import Delivery as DeliverySettings

LOCK = 0x766F63686B
COUNTED = 100_000
REPLAYED_AT_ONCE = 50_000
REPLAY_TIMEOUT = 120.0
LIMIT = 100
HIGHEST_LIMIT = 500
BIGGEST_ID = 2**63 - 1
NUMERIC = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
EARLIEST = 1_000_000_000.0
LATEST = 253_402_300_799.0
CHOICES: Mapping[str, tuple[str, ...]] = {
    "status": get_args(Status),
    "kind": get_args(Kind),
    "class": (*get_args(DeliveryClass), "all"),
}
WORDS: Mapping[str, re.Pattern[str]] = {
    "enterprise": re.compile(r"[0-9]{1,10}"),
    "integration": re.compile(r"[a-z0-9_]{1,50}"),
    "reason": re.compile(r"[a-z0-9_]{1,50}"),
}
CURSOR = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)_([0-9]{1,18})")
FILTERS = frozenset({*CHOICES, *WORDS, "since", "until"})
PAGE = FILTERS | {"limit", "cursor"}
REPLAY = FILTERS | {"ids", "dry_run"}
NARROWING = REPLAY - {"class", "status", "dry_run"}

Filter = Mapping[str, str | float]
"""What `vochi_chosen_deliveries` reads, some of FILTERS; `since` and `until` are UTC epoch seconds, `until` outside."""


class Page(NamedTuple):
    """What to list: at most `limit` deliveries, those after the place `after` (event_at, id) of the page before."""

    filter: Filter
    limit: int = LIMIT
    after: tuple[float, int] | None = None


class Order(NamedTuple):
    """What to replay; with `dry_run` only say what would be."""

    filter: Filter
    ids: list[int] | None = None
    dry_run: bool = False


class Listing(NamedTuple):
    """A page: its rows, how many there are in all (counted up to `COUNTED`), the next page's cursor or None."""

    rows: list[Row]
    total: int
    next: str | None


class Outcome(Struct, frozen=True):
    """What a replay did. `not_replayable` of the `matched` stay as they are; `seconds` is until the last one's turn."""

    matched: int
    not_replayable: int
    replayed: int
    seconds: float


def read_page(asked: Mapping[str, Any]) -> Page:
    """Read what to list; failed deliveries unless another status is asked for. Raises BadRequestError."""
    _check_names(asked, PAGE)
    limit = asked.get("limit", LIMIT)
    if not re.fullmatch(r"[0-9]{1,4}", str(limit)) or not 1 <= int(limit) <= HIGHEST_LIMIT:
        raise BadRequestError(f"limit must be a number from 1 to {HIGHEST_LIMIT}")
    return Page(_read_filter({"status": "failed", **asked}), int(limit), _read_cursor(asked.get("cursor")))


def read_order(asked: Mapping[str, Any]) -> Order:
    """Read what to replay: failed history unless another status or class is asked for. Raises BadRequestError."""
    _check_names(asked, REPLAY)
    if not NARROWING & asked.keys():
        raise BadRequestError(
            f"say what to replay: at least one of {', '.join(sorted(NARROWING))};"
            ' everything there is would be {"since": 0}'
        )
    dry_run = asked.get("dry_run", False)
    if not isinstance(dry_run, bool):
        raise BadRequestError("dry_run must be true or false")
    ids = _read_ids(asked["ids"]) if "ids" in asked else None
    status = {} if ids else {"status": "failed"}
    return Order(_read_filter({"class": "history", **status, **asked}), ids, dry_run)


def _check_names(asked: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(set(asked) - known)
    if unknown:
        raise BadRequestError(f"{unknown[0]} is no filter; there are: {', '.join(sorted(known))}")


def _read_filter(asked: Mapping[str, Any]) -> Filter:
    words = {name: _read_word(name, asked[name]) for name in WORDS if name in asked}
    choices = {name: _read_choice(name, asked[name]) for name in CHOICES if name in asked}
    times = {name: read_time(name, asked[name]) for name in ("since", "until") if name in asked}
    return {name: value for name, value in (words | choices | times).items() if (name, value) != ("class", "all")}


def _read_word(name: str, value: object) -> str:
    if not isinstance(value, str) or not WORDS[name].fullmatch(value):
        raise BadRequestError(f"{name} must be a string that matches {WORDS[name].pattern}")
    return value


def _read_choice(name: str, value: object) -> str:
    if not isinstance(value, str) or value not in CHOICES[name]:
        raise BadRequestError(f"{name} must be one of: {', '.join(CHOICES[name])}")
    return value


def read_time(name: str, value: object) -> float:
    """Read ISO 8601, in UTC when it names no zone, or epoch seconds; 20260131 is neither, but 0 is the beginning."""
    text = "" if isinstance(value, bool) else str(value)
    try:
        epoch = float(text) if NUMERIC.fullmatch(text) else _read_iso(text)
    except (ValueError, OverflowError):
        epoch = -1.0
    if epoch != 0 and not EARLIEST <= epoch <= LATEST:
        raise BadRequestError(f"{name} must be a time in ISO 8601, like 2026-01-31T08:00:00Z, or epoch seconds")
    return epoch


def _read_iso(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _read_ids(value: object) -> list[int]:
    ids = value if isinstance(value, list) else []
    if not ids or not all(type(item) is int and 1 <= item <= BIGGEST_ID for item in ids):
        raise BadRequestError("ids must be a list of the ids of deliveries, at least one")
    return ids


def _read_cursor(value: object) -> tuple[float, int] | None:
    if value is None:
        return None
    found = CURSOR.fullmatch(str(value))
    if found is None:
        raise BadRequestError("cursor must be the `next` of the page before")
    return float(found[1]), int(found[2])


async def list_letters(database: Database, page: Page) -> Listing:
    """Return a page of deliveries, the latest first."""
    async with _planned(database) as connection:
        rows = await connection.fetch(
            queries()["list_deliveries"], None, page.filter, *(page.after or (None, None)), page.limit
        )
        total = await connection.fetchval(queries()["count_deliveries"], None, page.filter, COUNTED)
    cursor = f"{rows[-1]['event_at']:.6f}_{rows[-1]['id']}" if len(rows) == page.limit else None
    return Listing(rows, total, cursor)


async def replay(database: Database, order: Order, settings: DeliverySettings) -> Outcome:
    """Let failed and expired deliveries wait again, the oldest first, spread over time; the dispatcher finds them.

    What matches beyond `REPLAYED_AT_ONCE` is left for the next call, whose deliveries queue behind these.
    """
    pace = (settings.replay_rate, settings.history_max_age, settings.popup_ttl)
    async with _planned(database) as connection:
        await connection.execute(queries()["one_replay_at_a_time"], LOCK, timeout=REPLAY_TIMEOUT)
        row = await connection.fetchrow(
            queries()["replay_deliveries"],
            *(order.ids, order.filter, REPLAYED_AT_ONCE, *pace, order.dry_run),
            timeout=REPLAY_TIMEOUT,
        )
    assert row is not None  # noqa: S101 - it is one row of counts
    return Outcome(**row)


@asynccontextmanager
async def _planned(database: Database) -> AsyncIterator[Connection]:
    """Yield a connection in a transaction whose queries are planned for the filters they are given."""
    async with database.pool.acquire() as connection, connection.transaction():
        database.queries += 2
        await connection.execute(queries()["plan_for_these_values"])
        yield connection
