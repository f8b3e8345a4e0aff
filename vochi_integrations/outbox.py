"""`integration_deliveries` and `integration_logs`: thin functions over sql/queries, written in batches."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from operator import itemgetter
from typing import Any, TypeVar, cast

import structlog
from msgspec import Struct
from msgspec.structs import replace

from vochi_integrations import clock
from vochi_integrations.background import Batcher
from vochi_integrations.cards import Cards, cards_of
from vochi_integrations.db import UNAVAILABLE, Database, HeldConnection, Row
from vochi_integrations.domain import Delivery, DeliveryClass, Kind, Status
from vochi_integrations.errors import SpoolError
from vochi_integrations.events import canonical
from vochi_integrations.integrations.base import Answer
from vochi_integrations.keepsake import kept
from vochi_integrations.logs import without_secrets
from vochi_integrations.spool import REPLAY_TIMEOUT, EntryKind, Spool
from vochi_integrations.witness import Witness, log_delivery

LaneKey = tuple[str, str]
LogEntry = tuple[str, str, str, Answer]
Json = dict[str, Any]
Item = TypeVar("Item")
SETTLED_AT_ONCE = 100  # writing out more at once would hold up the loop for milliseconds
LOGS_AT_ONCE = 50
LOGS_KEPT = 20_000
SETTLE_SECONDS = 0.02
LOG_SECONDS = 0.25
RETRY_SECONDS = 0.5
WRITE_TIMEOUT = 0.5
POLL_TIMEOUT = 5.0
CARDS_TIMEOUT = 0.5

log = structlog.get_logger()


class Settlement(Struct, kw_only=True):
    """The new state of one delivery. `pause` is seconds until it is due again, for what stays pending."""

    delivery: Delivery
    status: Status
    reason: str | None = None
    pause: float = 0.0
    answer: Answer | None = None
    written: "asyncio.Future[None] | None" = None


class Outbox:
    """Claims and settles deliveries in the name of `owner`, with leases of `lease` seconds.

    What PostgreSQL cannot take now goes to the spool, and from there back to `replay`.
    """

    def __init__(self, database: Database, spool: Spool, owner: str, lease: float, witness: Witness) -> None:
        self.witness = witness
        self._database = database
        self._settling = HeldConnection(database)
        self.spool = spool
        self.owner = owner
        self._lease = lease
        self._renewed_until = time.monotonic() + lease
        self._lapses = 0
        self._held: set[int] = set()
        self.settlements: Batcher[Settlement] = Batcher(self._write_settlements, SETTLED_AT_ONCE, SETTLE_SECONDS)
        self.logs: Batcher[LogEntry] = Batcher(self._write_logs, LOGS_AT_ONCE, LOG_SECONDS)
        self.logs_dropped = 0

    @property
    def is_away(self) -> bool:
        """True while something waits for PostgreSQL to come back."""
        return self.spool.in_use

    def close(self) -> None:
        self._settling.close()

    def settle(self, settlement: Settlement) -> None:
        """Write a delivery's new state soon."""
        self.settlements.add(settlement)

    async def settled(self) -> None:
        """Wait until what was settled so far is written, a moment at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WRITE_TIMEOUT):
                await self.settlements.drained()

    async def mark_sending(self, delivery: Delivery) -> None:
        """Write durably that an attempt begins, and wait for it."""
        written = asyncio.get_running_loop().create_future()
        self.settle(Settlement(delivery=delivery, status="sending", written=written))
        await written

    def log_attempt(self, delivery: Delivery, answer: Answer) -> None:
        self.witness.attempted(delivery, answer)
        self.log_answer(delivery.enterprise, delivery.integration, delivery.call, answer)

    def log_answer(self, enterprise: str, integration: str, call: str, answer: Answer) -> None:
        """Write an answer to `integration_logs` soon; too many waiting are counted and dropped."""
        if len(self.logs) < LOGS_KEPT:
            self.logs.add((enterprise, integration, call, answer))
        else:
            self.logs_dropped += 1

    async def claim(self, busy_lanes: Collection[LaneKey], limit: int, of_a_lane: int) -> list[Delivery]:
        """Take due deliveries that nobody holds, at most so many of each lane, none of `busy_lanes`; oldest first.

        What is in our hands is not taken again, though its lease may have lapsed.
        """
        rows = await self._database.fetch(
            "claim", self.owner, self._lease, *_lane_columns(busy_lanes), limit, of_a_lane, timeout=POLL_TIMEOUT
        )
        taken = sorted((row for row in rows if row["id"] not in self._held), key=itemgetter("id"))
        return self.holding(map(_delivery, taken))

    def holding(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Note that deliveries have just become ours."""
        found = list(deliveries)
        for delivery in found:
            delivery.lapses = self._lapses
            self._held.add(delivery.id)
        return found

    async def still_held(self, deliveries: list[Delivery]) -> list[Delivery]:
        """Return those that no other daemon has taken over: asks the table only when our leases may have lapsed.

        While PostgreSQL is away nobody can take anything over.
        """
        in_time = time.monotonic() < self._renewed_until and all(item.lapses == self._lapses for item in deliveries)
        if in_time or self.is_away:
            return deliveries
        try:
            ids = [item.id for item in deliveries]
            rows = await self._database.fetch("still_held", self.owner, ids, timeout=WRITE_TIMEOUT)
        except UNAVAILABLE:
            return deliveries
        held = {row["id"] for row in rows} | {0}
        self._held.difference_update(set(ids) - held)
        return [item for item in deliveries if item.id in held]

    async def next_due_seconds(self, busy_lanes: Collection[LaneKey]) -> float | None:
        """Return the seconds until the next delivery that may be claimed is due, None when none waits."""
        rows = await self._database.fetch("next_due", self.owner, *_lane_columns(busy_lanes), timeout=POLL_TIMEOUT)
        return cast("float | None", rows[0][0])

    async def wake_lanes(self, keys: Collection[LaneKey]) -> None:
        """Make due now what waits for CRMs that answer again."""
        await self._database.execute("wake_lanes", *_lane_columns(keys), timeout=POLL_TIMEOUT)

    async def renew(self) -> None:
        """Keep what is in our hands, and nothing else that carries our name.

        What we held when we come too late may be another daemon's by now.
        """
        now = time.monotonic()
        await self._database.execute("renew_leases", self.owner, self._lease, list(self._held), timeout=POLL_TIMEOUT)
        self._lapses += now > self._renewed_until
        self._renewed_until = now + self._lease

    async def take_over(self) -> None:
        """At start: let go of what an earlier process of our name held; bury pop-ups it may have shown."""
        await self._release()
        await self.bury()

    async def let_go(self) -> None:
        """At the end: what is left need not wait until our leases lapse."""
        if not self.is_away:
            with suppress(*UNAVAILABLE):
                await self._release()

    async def _release(self) -> None:
        await self._database.execute("release_leases", self.owner, timeout=POLL_TIMEOUT)

    async def bury(self) -> None:
        """End what nobody will ever send: pop-ups a dead daemon may have shown, what waits past its deadline."""
        for query in ("bury_interrupted", "bury_expired"):
            while await self._bury_some(query) == SETTLED_AT_ONCE:
                pass

    async def _bury_some(self, query: str) -> int:
        rows = await self._database.fetch(query, SETTLED_AT_ONCE, timeout=POLL_TIMEOUT)
        for row in rows:
            self._ended(_delivery(row), row["status"], row["reason"])
        return len(rows)

    def _ended(self, delivery: Delivery, status: Status, reason: str | None, answer: Answer | None = None) -> None:
        self.witness.settled(delivery, status, reason)
        log_delivery(delivery, status, reason, answer)

    async def recall_cards(self, key: LaneKey, call: str) -> Cards:
        """Read back what cards a call had."""
        rows = await self._database.fetch("cards_of_call", *key, call, timeout=CARDS_TIMEOUT)
        return cards_of(
            (row["kind"], row["codes"] or [], row["status"], row["attempts"], row["reason"]) for row in rows
        )

    async def _write_settlements(self, batch: list[Settlement]) -> None:
        """Write until it is written: what came of an attempt must not be forgotten."""
        while not await self._written("settle", batch, _settlement_row, _untold):  # noqa: ASYNC110 - a retry, not a wait for an event
            await asyncio.sleep(RETRY_SECONDS)
        self._held.difference_update(item.delivery.id for item in batch if item.status != "sending")
        for item in batch:
            if item.status not in ("pending", "sending"):
                self._ended(item.delivery, item.status, item.reason, item.answer)
            if item.written is not None and not item.written.done():
                item.written.set_result(None)

    async def _write_logs(self, batch: list[LogEntry]) -> None:
        if not await self._written("logs", batch, _log_row, _unlogged):
            self.logs_dropped += len(batch)

    async def _written(
        self, kind: EntryKind, batch: list[Item], row_of: Callable[[Item], Json], bare: Callable[[Item], Item]
    ) -> bool:
        """Write to PostgreSQL or the spool; False when neither takes it. What a CRM said must not end the daemon."""
        try:
            return await self._taken(kind, canonical([row_of(item) for item in batch]))
        except Exception:
            log.exception("outbox batch refused, written without answers", kind=kind, rows=len(batch))
        return all([await self._written_alone(kind, bare(item), row_of) for item in batch])

    async def _written_alone(self, kind: EntryKind, item: Item, row_of: Callable[[Item], Json]) -> bool:
        try:
            return await self._taken(kind, canonical([row_of(item)]))
        except Exception as error:
            log.critical("outbox row refused, dropped", kind=kind, alert=True, exc_info=error)
            return True

    async def _taken(self, kind: EntryKind, data: bytes) -> bool:
        try:
            if not self.spool.in_use:
                await self._write(kind, data, WRITE_TIMEOUT)
                return True
        except UNAVAILABLE as error:
            log.warning("outbox not written", kind=kind, error=repr(error))
        try:
            await self.spool.put(kind, data)
        except SpoolError as error:
            log.warning("outbox not spooled", kind=kind, error=str(error))
            return False
        return True

    async def replay(self, kind: EntryKind, data: bytes) -> None:
        """Write settlements or log rows from the spool. Raises what PostgreSQL raises when it is away."""
        await self._write(kind, data, REPLAY_TIMEOUT)

    async def _write(self, kind: EntryKind, data: bytes, seconds: float) -> None:
        if kind == "settle":
            await self._settling.execute("settle", self.owner, data, timeout=seconds)
        else:
            await self._database.execute("write_logs", data, timeout=seconds)


def _untold(item: Settlement) -> Settlement:
    return replace(item, answer=replace(item.answer, response=None)) if item.answer else item


def _unlogged(entry: LogEntry) -> LogEntry:
    return (*entry[:3], replace(entry[3], response=None))


def _settlement_row(item: Settlement) -> Json:
    delivery, answer = item.delivery, item.answer
    return {
        "id": delivery.id,
        "enterprise": delivery.enterprise,
        "integration": delivery.integration,
        "call": delivery.call,
        "kind": delivery.kind,
        "dedupe_key": delivery.dedupe_key,
        "status": item.status,
        "reason": item.reason,
        "attempts": delivery.attempts,
        "pause": item.pause,
        "finished_at": clock.now(),
        "started_at": answer.started_at if answer else None,
        "response_status": answer.http_status if answer else None,
        "response": kept(answer.response) if answer else None,
    }


def _log_row(entry: LogEntry) -> Json:
    return log_row(*entry)


def log_row(enterprise: str, integration: str, call: str | None, answer: Answer) -> Json:
    """Return an attempt as `write_logs` takes it, secrets masked."""
    return {
        "created_at": answer.started_at or clock.now(),
        "enterprise": enterprise,
        "integration": integration,
        "event_type": answer.event_type,
        "request": without_secrets(answer.request),
        "response": kept(answer.response),
        "status": "error" if answer.error else "success",
        "error": str(answer.error) if answer.error else None,
        "call": call,
        "elapsed_ms": answer.elapsed_ms,
        "http_status": answer.http_status,
    }


def _lane_columns(keys: Collection[LaneKey]) -> tuple[list[str], list[str]]:
    return [key[0] for key in keys], [key[1] for key in keys]


def _delivery(row: Row) -> Delivery:
    return Delivery(
        id=row["id"],
        enterprise=row["enterprise_number"],
        integration=row["integration_type"],
        call=row["call_external_id"],
        kind=cast("Kind", row["kind"]),
        dedupe_key=row["dedupe_key"],
        cls=cast("DeliveryClass", row["class"]),
        payload=row["payload"],
        reason=row["reason"],
        attempts=row["attempts"],
        replays=row["replays"],
        event_at=row["event_at"],
        deadline_at=row["deadline_at"],
    )
