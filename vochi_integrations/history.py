"""Call records: tried again and again until they are in, many in one request after an outage (design decision 4)."""

import time
from collections.abc import Sequence

from vochi_integrations.domain import Delivery, Enterprise, Reason, Status
from vochi_integrations.errors import PermanentDeliveryError
from vochi_integrations.integrations.base import Answer, Integration
from vochi_integrations.outbox import Outbox, Settlement
from vochi_integrations.router import why_not

PARKED_SECONDS = 60.0


class Records:
    """Uploads the records of one tenant to one CRM."""

    def __init__(self, integration: Integration, outbox: Outbox) -> None:
        self._integration = integration
        self._outbox = outbox

    async def upload(self, batch: Sequence[Delivery], enterprise: Enterprise | None) -> list[Delivery]:
        """Make one request, or more when the CRM refuses a batch; return what is worth another try later."""
        reason = Reason.INTEGRATION_OFF if enterprise is None else why_not(enterprise, batch[0].integration)
        if reason is not None or enterprise is None:
            self.postpone(batch, PARKED_SECONDS, reason)
            return []
        now = time.time()
        for delivery in batch:
            if delivery.deadline_at is not None and delivery.deadline_at < now:
                self._settle(delivery, "failed", Reason.EXPIRED)
        return await self._send([item for item in batch if not item.deadline_at or item.deadline_at >= now], enterprise)

    async def _send(self, batch: Sequence[Delivery], enterprise: Enterprise) -> list[Delivery]:
        if not batch:
            return []
        for delivery in batch:
            delivery.attempts += 1
        answers = await self._integration.send(batch, enterprise)
        for delivery, answer in zip(batch, answers, strict=True):
            self._outbox.log_attempt(delivery, answer)
        if len(batch) > 1 and isinstance(answers[0].error, PermanentDeliveryError):
            middle = len(batch) // 2
            return [*await self._send(batch[:middle], enterprise), *await self._send(batch[middle:], enterprise)]
        return [
            delivery for delivery, answer in zip(batch, answers, strict=True) if not self._is_settled(delivery, answer)
        ]

    def _is_settled(self, delivery: Delivery, answer: Answer) -> bool:
        if answer.error is None:
            self._settle(delivery, "done", None, answer)
        elif isinstance(answer.error, PermanentDeliveryError):
            self._settle(delivery, "failed", answer.error.reason, answer)
        else:
            delivery.reason = answer.error.reason
            return False
        return True

    def postpone(self, deliveries: Sequence[Delivery], pause: float, reason: str | None = None) -> None:
        """Give records back to the table, due again in `pause` seconds."""
        for delivery in deliveries:
            settlement = Settlement(delivery=delivery, status="pending", reason=reason or delivery.reason, pause=pause)
            self._outbox.settle(settlement)

    def _settle(self, delivery: Delivery, status: Status, reason: str | None, answer: Answer | None = None) -> None:
        delivery.status = status
        self._outbox.settle(Settlement(delivery=delivery, status=status, reason=reason, answer=answer))
