"""Pop-ups and their closing: few quick tries, a deadline, then dropped with a reason (design decision 4)."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol
from weakref import WeakMethod

from msgspec import Struct
from msgspec.structs import replace

from vochi_integrations.cards import Cards, codes_of
from vochi_integrations.db import UNAVAILABLE
from vochi_integrations.domain import Delivery, Enterprise, Reason, Status
from vochi_integrations.errors import AccountDeliveryError, PermanentDeliveryError, RateLimitError
from vochi_integrations.integrations.base import Answer, Integration
from vochi_integrations.outbox import LaneKey, Outbox, Settlement
from vochi_integrations.rate import backoff
from vochi_integrations.router import why_not
from vochi_integrations.settings import Delivery as DeliverySettings

Requeue = Callable[["Attempt"], None]
KEPT_CALLS = 1_000
LOOKS_ELSEWHERE = 20
LOOK_SECONDS = 0.1


class Surroundings(Protocol):
    """What deliveries need around them."""

    settings: DeliverySettings
    outbox: Outbox


class Attempt(Struct):
    """One try at a delivery. `expires` is the loop's time after which none may begin.

    `begun` is True for a pop-up whose row says `sending` since its commit: it goes out even if its call ends now.
    """

    delivery: Delivery
    expires: float
    begun: bool = False
    number: int = 1


class Tried(NamedTuple):
    """What came of a try: the CRM's answer, None when there was no request; the seconds before the next, None: none."""

    answer: Answer | None = None
    pause: float | None = None


class Verdict(NamedTuple):
    """Why a delivery is not to be sent."""

    status: Status
    reason: str


def _codes(attempt: Attempt, cards: Cards) -> list[str]:
    if attempt.delivery.kind == "popup_over":
        return cards.to_close(attempt.delivery)
    return codes_of(attempt.delivery) if attempt.begun or attempt.delivery.replays else cards.to_show(attempt.delivery)


class Screens:
    """What one CRM of one tenant shows, call by call; a call of which nothing is known is read back.

    `requeue` leads to what takes back the attempts that had to wait for a pop-up of their call to end; weakly, for a
    lane and its screens that hold each other keep the cycle collector at work.
    """

    def __init__(
        self, key: LaneKey, integration: Integration, around: Surroundings, requeue: "WeakMethod[Requeue]"
    ) -> None:
        self._key = key
        self._integration = integration
        self._outbox = around.outbox
        self._settings = around.settings
        self._requeue = requeue
        self._cards: OrderedDict[str, Cards] = OrderedDict()
        self._held: dict[str, list[Attempt]] = {}

    def __len__(self) -> int:
        return len(self._cards)

    def can_begin(self, delivery: Delivery) -> bool:
        """Tell whether an attempt could begin without waiting for another delivery of its call."""
        if delivery.kind == "popup":
            return True
        cards = self._cards.get(delivery.call)
        return cards is not None and cards.running == 0

    def note(self, delivery: Delivery, *, begun: bool) -> None:
        """Learn of a delivery the moment it is committed or claimed: a card to close must not open any more."""
        cards = self._known(delivery.call)
        cards.take(delivery)
        if delivery.kind == "popup_over":
            cards.close(delivery)
        elif begun:
            cards.begin(codes_of(delivery))

    async def attempt(self, attempt: Attempt, enterprise: Enterprise | None) -> Tried:
        """Make one try, unless it is late or pointless by now."""
        delivery = attempt.delivery
        cards = await self._cards_for(attempt)
        if delivery.kind == "popup_over" and cards.running:
            self._held.setdefault(delivery.call, []).append(attempt)
            return Tried()
        codes = _codes(attempt, cards)
        verdict = self._verdict(attempt, enterprise, cards, codes)
        running = delivery.kind == "popup" and (attempt.begun or verdict is None)
        if running and not attempt.begun:
            cards.begin(codes)
        try:
            if enterprise is not None and verdict is None and delivery.status != "sending":
                verdict = await self._mark_sending(attempt, enterprise, cards)
                codes = _codes(attempt, cards)
            if enterprise is not None and verdict is None:
                return await self._send(attempt, enterprise, codes)
            self._settle(delivery, *(verdict or Verdict("skipped", Reason.INTEGRATION_OFF)))
            return Tried()
        finally:
            cards.running -= running
            self._ended(delivery.call)

    def drop(self, attempt: Attempt, reason: Reason) -> None:
        """End a delivery that waits for its turn: too late, or the CRM is not to be asked now."""
        delivery = attempt.delivery
        status: Status = "expired" if reason is Reason.EXPIRED else "failed" if delivery.attempts else "skipped"
        self._settle(delivery, status, reason)
        self._ended(delivery.call)

    def crash(self, attempt: Attempt) -> None:
        """An error of ours: this delivery is not tried again, the others go on."""
        self._settle(attempt.delivery, "failed", Reason.CRASHED)
        self._ended(attempt.delivery.call)

    def abandon(self, attempt: Attempt) -> None:
        """Another daemon has taken a delivery over."""
        delivery = attempt.delivery
        cards = self._known(delivery.call)
        cards.release(delivery)
        cards.running -= attempt.begun
        self._ended(delivery.call)

    def over(self, delivery: Delivery) -> None:
        """A closing that the CRM is not told of: what of its call did not open yet must not open any more."""
        cards = self._cards.get(delivery.call)
        if cards is not None:
            cards.close(delivery)
            self._ended(delivery.call)

    async def _mark_sending(self, attempt: Attempt, enterprise: Enterprise, cards: Cards) -> Verdict | None:
        """Write durably that an attempt begins; return why it must not by then, for writing may take its time."""
        try:
            async with asyncio.timeout_at(attempt.expires):
                await self._outbox.mark_sending(attempt.delivery)
        except TimeoutError:
            return Verdict("expired", Reason.EXPIRED)
        attempt.delivery.status = "sending"
        return self._verdict(attempt, enterprise, cards, _codes(attempt, cards))

    async def _send(self, attempt: Attempt, enterprise: Enterprise, codes: list[str]) -> Tried:
        delivery = attempt.delivery
        delivery.attempts += 1
        narrowed = replace(delivery, payload=delivery.payload | {"codes": codes})
        (answer,) = await self._integration.send([narrowed], enterprise)
        self._outbox.log_attempt(delivery, answer)
        return Tried(answer, self._pause_after(attempt, answer))

    def _ended(self, call: str) -> None:
        """Let go what waited for the last pop-up under way; forget a call whose cards are all closed."""
        cards = self._cards.get(call)
        if cards is None or cards.running:
            return
        self._let_go(call)
        if cards.is_over:
            self._cards.pop(call, None)

    def _let_go(self, call: str) -> None:
        requeue = self._requeue()
        for held in self._held.pop(call, ()):
            if requeue is not None:
                requeue(held)

    def _verdict(
        self, attempt: Attempt, enterprise: Enterprise | None, cards: Cards, codes: list[str]
    ) -> Verdict | None:
        delivery = attempt.delivery
        reason = Reason.INTEGRATION_OFF if enterprise is None else why_not(enterprise, delivery.integration)
        if reason is not None:
            return Verdict("skipped", reason)
        if not codes and codes_of(delivery):
            if delivery.kind == "popup":
                return Verdict("expired", cards.why_closed(delivery))
            return Verdict("skipped", Reason.NO_POPUP)
        if asyncio.get_running_loop().time() > attempt.expires:
            return Verdict("expired", Reason.EXPIRED)
        return None

    def _pause_after(self, attempt: Attempt, answer: Answer) -> float | None:
        """Settle what is settled; return the seconds before another try of what is not."""
        delivery, error, settings = attempt.delivery, answer.error, self._settings
        if error is None:
            self._settle(delivery, "done", delivery.reason, answer)
            return None
        pause = backoff(settings.retry_base, attempt.number, settings.realtime_retry_max)
        if isinstance(error, RateLimitError):
            pause = max(pause, min(error.retry_after or 0.0, settings.retry_after_max))
        is_last = attempt.number >= settings.realtime_attempts
        is_late = asyncio.get_running_loop().time() + pause > attempt.expires
        if isinstance(error, PermanentDeliveryError | AccountDeliveryError) or is_last or is_late:
            refused = isinstance(error, AccountDeliveryError) and error.status is not None
            self._settle(delivery, "failed", Reason.CRM_REJECTED if refused else error.reason, answer)
            return None
        return pause

    def _settle(self, delivery: Delivery, status: Status, reason: str | None, answer: Answer | None = None) -> None:
        delivery.status = status
        if cards := self._cards.get(delivery.call):
            cards.release(delivery)
        self._outbox.settle(Settlement(delivery=delivery, status=status, reason=reason, answer=answer))

    async def _cards_for(self, attempt: Attempt) -> Cards:
        """Return what is known of a call; asks the table where another daemon may know more.

        That is so for a card to close that was not shown here, and for a pop-up that had to wait.
        """
        delivery = attempt.delivery
        cards = self._known(delivery.call)
        if delivery.kind == "popup_over":
            is_known = cards.shown.issuperset(codes_of(delivery))
        else:
            is_known = delivery.status == "sending"
        for _ in range(0 if is_known else LOOKS_ELSEWHERE):
            stored = await self._stored_cards(delivery.call)
            cards.merge(stored)
            if not stored.running or cards.running:
                break
            await asyncio.sleep(LOOK_SECONDS)
        return cards

    async def _stored_cards(self, call: str) -> Cards:
        """Return what the table knows; nothing while PostgreSQL is away, for a card cannot wait for it."""
        if self._outbox.is_away:
            return Cards()
        try:
            return await self._outbox.recall_cards(self._key, call)
        except UNAVAILABLE:
            return Cards()

    def _known(self, call: str) -> Cards:
        """Return what is known of a call; of too many the oldest is forgotten, unless it has something to deliver."""
        known = self._cards.get(call)
        if known is not None:
            return known
        cards = self._cards[call] = Cards()
        if len(self._cards) > KEPT_CALLS:
            oldest = next(iter(self._cards))
            if not self._cards[oldest].in_hand:
                del self._cards[oldest]
        return cards
