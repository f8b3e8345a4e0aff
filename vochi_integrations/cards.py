"""What one CRM shows of one call: which cards may still open, which are open, which must close. Pure."""

from collections.abc import Iterable
from typing import cast

from msgspec import Struct, field

from vochi_integrations.domain import Delivery, Reason


def codes_of(delivery: Delivery) -> list[str]:
    return cast("list[str]", delivery.payload.get("codes", []))


class Cards(Struct):
    """The cards of one call. A card counts as shown once an attempt at it has begun, whatever came of the attempt.

    `running` counts the attempts at pop-ups under way; `closed` says by code why no card is to open any more;
    `in_hand` are the pop-ups and closings that did not end yet.
    """

    shown: set[str] = field(default_factory=set)
    closed: dict[str, str] = field(default_factory=dict)
    running: int = 0
    in_hand: set[tuple[str, str]] = field(default_factory=set)

    def take(self, delivery: Delivery) -> None:
        """A pop-up or a closing is to be delivered: what is known of the call matters until it ended."""
        self.in_hand.add((delivery.kind, delivery.dedupe_key))

    def release(self, delivery: Delivery) -> None:
        """A pop-up or a closing has ended."""
        self.in_hand.discard((delivery.kind, delivery.dedupe_key))

    def begin(self, codes: Iterable[str]) -> None:
        """An attempt at a pop-up begins: its cards count as shown."""
        self.running += 1
        self.shown.update(codes)

    def merge(self, stored: "Cards") -> None:
        """Add what the table knows."""
        self.shown |= stored.shown
        self.closed = stored.closed | self.closed

    def to_show(self, popup: Delivery) -> list[str]:
        """Return the extensions of a pop-up that are still to see it."""
        return [code for code in codes_of(popup) if code not in self.closed]

    def why_closed(self, popup: Delivery) -> str:
        """Say what became of a pop-up that nobody is to see any more."""
        why = next((self.closed[code] for code in codes_of(popup) if code in self.closed), Reason.CALL_OVER)
        return Reason.CALL_OVER if why == Reason.EVENT_OFF else why

    def close(self, over: Delivery) -> None:
        """Note at once that cards are not to open any more."""
        for code in codes_of(over):
            self.closed.setdefault(code, over.reason or Reason.CALL_OVER)

    def to_close(self, over: Delivery) -> list[str]:
        """Return the extensions whose card may be on a screen."""
        return [code for code in codes_of(over) if code in self.shown]

    @property
    def is_over(self) -> bool:
        """True when every card that was shown is closed, and nothing is to be delivered any more."""
        return not self.in_hand and bool(self.closed) and self.shown <= self.closed.keys()


def cards_of(rows: Iterable[tuple[str, list[str], str, int, str | None]]) -> Cards:
    """Read a call's cards from its stored deliveries: (kind, codes, status, attempts, reason).

    `running` counts the pop-ups that some daemon is sending.
    """
    cards = Cards()
    for kind, codes, status, attempts, reason in rows:
        if kind == "popup_over":
            for code in codes:
                cards.closed.setdefault(code, reason or Reason.CALL_OVER)
        elif attempts or status == "sending":
            cards.shown.update(codes)
            cards.running += status == "sending"
    return cards
