"""What reached the CRMs, and what is wrong with it: lost, doubled, changed, late, reordered.

Times are `time.monotonic`.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field

What = Literal["popup", "over", "record"]
SLACK = 0.5


class Arrival(Struct, kw_only=True):
    """One pop-up, closing or record in one request. `taken_at` is when `success:true` was written, None if never."""

    call: str
    what: What
    at: float
    payload: Mapping[str, Any]
    taken_at: float | None = None

    @property
    def codes(self) -> list[str]:
        return list(self.payload.get("codes", ()))


class Acknowledged(Struct):
    """What a host knows of a call: when each event was sent, and when it was answered 200."""

    sent: dict[str, float] = field(default_factory=dict)
    taken: dict[str, float] = field(default_factory=dict)


class Judgement(Struct):
    """All that is wrong; every list is empty when all is well."""

    lost: list[str] = field(default_factory=list)
    doubled_popups: list[str] = field(default_factory=list)
    doubled_records: list[str] = field(default_factory=list)
    changed_records: list[str] = field(default_factory=list)
    late_popups: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    broken_requests: list[str] = field(default_factory=list)


class Ledger:
    """Every arrival at every CRM of a test, call by call. `broken` are requests no CRM would understand."""

    def __init__(self) -> None:
        self._calls: defaultdict[str, list[Arrival]] = defaultdict(list)
        self.broken: list[str] = []

    def add(self, arrival: Arrival) -> None:
        self._calls[arrival.call].append(arrival)

    def of(self, call: str, what: What) -> list[Arrival]:
        return [item for item in self._calls.get(call, ()) if item.what == what]

    def taken(self, call: str, what: What) -> list[Arrival]:
        return [item for item in self.of(call, what) if item.taken_at is not None]

    def records(self) -> set[str]:
        return {call for call in self._calls if self.taken(call, "record")}

    def sent_again(self) -> int:
        """Count the records that came once more after their `success:true`, whoever may be forgiven for it."""
        return sum(
            any(item.at > min(taken) for item in self.of(call, "record"))
            for call in self._calls
            if (taken := [item.taken_at for item in self.of(call, "record") if item.taken_at is not None])
        )

    def only(self, calls: Collection[str]) -> "Ledger":
        """Return what concerns some calls."""
        found = Ledger()
        found.broken = self.broken
        found._calls.update({call: self._calls[call] for call in calls if call in self._calls})
        return found

    def judge(
        self,
        calls: Mapping[str, Acknowledged],
        *,
        popup_ttl: float,
        refused: Collection[str] = (),
        forgotten: Sequence[tuple[float, float]] = (),
    ) -> Judgement:
        """Judge all calls of a host; `calls` is what was acknowledged.

        `refused` are calls whose record no CRM takes. `forgotten` are times in which a daemon may have lost its memory
        of a `success:true`: the same record may then come once more, with the same content.
        """
        found = Judgement(broken_requests=list(self.broken))
        for call, host in calls.items():
            if "hangup" in host.taken and call not in refused and not self.taken(call, "record"):
                found.lost.append(call)
        for call in self._calls:
            self._judge_popups(call, calls.get(call, Acknowledged()), popup_ttl, found)
            self._judge_records(call, forgotten, found)
        return found

    def _judge_popups(self, call: str, host: Acknowledged, popup_ttl: float, found: Judgement) -> None:
        shown: set[str] = set()
        closed: dict[str, float] = {}
        for item in sorted(self.of(call, "popup") + self.of(call, "over"), key=lambda item: item.at):
            if item.what == "over":
                closed |= dict.fromkeys(item.codes, item.at)
                continue
            if shown.intersection(item.codes):
                found.doubled_popups.append(f"{call} {item.codes}")
            if closed.keys() & item.codes:
                found.reordered.append(f"{call} {item.codes}: closed before it was shown")
            if _is_late(item, host, popup_ttl):
                found.late_popups.append(f"{call} {item.at:.2f} {host}")
            if item.taken_at is not None:
                shown.update(item.codes)

    def _judge_records(self, call: str, forgotten: Sequence[tuple[float, float]], found: Judgement) -> None:
        records = self.of(call, "record")
        if any(item.payload != records[0].payload for item in records):
            found.changed_records.append(f"{call} {[item.payload for item in records]}")
        taken = [item.taken_at for item in records if item.taken_at is not None]
        if not taken:
            return
        may_repeat = any(begin <= taken[0] <= end for begin, end in forgotten)
        if not may_repeat and any(item.at > taken[0] for item in records):
            found.doubled_records.append(f"{call} {[(item.at, item.taken_at) for item in records]}")


def _is_late(popup: Arrival, host: Acknowledged, popup_ttl: float) -> bool:
    """A pop-up too old, or of a call whose end was acknowledged; one made from a hangup alone comes after it."""
    if "dial" not in host.taken:
        return "hangup" in host.taken and popup.at > host.taken["hangup"] + popup_ttl + SLACK
    over = host.taken.get("hangup")
    return popup.at > host.taken["dial"] + popup_ttl + SLACK or (over is not None and popup.at > over + SLACK)
