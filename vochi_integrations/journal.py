"""Group commit: events are folded, and stored together with what they cause, in one statement a flush.

While PostgreSQL is away a flush goes to the spool as it is, and is replayed from there in its order (decision 1).
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
import orjson
import structlog

from vochi_integrations import clock
from vochi_integrations.background import Batcher
from vochi_integrations.callbook import CallBook, Key
from vochi_integrations.calls import fold, idle_until
from vochi_integrations.callstate import CallState
from vochi_integrations.db import UNAVAILABLE, Database, HeldConnection, Row
from vochi_integrations.domain import CallEvent, Delivery, Directory, Enterprise, Party, Reason
from vochi_integrations.errors import JournalError, SpoolError, VochiError
from vochi_integrations.events import canonical, parse_event, stored_event
from vochi_integrations.plan import Deliveries, Entry, Plan, Receipt, delivery_row, event_row, reason_of, with_ids
from vochi_integrations.router import Router
from vochi_integrations.shedding import Shedding
from vochi_integrations.snapshot import SnapshotStore
from vochi_integrations.spool import REPLAY_TIMEOUT, Spool
from vochi_integrations.witness import Stored, Witness

BATCH = 500
WAITING_EVENTS = 4_000
TOO_MANY = "more events come than can be stored; send it again"
STORE_TIMEOUT = 0.5
RECALL_TIMEOUT = 30.0
OPEN_CALLS = 20_000
CONFLICTS = 100

log = structlog.get_logger()


class AwayError(VochiError):
    """PostgreSQL did not take a plan, or did not say so."""

    def __init__(self, plan: Plan, cause: Exception) -> None:
        super().__init__(repr(cause))
        self.plan = plan


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
        spool: Spool,
        *,
        idle_seconds: float,
        witness: Witness,
    ) -> None:
        self._witness = witness
        self._connection = HeldConnection(database)
        self._replaying = HeldConnection(database)
        self._spool = spool
        self._store = store
        self._router = router
        self._deliveries = deliveries
        self._idle_seconds = idle_seconds
        self._flushing = asyncio.Lock()
        self._has_read = False
        self.refusing: str | None = None
        self._shedding = Shedding()
        self.shed = 0
        self.book = CallBook()
        self.batcher: Batcher[Entry] = Batcher(self._flush_in_time, BATCH)

    def close(self) -> None:
        self._connection.close()
        self._replaying.close()

    def takes_again(self) -> None:
        """What made events be refused is over."""
        self.refusing = None

    async def append(self, event: CallEvent, enterprise: Enterprise) -> Receipt:
        """Return when the event is durable. Raises JournalError when it could not be stored, or not in time."""
        if len(self.batcher) >= WAITING_EVENTS:
            self.shed += 1
            raise JournalError(TOO_MANY)
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self.batcher.add(Entry(event, enterprise, receipt))
        return await receipt

    async def _flush_in_time(self, batch: list[Entry]) -> None:
        """Flush what has not waited too long."""
        now = clock.now()
        limit = self._shedding.limit(now, now - batch[0].event.received_at)
        late = [entry for entry in batch if now - entry.event.received_at > limit]
        if late:
            self.shed += len(late)
            _refuse(late, TOO_MANY)
            batch = [entry for entry in batch if now - entry.event.received_at <= limit]
        if batch:
            await self._flush(batch)

    async def _flush(self, batch: list[Entry]) -> None:
        try:
            async with self._flushing:
                plan = await (self._spool_batch(batch) if self._spool.in_use else self._store_batch(batch))
        except Exception as error:  # noqa: BLE001 - the one place for a flush: whatever it is, nobody waits for ever
            await self._failed(batch, error)
            return
        self.takes_again()
        for entry, receipt in zip(batch, plan.receipts, strict=True):
            if not entry.receipt.done():
                entry.receipt.set_result(receipt)
        self._deliveries.accept(plan.deliveries)
        self._witness.stored(plan.steps)

    async def _failed(self, batch: list[Entry], error: Exception) -> None:
        """Acknowledge nothing that is not stored; one bad event does not take others with it."""
        if len(batch) > 1 and not isinstance(error, JournalError):
            for entry in batch:
                await self._flush([entry])
            return
        log.error("events refused", events=len(batch), exc_info=None if isinstance(error, JournalError) else error)
        _refuse(batch, "the event could not be stored; send it again")

    async def _store_batch(self, batch: Sequence[Entry]) -> Plan:
        """Store in PostgreSQL, or spool what it does not take in time."""
        self._has_read = False
        try:
            await self._recall_context(batch)
            self._has_read = True
            return await self._store_plan(batch)
        except AwayError as error:
            log.warning("events spooled", events=len(batch), error=str(error))
            plan = error.plan
        except UNAVAILABLE as error:
            log.warning("events spooled", events=len(batch), error=repr(error))
            plan = self._planned(batch)
        try:
            await self._spool_plan(plan)
        except BaseException:
            self._undo(plan)
            raise
        return plan

    async def _spool_batch(self, batch: Sequence[Entry]) -> Plan:
        """Queue behind what is in the spool. What does not fit never happened."""
        self._has_read = False
        plan = self._planned(batch)
        try:
            await self._spool_plan(plan)
        except BaseException:
            self._deliveries.withdraw(plan.deliveries)
            for key, before in plan.before.items():
                self.book.rewind(key, before)
            raise
        return plan

    async def _spool_plan(self, plan: Plan) -> None:
        """Pop-ups go out from memory; records wait until they are in PostgreSQL. Raises JournalError."""
        self._deliveries.withdraw(delivery for delivery in plan.deliveries if delivery.cls == "history")
        if plan.events or plan.ended:
            try:
                await self._spool.put("flush", orjson.dumps(self._flush_of(plan)))
            except SpoolError as error:
                self.refusing = error.reason
                raise JournalError(str(error)) from error
        plan.deliveries = [delivery for delivery in plan.deliveries if delivery.cls == "realtime"]

    async def replay(self, data: bytes, *, at_start: bool) -> None:
        """Store a spooled flush. Raises what PostgreSQL raises when it is away.

        Its records begin their way here, unless `at_start`: then they are taken up from the table.
        """
        flush = orjson.loads(data)
        try:
            rows = await self._replaying.fetch("append", data, *self._deliveries.lease, timeout=REPLAY_TIMEOUT)
        except asyncpg.UniqueViolationError:
            await self._replaying.execute("release_spooled", self._deliveries.lease[0], data, timeout=REPLAY_TIMEOUT)
            deliveries = await self._replay_anew(flush["events"])
        else:
            deliveries = with_ids([Delivery(**row) for row in flush["deliveries"]], rows)
        if not at_start:
            self._deliveries.accept(delivery for delivery in deliveries if delivery.cls == "history")

    async def _replay_anew(self, rows: Sequence[dict[str, Any]]) -> list[Delivery]:
        """Fold spooled events again: some are stored already, or another daemon has stored events of the same calls.

        Pop-ups have gone out from memory when the events were spooled, and what is in memory stays: it knows more.
        """
        entries = [self._spooled_entry(row) for row in rows]
        async with self._flushing:
            live, self.book = self.book, CallBook()
            try:
                await self._recall_stored({(row["enterprise"], row["call"]) for row in rows}, rows)
                self._has_read = True
                plan = await self._store_plan(entries)
            except AwayError as error:
                self._undo(error.plan)
                raise TimeoutError(str(error)) from error
            finally:
                self.book = live
            self._deliveries.withdraw(delivery for delivery in plan.deliveries if delivery.cls == "realtime")
        return plan.deliveries

    async def _store_plan(self, batch: Sequence[Entry]) -> Plan:
        """Fold and write. Raises AwayError with the plan when PostgreSQL does not take it in time."""
        plan = Plan()
        try:
            for _ in range(CONFLICTS):
                plan = self._planned(batch)
                try:
                    await self._write(plan)
                except asyncpg.UniqueViolationError:
                    self._deliveries.withdraw(plan.deliveries)
                    plan.deliveries = [delivery for delivery in plan.deliveries if delivery.cls == "history"]
                    await self._recall_stored(plan.before, plan.events)
                else:
                    return plan
        except UNAVAILABLE as error:
            raise AwayError(plan, error) from error
        except BaseException:
            self._undo(plan)
            raise
        raise JournalError("other daemons store events of the same calls all the time")

    def _undo(self, plan: Plan) -> None:
        """Whether it is stored is not known: the next event of these calls reads them back."""
        self._deliveries.withdraw(plan.deliveries)
        for key in plan.before:
            self.book.forget(key)

    async def _recall_stored(self, calls: Iterable[Key], rows: Iterable[dict[str, Any]]) -> None:
        """After a conflict: read back the calls of a flush, and those that already have one of its events."""
        events = [(row["enterprise"], row["unique_id"], bytes.fromhex(row["digest"])) for row in rows]
        found = await self._connection.fetch("calls_of_events", *_columns(events, 3), timeout=STORE_TIMEOUT)
        keys = [(row["enterprise_number"], row["call_unique_id"]) for row in found]
        await self.recall(dict.fromkeys([*calls, *keys]))

    def _planned(self, batch: Sequence[Entry]) -> Plan:
        plan = Plan()
        try:
            for entry in batch:
                plan.receipts.append(self._plan_event(plan, entry.event, entry.enterprise))
            self._deliveries.admit(plan.deliveries)
        except BaseException:
            self._undo(plan)
            raise
        return plan

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
        reason = reason_of(step, deliveries, enterprise)
        plan.events.append(event_row(number, call, event, step, reason))
        plan.steps.append(Stored(number, event, step, reason, deliveries))
        return Receipt(duplicate=step.reason is Reason.DUPLICATE)

    def _not_lost(self, plan: Plan, key: Key, before: CallState, event: CallEvent) -> Receipt:
        """A silent call is still alive, or ended long ago and only its timer was left; not known: looked at again."""
        if before.is_live:
            return Receipt(close_at=idle_until(before, event.idle_seconds))
        if key not in self.book and not self._has_read:
            return Receipt(close_at=event.received_at + event.idle_seconds)
        plan.ended.append(key)
        return Receipt()

    async def _write(self, plan: Plan) -> None:
        if plan.repeats:
            await self._connection.execute("count_repeats", *_columns(plan.repeats, 3), timeout=STORE_TIMEOUT)
        if not plan.events and not plan.ended:
            return
        data = orjson.dumps(self._flush_of(plan))
        rows = await self._connection.fetch("append", data, *self._deliveries.lease, timeout=STORE_TIMEOUT)
        stored = with_ids(plan.deliveries, rows)
        self._deliveries.withdraw(delivery for delivery in plan.deliveries if not delivery.id)
        plan.deliveries = stored

    def _flush_of(self, plan: Plan) -> dict[str, Any]:
        """Return the parameter of `append`."""
        opened, closed = self._turned(plan)
        deliveries = [delivery_row(delivery) for delivery in plan.deliveries]
        return {"events": plan.events, "opened": opened, "closed": closed, "deliveries": deliveries}

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
            if self._spool.in_use:
                return
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
        return stored_event(row, Directory() if enterprise is None else enterprise.directory)

    def _spooled_entry(self, row: dict[str, Any]) -> Entry:
        number = row["enterprise"]
        enterprise = self._store.current.by_number.get(number) or Enterprise(number=number)
        event = parse_event(
            row["kind"],
            row["unique_id"],
            row["raw"],
            enterprise.directory,
            raw=canonical(row["raw"]),
            digest=bytes.fromhex(row["digest"]),
            received_at=row["received_at"],
            origin=row["origin"],
            record_url=row["record_url"] or "",
        )
        return Entry(event, enterprise, asyncio.get_running_loop().create_future())


def _refuse(entries: Iterable[Entry], why: str) -> None:
    for entry in entries:
        if not entry.receipt.done():
            entry.receipt.set_exception(JournalError(why))


def _own_key(entry: Entry) -> Key:
    return entry.enterprise.number, entry.event.unique_id


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[Sequence[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
