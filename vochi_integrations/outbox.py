"""`integration_deliveries` and `integration_logs`: thin functions over sql/queries, written in batches."""

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Any, Literal, cast

import asyncpg
import structlog
from msgspec import Struct

from vochi_integrations.background import Batcher
from vochi_integrations.cards import Cards, cards_of
from vochi_integrations.db import UNAVAILABLE, Database, Row
from vochi_integrations.domain import Delivery, DeliveryClass, Kind, Status
from vochi_integrations.events import canonical
from vochi_integrations.integrations.base import Answer
from vochi_integrations.logs import without_secrets

LaneKey = tuple[str, str]
BATCH = 500
LOGS_KEPT = 20_000
SETTLE_SECONDS = 0.01
LOG_SECONDS = 0.25
RETRY_SECONDS = 0.5

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
    """Claims and settles deliveries in the name of `owner`, with leases of `lease` seconds."""

    def __init__(self, database: Database, owner: str, lease: float) -> None:
        self._database = database
        self.owner = owner
        self._lease = lease
        self.settlements: Batcher[Settlement] = Batcher(self._write_settlements, BATCH, SETTLE_SECONDS)
        self.logs: Batcher[tuple[Delivery, Answer]] = Batcher(self._write_logs, BATCH, LOG_SECONDS)
        self.logs_dropped = 0

    def settle(self, settlement: Settlement) -> None:
        """Write a delivery's new state soon."""
        self.settlements.add(settlement)

    async def mark_sending(self, delivery: Delivery) -> None:
        """Write durably that an attempt begins, and wait for it."""
        written = asyncio.get_running_loop().create_future()
        self.settle(Settlement(delivery=delivery, status="sending", written=written))
        await written

    def log_attempt(self, delivery: Delivery, answer: Answer) -> None:
        """Write an attempt to `integration_logs` soon; too many waiting are counted and dropped."""
        if len(self.logs) < LOGS_KEPT:
            self.logs.add((delivery, answer))
        else:
            self.logs_dropped += 1

    async def claim(self, full_lanes: Collection[LaneKey], limit: int) -> list[Delivery]:
        """Take due deliveries that nobody holds, except those of `full_lanes`."""
        numbers, names = [key[0] for key in full_lanes], [key[1] for key in full_lanes]
        rows = await self._database.fetch("claim", self.owner, self._lease, numbers, names, limit)
        return [_delivery(row) for row in rows]

    async def next_due_seconds(self) -> float | None:
        """Return the seconds until the next delivery that nobody here holds is due, None when none waits."""
        rows = await self._database.fetch("next_due", self.owner)
        return cast("float | None", rows[0][0])

    async def wake_lanes(self, keys: Collection[LaneKey]) -> None:
        """Make due now what waits for CRMs that answer again."""
        await self._database.execute("wake_lanes", [key[0] for key in keys], [key[1] for key in keys])

    async def renew(self) -> None:
        await self._database.execute("renew_leases", self.owner, self._lease)

    async def take_over(self) -> None:
        """At start: let go of what an earlier process of our name held; bury pop-ups it may have shown."""
        await self._database.execute("release_leases", self.owner)
        await self.bury_interrupted()

    async def bury_interrupted(self) -> None:
        await self._database.execute("bury_interrupted")

    async def recall_cards(self, key: LaneKey, call: str) -> Cards:
        """Read back what cards a call had."""
        rows = await self._database.fetch("cards_of_call", *key, call)
        return cards_of(
            (row["kind"], row["codes"] or [], row["status"], row["attempts"], row["reason"]) for row in rows
        )

    async def _write_settlements(self, batch: list[Settlement]) -> None:
        """Write until it is written: what came of an attempt must not be forgotten while PostgreSQL is away."""
        columns = _columns(
            (
                item.delivery.id,
                item.status,
                item.reason,
                item.delivery.attempts,
                item.pause,
                item.answer.started_at if item.answer else None,
                item.answer.http_status if item.answer else None,
                _storable(item.answer.response) if item.answer else None,
            )
            for item in batch
        )
        written = False
        while not written:
            written = await self._try("settle", self.owner, *columns)
            if not written:
                await asyncio.sleep(RETRY_SECONDS)
        for item in batch:
            _log_line(item)
            if item.written is not None and not item.written.done():
                item.written.set_result(None)

    async def _write_logs(self, batch: list[tuple[Delivery, Answer]]) -> None:
        columns = _columns(
            (
                answer.started_at or time.time(),
                delivery.enterprise,
                delivery.integration,
                answer.event_type,
                _storable(answer.request),
                _storable(answer.response),
                "error" if answer.error else "success",
                str(answer.error) if answer.error else None,
                delivery.call,
            )
            for delivery, answer in batch
        )
        if not await self._try("write_logs", *columns):
            self.logs_dropped += len(batch)

    async def _try(self, query: Literal["settle", "write_logs"], *args: Any) -> bool:
        try:
            await self._database.execute(query, *args)
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            log.warning("outbox not written", query=query, error=repr(error))
            return False
        return True


def _log_line(item: Settlement) -> None:
    """One line a delivery, when nothing more will happen to it."""
    if item.status in ("pending", "sending"):
        return
    delivery, answer = item.delivery, item.answer
    log.info(
        "delivery",
        enterprise=delivery.enterprise,
        integration=delivery.integration,
        call=delivery.call,
        kind=delivery.kind,
        status=item.status,
        reason=item.reason,
        attempts=delivery.attempts,
        http_status=answer.http_status if answer else None,
        crm_ms=answer.elapsed_ms if answer else None,
        error=str(answer.error) if answer and answer.error else None,
    )


def _storable(value: object) -> bytes:
    """Write JSON for jsonb: secrets masked, NUL dropped."""
    return canonical(without_secrets(value))


def _columns(rows: Any) -> list[Sequence[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


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
