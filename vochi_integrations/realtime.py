"""Pop-ups and their closing: few quick tries, a deadline, then dropped with a reason (design decision 4)."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol

from msgspec import Struct
from msgspec.structs import replace

from vochi_integrations.cards import Cards, codes_of
from vochi_integrations.domain import Delivery, Enterprise, Reason, Status
from vochi_integrations.errors import PermanentDeliveryError
from vochi_integrations.integrations.base import Answer, Integration
from vochi_integrations.outbox import LaneKey, Outbox, Settlement
from vochi_integrations.rate import POPUP_PAUSE_LIMIT, backoff
from vochi_integrations.router import why_not
from vochi_integrations.settings import Delivery as DeliverySettings

KEPT_CALLS = 1_000


class Surroundings(Protocol):
    """What deliveries need around them."""

    settings: DeliverySettings
    outbox: Outbox


class Attempt(Struct):
    """One try at a delivery. `expires` is the loop's time after which none may begin."""

    delivery: Delivery
    expires: float
    number: int = 1


class Verdict(NamedTuple):
    """Why a delivery is not to be sent."""

    status: Status
    reason: str


class Screens:
    """What one CRM of one tenant shows, call by call; a call of which nothing is known is read back.

    `requeue` gets back the attempts that had to wait for a pop-up of their call to end.
    """

    def __init__(
        self, key: LaneKey, integration: Integration, around: Surroundings, requeue: Callable[[Attempt], None]
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

    def note(self, delivery: Delivery) -> None:
        """Learn of a delivery of this process the moment it is committed: a card to close must not open any more."""
        cards = self._cards.get(delivery.call)
        if delivery.kind == "popup" and cards is None:
            self._keep(delivery.call, Cards())
        elif delivery.kind == "popup_over" and cards is not None:
            cards.close(delivery)

    async def attempt(self, attempt: Attempt, enterprise: Enterprise | None) -> float | None:
        """Make one try; return the pause in seconds before the next, None when there is none."""
        delivery = attempt.delivery
        cards = self._cards.get(delivery.call) or await self._recall(delivery.call)
        if delivery.kind == "popup_over" and cards.running:
            self._held.setdefault(delivery.call, []).append(attempt)
            return None
        codes = cards.to_show(delivery) if delivery.kind == "popup" else cards.to_close(delivery)
        verdict = self._verdict(attempt, enterprise, cards, codes)
        if enterprise is None or verdict is not None:
            self._settle(delivery, *(verdict or Verdict("skipped", Reason.INTEGRATION_OFF)))
            return None
        if delivery.kind == "popup":
            cards.running += 1
            cards.shown.update(codes)
        try:
            return await self._send(attempt, enterprise, codes)
        finally:
            self._ended(delivery, cards)

    async def _send(self, attempt: Attempt, enterprise: Enterprise, codes: list[str]) -> float | None:
        delivery = attempt.delivery
        if delivery.status != "sending":
            await self._outbox.mark_sending(delivery)
            delivery.status = "sending"
        delivery.attempts += 1
        narrowed = replace(delivery, payload=delivery.payload | {"codes": codes})
        (answer,) = await self._integration.send([narrowed], enterprise)
        self._outbox.log_attempt(delivery, answer)
        return self._judge(attempt, answer)

    def _ended(self, delivery: Delivery, cards: Cards) -> None:
        if delivery.kind == "popup":
            cards.running -= 1
        if cards.running == 0:
            for held in self._held.pop(delivery.call, ()):
                self._requeue(held)
        if cards.is_over and delivery.call not in self._held:
            self._cards.pop(delivery.call, None)

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

    def _judge(self, attempt: Attempt, answer: Answer) -> float | None:
        delivery, error = attempt.delivery, answer.error
        if error is None:
            self._settle(delivery, "done", delivery.reason, answer)
            return None
        pause = backoff(self._settings.retry_base, attempt.number, POPUP_PAUSE_LIMIT)
        is_last = attempt.number >= self._settings.realtime_attempts
        is_late = asyncio.get_running_loop().time() + pause > attempt.expires
        if isinstance(error, PermanentDeliveryError) or is_last or is_late:
            self._settle(delivery, "failed", error.reason, answer)
            return None
        return pause

    def _settle(self, delivery: Delivery, status: Status, reason: str | None, answer: Answer | None = None) -> None:
        delivery.status = status
        self._outbox.settle(Settlement(delivery=delivery, status=status, reason=reason, answer=answer))

    async def _recall(self, call: str) -> Cards:
        return self._keep(call, await self._outbox.recall_cards(self._key, call))

    def _keep(self, call: str, cards: Cards) -> Cards:
        """Remember a call; of too many the oldest is forgotten, unless something of it is under way."""
        self._cards[call] = cards
        if len(self._cards) > KEPT_CALLS:
            oldest, known = next(iter(self._cards.items()))
            if not known.running:
                del self._cards[oldest]
        return cards
