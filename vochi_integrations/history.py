"""Call records: tried again and again until they are in, many in one request after an outage (design decision 4)."""

from collections.abc import Sequence

from msgspec import Struct, field

from vochi_integrations import clock
from vochi_integrations.domain import Delivery, Enterprise, Reason, Status
from vochi_integrations.errors import PermanentDeliveryError
from vochi_integrations.integrations.base import Answer, Integration
from vochi_integrations.outbox import Outbox, Settlement
from vochi_integrations.router import why_not


class Upload(Struct):
    """What came of a batch. `answer` is None when no request was made, `parked` says then why the CRM gets nothing.

    `later` are the records worth another try, `halves` a refused batch cut in two to find the record at fault.
    """

    answer: Answer | None = None
    parked: Reason | None = None
    later: Sequence[Delivery] = ()
    halves: list[list[Delivery]] = field(default_factory=list)


class Records:
    """Uploads the records of one tenant to one CRM."""

    def __init__(self, integration: Integration, outbox: Outbox) -> None:
        self._integration = integration
        self._outbox = outbox

    async def upload(self, batch: Sequence[Delivery], enterprise: Enterprise | None) -> Upload:
        """Make one request for those of a batch that are not too old."""
        reason = Reason.INTEGRATION_OFF if enterprise is None else why_not(enterprise, batch[0].integration)
        if reason is not None or enterprise is None:
            return Upload(parked=reason, later=batch)
        due = self._not_expired(batch)
        return await self._send(due, enterprise) if due else Upload()

    def _not_expired(self, batch: Sequence[Delivery]) -> list[Delivery]:
        now = clock.now()
        late = [delivery for delivery in batch if delivery.deadline_at is not None and delivery.deadline_at < now]
        for delivery in late:
            self._settle(delivery, "failed", Reason.EXPIRED)
        return [delivery for delivery in batch if delivery not in late]

    async def _send(self, batch: list[Delivery], enterprise: Enterprise) -> Upload:
        for delivery in batch:
            delivery.attempts += 1
        answers = await self._integration.send(batch, enterprise)
        for delivery, answer in zip(batch, answers, strict=True):
            self._outbox.log_attempt(delivery, answer)
        upload = Upload(answer=answers[0])
        if len(batch) > 1 and isinstance(answers[0].error, PermanentDeliveryError):
            middle = len(batch) // 2
            upload.halves = [batch[:middle], batch[middle:]]
        else:
            pairs = zip(batch, answers, strict=True)
            upload.later = [delivery for delivery, answer in pairs if not self._is_settled(delivery, answer)]
        return upload

    def _is_settled(self, delivery: Delivery, answer: Answer) -> bool:
        if answer.error is None:
            self._settle(delivery, "done", None, answer)
        elif isinstance(answer.error, PermanentDeliveryError):
            self._settle(delivery, "failed", answer.error.reason, answer)
        else:
            return False
        return True

    def postpone(
        self, deliveries: Sequence[Delivery], pause: float, reason: str | None = None, answer: Answer | None = None
    ) -> None:
        """Give records back to the table, due again in `pause` seconds, with what the CRM said to them."""
        for delivery in deliveries:
            self._outbox.settle(
                Settlement(
                    delivery=delivery, status="pending", reason=reason or delivery.reason, pause=pause, answer=answer
                )
            )

    def _settle(self, delivery: Delivery, status: Status, reason: str | None, answer: Answer | None = None) -> None:
        delivery.status = status
        self._outbox.settle(Settlement(delivery=delivery, status=status, reason=reason, answer=answer))
