"""What one flush of the journal stores, and how it is written for `append` (sql/queries/events.sql). Pure."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import orjson
from msgspec import Struct, field

from vochi_integrations.callbook import Key
from vochi_integrations.callstate import CallState, Step
from vochi_integrations.db import Row
from vochi_integrations.domain import CallEvent, Delivery, Enterprise, Reason
from vochi_integrations.witness import Stored


class Deliveries(Protocol):
    """What the journal hands deliveries to: the dispatcher. `lease` is whose they are and for how many seconds."""

    @property
    def lease(self) -> tuple[str, float]: ...

    def admit(self, deliveries: Iterable[Delivery]) -> None: ...

    def withdraw(self, deliveries: Iterable[Delivery]) -> None: ...

    def accept(self, deliveries: Iterable[Delivery]) -> None: ...


class Receipt(Struct, frozen=True):
    """An event is durable. `close_at` is when to look at a call again that is not lost yet (UTC epoch seconds)."""

    duplicate: bool = False
    close_at: float | None = None


class Entry(Struct):
    """An event on its way, and who waits for it."""

    event: CallEvent
    enterprise: Enterprise
    receipt: "asyncio.Future[Receipt]"


class Plan(Struct):
    """What one flush stores."""

    events: list[dict[str, Any]] = field(default_factory=list)
    repeats: list[tuple[str, str, bytes]] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    before: dict[Key, CallState] = field(default_factory=dict)
    ended: list[Key] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    steps: list[Stored] = field(default_factory=list)


def reason_of(step: Step, deliveries: Sequence[Delivery], enterprise: Enterprise) -> str | None:
    """Say why an event led to nothing: its own reason, or the one that stopped all it would have caused."""
    if step.reason is not None or not step.effects:
        return step.reason
    if not enterprise.active:
        return Reason.ENTERPRISE_INACTIVE
    if not deliveries:
        return Reason.INTEGRATION_OFF if not enterprise.integrations else None
    return deliveries[0].reason if all(delivery.status == "skipped" for delivery in deliveries) else None


def event_row(number: str, call: str, event: CallEvent, step: Step, reason: str | None) -> dict[str, Any]:
    return {
        "enterprise": number,
        "unique_id": event.unique_id,
        "call": call,
        "kind": event.kind,
        "version": step.state.version,
        "received_at": event.received_at,
        "origin": event.origin,
        "raw": orjson.Fragment(event.raw),
        "digest": event.digest.hex(),
        "reason": reason,
        "record_url": event.record_url or None,
    }


def _identity(delivery: Delivery) -> tuple[str, ...]:
    return delivery.enterprise, delivery.integration, delivery.call, delivery.kind, delivery.dedupe_key


def with_ids(deliveries: Iterable[Delivery], rows: Iterable[Row]) -> list[Delivery]:
    """Give deliveries their ids; return those stored: one whose unique key was taken is not ours to send."""
    ids = {tuple(row)[1:]: row["id"] for row in rows}
    stored = []
    for delivery in deliveries:
        delivery.id = ids.get(_identity(delivery), 0)
        if delivery.id:
            stored.append(delivery)
    return stored


def delivery_row(delivery: Delivery) -> dict[str, Any]:
    return {
        "enterprise": delivery.enterprise,
        "integration": delivery.integration,
        "call": delivery.call,
        "kind": delivery.kind,
        "dedupe_key": delivery.dedupe_key,
        "cls": delivery.cls,
        "payload": delivery.payload,
        "status": delivery.status,
        "reason": delivery.reason,
        "attempts": delivery.attempts,
        "event_at": delivery.event_at,
        "deadline_at": delivery.deadline_at,
    }
