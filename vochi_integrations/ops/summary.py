"""A call in a line: who with whom, when, for how long, answered or not. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from vochi_integrations.domain import CallEvent, Direction, Directory, Party
from vochi_integrations.events import is_outside, parse_event, unique_id_time

ANSWERED = 2
EARLIEST_SECONDS, LATEST_SECONDS = -1.5, 5.0
ENOUGH_LATE = 3
CHANNEL_KINDS = ("start", "dial", "hangup")

Rows = Iterable[Mapping[str, Any]]


class Summary(Struct, frozen=True, kw_only=True):
    """What a list shows of a call. Times are UTC epoch seconds of our clock; `talk` is seconds, None while unknown."""

    call: str
    began_at: float
    direction: Direction | None
    phone: str
    line: str
    extensions: tuple[str, ...]
    answered: bool
    is_live: bool
    talk: float | None


def read_row(row: Mapping[str, Any], directory: Directory) -> CallEvent:
    """Read a stored event again; one that was stored by an older version may tell less."""
    raw = row["raw_data"] if isinstance(row["raw_data"], dict) else {}
    return parse_event(
        row["event_type"],
        row["unique_id"],
        raw,
        directory,
        raw=b"",
        digest=b"",
        received_at=row["received_at"],
    )


def summarize(call: str, rows: Rows, directory: Directory) -> Summary:
    """Tell a call in a line from its events, the earliest first."""
    events = [read_row(row, directory) for row in rows if row["event_type"] != "timeout"]
    own = [event for event in events if event.unique_id == call and event.kind in CHANNEL_KINDS]
    ended = any(event.kind == "hangup" for event in own) or any(row["event_type"] == "timeout" for row in rows)
    bridged = [event.received_at for event in events if event.kind in ("bridge", "bridge_leave")]
    last_type = next((event.call_type for event in own if event.call_type in (0, 1)), None)
    return Summary(
        call=call,
        began_at=events[0].received_at if events else unique_id_time(call) or 0.0,
        direction=None if last_type is None else ("in", "out")[last_type],
        phone=next((event.phone.digits for event in own if is_outside(event.phone)), _any_phone(own)),
        line=next((event.trunk for event in own if event.trunk), ""),
        extensions=_extensions(own),
        answered=bool(bridged) or any(event.call_status == ANSWERED for event in own),
        is_live=not ended,
        talk=bridged[-1] - bridged[0] if len(bridged) > 1 else None,
    )


def _any_phone(events: Sequence[CallEvent]) -> str:
    return next((event.phone.digits for event in events if event.phone.digits), "")


def _extensions(events: Sequence[CallEvent]) -> tuple[str, ...]:
    """Return the colleagues a call rang or came from, in ring order."""
    numbers = (number for event in events for number in event.extensions)
    return tuple(dict.fromkeys(number.extension for number in numbers if number.party is Party.INTERNAL))


def delays(starts: Rows) -> list[float]:
    """Return by how many seconds the first events of calls came after the second in the UniqueId of their channel.

    That second is the PBX's clock: what is more than any event takes to arrive, or less than nothing, is its error
    (design rule 13).
    """
    began = ((row["received_at"], unique_id_time(row["unique_id"])) for row in starts if row["event_type"] == "start")
    return [received_at - second for received_at, second in began if second is not None]


def skew_of(found: Sequence[float]) -> float:
    """Return how many seconds our clock is ahead of the PBX's, from the delays of several calls; 0.0 when in step.

    The quickest tenth of the events took hardly any time: theirs is the difference of the clocks. A few late ones are
    none; one that came before it was sent is.
    """
    if not found:
        return 0.0
    quick = sorted(found)[len(found) // 10]
    is_late = quick > LATEST_SECONDS and len(found) >= ENOUGH_LATE
    return quick if is_late or quick < EARLIEST_SECONDS else 0.0
