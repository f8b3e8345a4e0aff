"""The latest deliveries of a company, by what its administrator knows of a call: phone, extension, result, time."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple, get_args
from zoneinfo import ZoneInfo

from msgspec import Struct

from vochi_integrations.db import Database, Row
from vochi_integrations.domain import Kind
from vochi_integrations.ops.search import Wanted
from vochi_integrations.ops.trace import Tracer

LIMIT = 50
CALLS = 200
STATUSES: Mapping[str, tuple[str, ...]] = {
    "done": ("done",),
    "waiting": ("pending", "sending"),
    "skipped": ("skipped", "expired"),
    "failed": ("failed",),
}
CURSOR = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)_([0-9]{1,18})")


class Sought(Struct, frozen=True, kw_only=True):
    """What is looked for, as it was typed; `since` and `until` are local days or minutes of the company's zone."""

    phone: str = ""
    extension: str = ""
    result: str = ""
    kind: str = ""
    since: str = ""
    until: str = ""
    after: str = ""

    @property
    def narrowed(self) -> bool:
        return any((self.phone, self.extension, self.result, self.kind, self.since, self.until))


class Latest(NamedTuple):
    """A page: its rows, who called in each call, the next page's cursor or ""."""

    rows: list[Row]
    callers: Mapping[str, Row]
    next: str


def read_sought(query: Mapping[str, str]) -> Sought:
    """Read a filter; what cannot be understood is not looked for."""
    taken = {name: query.get(name, "").replace("\x00", "").strip()[:40] for name in Sought.__struct_fields__}
    if taken["result"] not in STATUSES:
        taken["result"] = ""
    if taken["kind"] not in get_args(Kind):
        taken["kind"] = ""
    return Sought(**taken)


async def find_latest(database: Database, tracer: Tracer, number: str, sought: Sought, zone: ZoneInfo) -> Latest:
    """Return the page of deliveries that `sought` asks for."""
    place = CURSOR.fullmatch(sought.after)
    rows = await database.fetch(
        "latest_deliveries",
        number,
        STATUSES.get(sought.result),
        await _calls(tracer, number, sought),
        sought.kind or None,
        _moment(sought.since, zone),
        _moment(sought.until, zone, whole_day=True),
        *((float(place[1]), int(place[2])) if place else (None, None)),
        LIMIT + 1,
    )
    shown = rows[:LIMIT]
    callers = await database.fetch("numbers_of_calls", number, [row["call"] for row in shown]) if shown else []
    cursor = f"{shown[-1]['event_at']:.6f}_{shown[-1]['id']}" if len(rows) > LIMIT else ""
    return Latest(shown, {row["call"]: row for row in callers}, cursor)


async def _calls(tracer: Tracer, number: str, sought: Sought) -> list[str] | None:
    """Find the calls of a phone and of an extension; None when neither is sought."""
    found: list[set[str]] = []
    for text in filter(None, (sought.phone, sought.extension)):
        digits = "".join(char for char in text if char.isascii() and char.isdigit())
        wanted = Wanted(phone=digits) if text == sought.phone else Wanted(extension=digits)
        hits = (await tracer.find(number, wanted, CALLS)).calls if digits else []
        found.append({item.call for item in hits})
    return sorted(set.intersection(*found)) if found else None


def _moment(text: str, zone: ZoneInfo, *, whole_day: bool = False) -> float | None:
    """Read a local day or minute as epoch seconds; the end of what was named when `whole_day`."""
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        return None
    step = timedelta(minutes=1) if "T" in text else timedelta(days=1)
    return (local.replace(tzinfo=local.tzinfo or zone) + (step if whole_day else timedelta())).timestamp()


def replayable(row: Row) -> bool:
    """Tell whether a delivery is a record that failed: a card would come too late."""
    return row["class"] == "history" and row["status"] in ("failed", "expired") and bool(row["payload"])
