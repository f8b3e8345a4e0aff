"""Recorded call sequences, moved to now: `calls.jsonl` holds what hosts sent and what a CRM must get for it."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

FILE = Path(__file__).parent / "calls.jsonl"
RECORDED_AT = 1757840400
RECORDED_WALL_CLOCK = datetime(2025, 9, 14, 12, tzinfo=UTC)
UNIQUE_ID = re.compile(r"\b(\d{10})\.(\d+)\b")
WALL_CLOCK = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
BRIDGE_ID = re.compile(r"00000000-0000-4000-8000-")
CUSTOMER = re.compile(r"375290000001\b")
HOST_OFFSET = timedelta(hours=3)


class ExpectedPopup(Struct, frozen=True):
    """A `call/event` of type in or out."""

    id: str
    type: str
    phone: str
    codes: list[str]


class ExpectedRecord(Struct, frozen=True):
    """The call's one record; `code` is the manager's extension, None for nobody."""

    id: str
    type: str
    phone: str
    answered: bool
    code: str | None


class Expected(Struct, frozen=True):
    popups: list[ExpectedPopup]
    record: ExpectedRecord | None


class Sequence(Struct, frozen=True):
    """One call. `events` are (seconds since its beginning, route, body without Token)."""

    id: str
    name: str
    events: list[tuple[float, str, dict[str, Any]]]
    expect: Expected

    @property
    def seconds(self) -> float:
        return self.events[-1][0]


def load(file: Path = FILE) -> list[Sequence]:
    """Read sequences, one JSON object a line."""
    return [msgspec.json.decode(line, type=Sequence) for line in file.read_bytes().splitlines()]


def moved(sequence: Sequence, *, run: int, began_at: int, scale: float) -> Sequence:
    """Return the sequence as if it began at `began_at` (UTC seconds) and took `scale` times its length.

    `run` makes its ids, bridges and customer its own, so that calls can be played side by side.
    """

    def unique_id(match: re.Match[str]) -> str:
        return f"{began_at + round((int(match[1]) - RECORDED_AT) * scale)}.{run * 1000 + int(match[2])}"

    def wall_clock(match: re.Match[str]) -> str:
        recorded = datetime.fromisoformat(match[0]).replace(tzinfo=UTC)
        passed = (recorded - RECORDED_WALL_CLOCK) * scale
        local = datetime.fromtimestamp(began_at, UTC) + HOST_OFFSET + passed
        return local.strftime("%Y-%m-%d %H:%M:%S")

    text = msgspec.json.encode(sequence).decode()
    text = UNIQUE_ID.sub(unique_id, text)
    text = WALL_CLOCK.sub(wall_clock, text)
    text = BRIDGE_ID.sub(f"{run:08d}-0000-4000-8000-", text)
    text = CUSTOMER.sub(f"37529000{1000 + run % 9000:04d}", text)
    played = msgspec.json.decode(text, type=Sequence)
    events = [(seconds * scale, route, body) for seconds, route, body in played.events]
    return msgspec.structs.replace(played, events=events)
