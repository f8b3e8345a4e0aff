"""Group commit: events are folded, and stored together with what they cause, in one statement a flush."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import asyncpg
import orjson
import structlog
from msgspec import Struct, field

from vochi_integrations.background import Batcher
from vochi_integrations.callbook import CallBook, Key
from vochi_integrations.calls import fold, idle_until
from vochi_integrations.callstate import CallState, Step
from vochi_integrations.db import UNAVAILABLE, Database, HeldConnection, Row
from vochi_integrations.domain import CallEvent, Delivery, Directory, Enterprise, Party, Reason
from vochi_integrations.errors import JournalError
from vochi_integrations.events import parse_event
from vochi_integrations.router import Router
from vochi_integrations.snapshot import SnapshotStore

BATCH = 500
STORE_TIMEOUT = 2.0
RECALL_TIMEOUT = 30.0
OPEN_CALLS = 20_000
CONFLICTS = 100

log = structlog.get_logger()


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


class Journal:
    """Stores events in the order they came. A call's state in memory is that of its stored events.

    When another daemon has stored events of the same call, the flush fails, the calls are read back
    and folded again: optimistic concurrency, by the unique place of an event in its call's stream.
    """

    def __init__(
        self,
        database: Database,
        store: SnapshotStore,
        router: Router,
        deliveries: Deliveries,
        idle_seconds: float,
    ) -> None:
        self._database = database
        self._connection = HeldConnection(database)
        self._store = store
        self._router = router
        self._deliveries = deliveries
        self._idle_seconds = idle_seconds
        self._flushing = asyncio.Lock()
        self.book = CallBook()
        self.batcher: Batcher[Entry] = Batcher(self._flush, BATCH)

    async def append(self, event: CallEvent, enterprise: Enterprise) -> Receipt:
        """Return when the event is durable. Raises JournalError when it could not be stored."""
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self.batcher.add(Entry(event, enterprise, receipt))
        return await receipt

    async def _flush(self, batch: list[Entry]) -> None:
        try:
            async with self._flushing:
                await self._recall_context(batch)
                plan = await self._store_plan(batch)
        except Exception as error:  # noqa: BLE001 - the one place for a flush: whatever it is, nobody waits for ever
            await self._failed(batch, error)
            return
        for entry, receipt in zip(batch, plan.receipts, strict=True):
            if not entry.receipt.done():
                entry.receipt.set_result(receipt)
        self._deliveries.accept(plan.deliveries)

    async def _failed(self, batch: list[Entry], error: Exception) -> None:
        """Acknowledge nothing that is not stored; one bad event does not take others with it."""
        if len(batch) > 1 and not isinstance(error, UNAVAILABLE):
            for entry in batch:
                await self._flush([entry])
            return
        log.error("events not stored", events=len(batch), exc_info=None if isinstance(error, UNAVAILABLE) else error)
        for entry in batch:
            if not entry.receipt.done():
                entry.receipt.set_exception(JournalError("the event could not be stored; send it again"))

    async def _store_plan(self, batch: Sequence[Entry]) -> Plan:
        for _ in range(CONFLICTS):
            plan = Plan()
            try:
                self._fill(plan, batch)
                await self._write(plan)
            except asyncpg.UniqueViolationError:
                self._deliveries.withdraw(plan.deliveries)
                await self._recall_stored(plan)
            except BaseException:
                self._deliveries.withdraw(plan.deliveries)
                for key in plan.before:
                    self.book.forget(key)
                raise
            else:
                return plan
        raise JournalError("other daemons store events of the same calls all the time")

    async def _recall_stored(self, plan: Plan) -> None:
        """After a conflict: read back the calls of this flush, and those that already have one of its events."""
        events = [(row["enterprise"], row["unique_id"], bytes.fromhex(row["digest"])) for row in plan.events]
        rows = await self._connection.fetch("calls_of_events", *_columns(events, 3), timeout=STORE_TIMEOUT)
        keys = [(row["enterprise_number"], row["call_unique_id"]) for row in rows]
        await self.recall(dict.fromkeys([*plan.before, *keys]))

    def _fill(self, plan: Plan, batch: Sequence[Entry]) -> None:
        for entry in batch:
            plan.receipts.append(self._plan_event(plan, entry.event, entry.enterprise))
        self._deliveries.admit(plan.deliveries)

    def _plan_event(self, plan: Plan, event: CallEvent, enterprise: Enterprise) -> Receipt:
        number = enterprise.number
        call = self.book.call_of(number, event)
        before = self.book.state(number, call)
        plan.before.setdefault((number, call), before)
        if self.book.is_repeat(number, event):
            plan.repeats.append((number, event.unique_id, event.digest))
            return Receipt(duplicate=True)
        if event.kind == "timeout" and not fold(before, event).effects:
            return self._not_lost(plan, (number, call), before, event)
        step = self.book.fold(number, call, event)
        deliveries = self._router.plan(step.effects, enterprise)
        plan.deliveries += deliveries
        plan.events.append(_event_row(number, call, event, step, _reason(step, deliveries, enterprise)))
        return Receipt(duplicate=step.reason is Reason.DUPLICATE)

    def _not_lost(self, plan: Plan, key: Key, before: CallState, event: CallEvent) -> Receipt:
        """A silent call is still alive, or ended long ago and only its timer was left."""
        if before.is_live:
            return Receipt(close_at=idle_until(before, event.idle_seconds))
        plan.ended.append(key)
        return Receipt()

    async def _write(self, plan: Plan) -> None:
        opened, closed = self._turned(plan)
        if plan.repeats:
            await self._connection.execute("count_repeats", *_columns(plan.repeats, 3), timeout=STORE_TIMEOUT)
        if not plan.events and not closed:
            return
        deliveries = [_delivery_row(delivery) for delivery in plan.deliveries]
        flush = {"events": plan.events, "opened": opened, "closed": closed, "deliveries": deliveries}
        rows = await self._connection.fetch(
            "append", orjson.dumps(flush), *self._deliveries.lease, timeout=STORE_TIMEOUT
        )
        self._keep_stored(plan, rows)

    def _turned(self, plan: Plan) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the calls that began, with when to look at them again, and the calls that ended."""
        opened, closed = [], [{"enterprise": number, "call": call} for number, call in plan.ended]
        for key, before in plan.before.items():
            after, row = self.book.state(*key), {"enterprise": key[0], "call": key[1]}
            if after.is_live and not before.is_live:
                opened.append(row | {"close_at": idle_until(after, self._idle_seconds)})
            elif before.is_live and not after.is_live:
                closed.append(row)
        return opened, closed

    def _keep_stored(self, plan: Plan, rows: Iterable[Row]) -> None:
        """Learn the ids; a delivery whose unique key was taken is not ours to send."""
        ids = {tuple(row)[1:]: row["id"] for row in rows}
        for delivery in plan.deliveries:
            delivery.id = ids.get(_identity(delivery), 0)
        self._deliveries.withdraw(delivery for delivery in plan.deliveries if not delivery.id)
        plan.deliveries = [delivery for delivery in plan.deliveries if delivery.id]

    async def _recall_context(self, batch: Iterable[Entry]) -> None:
        """Before folding: read what may decide and is not in memory. That is rare while one daemon serves a tenant."""
        silent = [_own_key(entry) for entry in batch if entry.event.kind == "timeout"]
        strangers = [_own_key(entry) for entry in batch if self._may_be_a_leg(entry)]
        if strangers:
            silent += await self._calls_around(strangers)
        await self.recall(key for key in dict.fromkeys(silent) if key not in self.book)

    def _may_be_a_leg(self, entry: Entry) -> bool:
        """A CallType-1 hangup of a channel never heard of, or a call to a manager's own mobile (rule 6)."""
        event, number = entry.event, entry.enterprise.number
        if event.call_type != 1 or not (event.kind == "hangup" or event.phone.party is Party.MOBILE):
            return False
        return _own_key(entry) not in self.book and self.book.call_of(number, event) == event.unique_id

    async def _calls_around(self, strangers: list[Key]) -> list[Key]:
        """Return the calls that channels are known to be legs of, and all calls in progress beside them."""
        legs = await self._connection.fetch("calls_of_channels", *_columns(strangers, 2), timeout=STORE_TIMEOUT)
        numbers = list({number for number, _ in strangers})
        calls = await self._connection.fetch("open_calls", numbers, BATCH, timeout=STORE_TIMEOUT)
        found = [(row["enterprise_number"], row["call_unique_id"]) for row in legs]
        return found + [(row["enterprise_number"], row["unique_id"]) for row in calls]

    async def recall_open_calls(self) -> None:
        """At start: rebuild the calls in progress, so that their next events find them."""
        rows = await self._connection.fetch("open_calls", None, OPEN_CALLS, timeout=RECALL_TIMEOUT)
        keys = [(row["enterprise_number"], row["unique_id"]) for row in rows]
        for start in range(0, len(keys), BATCH):
            await self.recall(keys[start : start + BATCH])

    async def forget_ended(self, silent_since: float) -> None:
        """Drop from memory the calls that another daemon has ended meanwhile."""
        async with self._flushing:
            silent = self.book.silent_calls(silent_since)[:BATCH]
            rows = await self._connection.fetch("still_open", *_columns(silent, 2), timeout=STORE_TIMEOUT)
            for key in set(silent) - {(row["enterprise_number"], row["unique_id"]) for row in rows}:
                self.book.forget(key)

    async def recall(self, keys: Iterable[Key]) -> None:
        """Rebuild calls from `call_events`; a call without stored events is forgotten."""
        wanted = list(keys)
        if not wanted:
            return
        rows = await self._connection.fetch("stored_calls", *_columns(wanted, 2), timeout=STORE_TIMEOUT)
        stored = [((row["enterprise_number"], row["call_unique_id"]), self._stored_event(row)) for row in rows]
        self.book.restore(wanted, stored)

    def _stored_event(self, row: Row) -> CallEvent:
        enterprise = self._store.current.by_number.get(row["enterprise_number"])
        return parse_event(
            row["event_type"],
            row["unique_id"],
            row["raw_data"],
            Directory() if enterprise is None else enterprise.directory,
            raw=b"",
            digest=row["event_hash"],
            received_at=row["received_at"],
            origin=row["data_source"],
            record_url=row["record_url"] or "",
        )


def _own_key(entry: Entry) -> Key:
    return entry.enterprise.number, entry.event.unique_id


def _reason(step: Step, deliveries: Sequence[Delivery], enterprise: Enterprise) -> str | None:
    """Say why an event led to nothing: its own reason, or the one that stopped all it would have caused."""
    if step.reason is not None or not step.effects:
        return step.reason
    if not enterprise.active:
        return Reason.ENTERPRISE_INACTIVE
    if not deliveries:
        return Reason.INTEGRATION_OFF if not enterprise.integrations else None
    return deliveries[0].reason if all(delivery.status == "skipped" for delivery in deliveries) else None


def _event_row(number: str, call: str, event: CallEvent, step: Step, reason: str | None) -> dict[str, Any]:
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


def _delivery_row(delivery: Delivery) -> dict[str, Any]:
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


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[Sequence[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
