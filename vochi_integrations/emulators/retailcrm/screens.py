"""The pop-up cards on the managers' screens, as call events open and close them (facts: retailcrm_api §2)."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import msgspec

KEPT = 1_000


class Popup(msgspec.Struct):
    """A card on one manager's screen; open until a hangup names that manager and the same call.

    `delay` is milliseconds since the PBX sent its dial, where that is known.
    """

    user_id: int
    call_id: str
    phone: str
    direction: str
    line: str | None
    at: float
    delay: float | None = None
    closed_at: float | None = None
    status: str | None = None


class Screens:
    """What every manager sees; the oldest cards are forgotten when a hangup never comes."""

    def __init__(self) -> None:
        self.open: dict[tuple[int, str], Popup] = {}
        self.closed: deque[Popup] = deque(maxlen=KEPT)

    def __iter__(self) -> Iterator[Popup]:
        return chain(self.open.values(), self.closed)

    def show(self, event: Mapping[str, Any], users: Iterable[int], at: float) -> None:
        change = self.close if event["type"] == "hangup" else self.pop_up
        # Without an id of its own a call is known by the customer's phone.
        call_id = event.get("callExternalId") or event["phone"]
        for user_id in users:
            change(event, user_id, call_id, at)

    def pop_up(self, event: Mapping[str, Any], user_id: int, call_id: str, at: float) -> None:
        if len(self.open) >= KEPT:
            del self.open[next(iter(self.open))]
        line = event.get("externalPhone")
        self.open[user_id, call_id] = Popup(user_id, call_id, event["phone"], event["type"], line, at)

    def note_delay(self, event: Mapping[str, Any], dialled_at: Mapping[str, float]) -> None:
        """Say on the cards an event has just opened how long after the dial that was."""
        call_id = event.get("callExternalId")
        if call_id not in dialled_at:
            return
        for popup in self.open.values():
            if popup.call_id == call_id and popup.delay is None:
                popup.delay = round((popup.at - dialled_at[call_id]) * 1000, 1)

    def close(self, event: Mapping[str, Any], user_id: int, call_id: str, at: float) -> None:
        if popup := self.open.pop((user_id, call_id), None):
            popup.closed_at, popup.status = at, event["hangupStatus"]
            self.closed.append(popup)
