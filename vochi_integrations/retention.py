"""Old events, deliveries and logs are deleted: little by little, by one daemon at a time (settings, retention)."""

import asyncio
import random
from collections.abc import Iterable
from typing import Any

import asyncpg
import structlog

from vochi_integrations.db import UNAVAILABLE, Connection, Database, queries
from vochi_integrations.settings import Retention as RetentionSettings

LOCK = 0x766F63686A
BATCH = 1_000
BATCH_TIMEOUT = 10.0
REST_SECONDS = 0.1
SKIP_SECONDS = 0.005
FIRST_SECONDS = 300.0
DAY = 86_400.0

log = structlog.get_logger()


class Retention:
    """Deletes rows by ascending id, so that no index on time is needed. Rows of other services are left alone.

    `integrations` are the CRMs whose logs are ours. `first_seconds` after the start, up to twice that, the first run
    begins; the next a day later.
    """

    def __init__(
        self,
        database: Database,
        settings: RetentionSettings,
        integrations: Iterable[str],
        first_seconds: float = FIRST_SECONDS,
    ) -> None:
        self._database = database
        self._first_seconds = first_seconds
        self._tables: list[tuple[str, float, tuple[Any, ...]]] = [
            ("forget_events", settings.events_days, ()),
            ("forget_deliveries", settings.deliveries_days, ()),
            ("forget_clicks", settings.events_days, ()),
            ("forget_logs", settings.logs_days, (list(integrations),)),
        ]

    async def run(self) -> None:
        """Delete what is too old once a day, for ever."""
        await asyncio.sleep(self._first_seconds * (1 + random.random()))  # noqa: S311 - jitter, not a secret
        while True:
            await self.forget()
            await asyncio.sleep(DAY)

    async def forget(self) -> dict[str, int]:
        """Make one run, unless another daemon is at it; return how many rows each query has deleted."""
        try:
            async with self._database.pool.acquire() as connection:
                if not await connection.fetchval(queries()["try_lock"], LOCK):
                    return {}
                try:
                    return await self._forget_all(connection)
                finally:
                    await connection.execute(queries()["unlock"], LOCK)
        except UNAVAILABLE as error:
            log.warning("old rows not deleted", error=repr(error))
            return {}

    async def _forget_all(self, connection: Connection) -> dict[str, int]:
        """Go through the tables; one that refuses, say for another service's foreign key, does not keep the others."""
        deleted: dict[str, int] = {}
        for query, days, extra in self._tables:
            try:
                if days > 0:
                    deleted[query] = await self._forget(connection, query, days * DAY, extra)
            except asyncpg.PostgresError as error:
                log.warning("old rows not deleted", query=query, error=repr(error))
        log.info("old rows deleted", **deleted)
        return deleted

    async def _forget(self, connection: Connection, query: str, seconds: float, extra: tuple[Any, ...]) -> int:
        """Go through a table from its oldest row to the first stretch in which nothing of ours is old."""
        last_id, total = 0, 0
        while True:
            self._database.queries += 1
            stretch = await connection.fetchrow(
                queries()[query], last_id, BATCH, seconds, *extra, timeout=BATCH_TIMEOUT
            )
            if stretch is None or stretch["last_id"] is None or (stretch["ours"] and not stretch["of_age"]):
                return total
            last_id, total = stretch["last_id"], total + stretch["deleted"]
            await asyncio.sleep(REST_SECONDS if stretch["deleted"] else SKIP_SECONDS)
