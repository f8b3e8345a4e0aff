"""Playing sequences through the call book alone: no database, no clock."""

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from tests.kinds import EXTENSIONS, OWNER_OF_M, M
from vochi_integrations.callbook import CallBook
from vochi_integrations.demo.sequences import RECORDED_AT, Sequence
from vochi_integrations.domain import CallEvent, Directory, Effect, Origin, Reason, ShowPopup, WriteRecord
from vochi_integrations.events import read_event, read_unique_id
from vochi_integrations.phones import last9

ENTERPRISE = "0367"
DIRECTORY = Directory(
    internal=frozenset(EXTENSIONS),
    mobiles={last9(M): OWNER_OF_M},
    lines={"0001363": "", "0001366": ""},
    zone=ZoneInfo("Europe/Minsk"),
)


class Outcome(Struct):
    """What a book made of events: effects, reasons, and each event with the call it was put to."""

    effects: list[Effect] = field(default_factory=list)
    reasons: list[Reason | None] = field(default_factory=list)
    stored: list[tuple[str, CallEvent]] = field(default_factory=list)

    @property
    def popups(self) -> list[ShowPopup]:
        return [effect for effect in self.effects if isinstance(effect, ShowPopup)]

    @property
    def records(self) -> list[WriteRecord]:
        return [effect for effect in self.effects if isinstance(effect, WriteRecord)]


def events_of(sequence: Sequence) -> list[CallEvent]:
    return [read(seconds, route, body) for seconds, route, body in sequence.events]


def read(seconds: float, route: str, body: dict[str, object]) -> CallEvent:
    kind, origin = ("hangup", "download") if route == "download" else (route, "live")
    known: Origin = "download" if origin == "download" else "live"
    unique_id = read_unique_id(kind, body)
    return read_event(kind, unique_id, dict(body), DIRECTORY, received_at=RECORDED_AT + seconds, origin=known)


def play(events: Iterable[CallEvent], book: CallBook | None = None, outcome: Outcome | None = None) -> Outcome:
    """Fold events as the journal does: repeats are left out."""
    book = CallBook() if book is None else book
    outcome = Outcome() if outcome is None else outcome
    for event in events:
        call = book.call_of(ENTERPRISE, event)
        if book.is_repeat(ENTERPRISE, event):
            continue
        step = book.fold(ENTERPRISE, call, event)
        outcome.effects += step.effects
        outcome.reasons.append(step.reason)
        outcome.stored.append((call, event))
    return outcome
