"""Sees what happens on the call path: counts it, and says it in the logs, one line a call and one a delivery; short
lines in the files.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import structlog

from vochi_integrations import clock, statuslines
from vochi_integrations.callstate import Step
from vochi_integrations.domain import CallEvent, Delivery, ShowPopup, Skip, Status, WriteRecord
from vochi_integrations.figures import Figures
from vochi_integrations.integrations.base import Answer

GATEWAY = "integration_cache"
SHOWN_KINDS = frozenset({"dial", "hangup"})

log = structlog.get_logger()


class Stored(NamedTuple):
    """An event that has become durable, what it did to its call, and what it caused."""

    enterprise: str
    event: CallEvent
    step: Step
    reason: str | None
    deliveries: Sequence[Delivery]


class Witness:
    """Told by the journal and the outbox; never raises, never waits."""

    def __init__(self) -> None:
        self.figures = Figures()

    def stored(self, steps: Iterable[Stored]) -> None:
        """Events are durable and may be acknowledged."""
        figures, now = self.figures, clock.now()
        for item in steps:
            event = item.event
            figures.events[event.kind, item.reason] += 1
            for delivery in item.deliveries:
                if delivery.status == "skipped":
                    self.settled(delivery, "skipped", delivery.reason)
                    log_delivery(delivery, "skipped", delivery.reason)
            if event.kind != "timeout":
                figures.accepted.add(now - event.received_at)
                hour = figures.heard[item.enterprise]
                hour.events += 1
                hour.last_at = event.received_at
            if item.step.effects or event.kind in SHOWN_KINDS:
                self._tell(item)

    def _tell(self, item: Stored) -> None:
        if statuslines.is_open():
            for line in gateway_lines(item):
                statuslines.write(GATEWAY, line)
        for effect in item.step.effects:
            if isinstance(effect, WriteRecord) or (isinstance(effect, Skip) and effect.kind == "record"):
                _log_call(item, effect)

    def attempted(self, delivery: Delivery, answer: Answer) -> None:
        """A CRM was asked, and has answered or not."""
        figures, error = self.figures, answer.error
        key = delivery.integration, delivery.kind
        figures.attempts[(*key, "ok" if error is None else error.reason)] += 1
        figures.answers[key].add(answer.elapsed_ms / 1000)
        if error is None and not delivery.replays:
            figures.latency[delivery.cls].add(answer.started_at + answer.elapsed_ms / 1000 - delivery.event_at)
        if statuslines.is_open():
            statuslines.write(delivery.integration, crm_line(delivery.enterprise, delivery.call, answer))

    def settled(self, delivery: Delivery, status: str, reason: str | None) -> None:
        """A delivery has its last state in the table."""
        self.figures.deliveries[delivery.integration, delivery.kind, status, reason] += 1


def gateway_lines(item: Stored) -> list[str]:
    """Say what a dial or a hangup led to, as the operator's checklist looks for it in `integration_cache.log`."""
    where = f"{item.enterprise} {item.event.unique_id}"
    lines = [f"synthetic dial {where}" for effect in item.step.effects if _is_synthetic(effect)]
    parts = [f"{delivery.integration} {delivery.kind}{_why(delivery)}" for delivery in item.deliveries]
    return [*lines, f"{item.event.kind} {where} -> {', '.join(parts) or item.reason or 'nothing to send'}"]


def _is_synthetic(effect: object) -> bool:
    return isinstance(effect, ShowPopup) and effect.synthetic


def _why(delivery: Delivery) -> str:
    return f" skipped: {delivery.reason}" if delivery.status == "skipped" else ""


def crm_line(enterprise: str, call: str | None, answer: Answer) -> str:
    """Say what a CRM answered, as the checklist looks for it in `retailcrm.log`: the request, whose, the status."""
    request = answer.event_type.replace("call_event", "call/event").replace("calls_upload", "calls/upload")
    where = f"{enterprise} {call}" if call else enterprise
    said = answer.http_status or "no answer"
    failed = f" {answer.error.reason}: {answer.error}" if answer.error else ""
    return f"{request} {where} {said} {answer.elapsed_ms:.0f} ms{failed}"


def log_delivery(delivery: Delivery, status: Status, reason: str | None, answer: Answer | None = None) -> None:
    """The canonical line of a delivery, when nothing more will happen to it; `answer` is that of its last attempt."""
    lost = status == "failed" and delivery.cls == "history"
    (log.error if lost else log.info)(
        "delivery",
        enterprise=delivery.enterprise,
        integration=delivery.integration,
        call=delivery.call,
        kind=delivery.kind,
        status=status,
        reason=reason,
        attempts=delivery.attempts,
        http_status=answer.http_status if answer else None,
        crm_ms=answer.elapsed_ms if answer else None,
        error=str(answer.error) if answer and answer.error else None,
    )


def _log_call(item: Stored, effect: WriteRecord | Skip) -> None:
    """The canonical line of a call, when it ends."""
    state = item.step.state
    known: dict[str, object] = {"reason": effect.reason} if isinstance(effect, Skip) else _outcome(effect)
    log.info(
        "call",
        enterprise=item.enterprise,
        call=effect.call,
        direction=state.direction,
        phone=state.phone.digits,
        rung=state.rung,
        talked=state.talkers,
        origin=item.event.origin,
        ended_by=item.event.kind,
        **known,
    )


def _outcome(record: WriteRecord) -> dict[str, object]:
    return {"result": record.result, "seconds": record.duration, "waited": record.waiting, "trunk": record.trunk}
