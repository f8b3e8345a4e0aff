"""Closes calls whose hangup never came. Timers are rows: any daemon closes any call, once (contract, Orphans)."""

import asyncio

import structlog

from vochi_integrations import clock
from vochi_integrations.db import UNAVAILABLE, Database, Row
from vochi_integrations.errors import JournalError
from vochi_integrations.events import timeout_event
from vochi_integrations.journal import Journal
from vochi_integrations.snapshot import SnapshotStore

LONGEST_PAUSE = 5.0
AT_ONCE = 200
SILENT_SECONDS = 60.0

log = structlog.get_logger()


class Closer:
    """Looks at calls that have been silent for `idle_seconds`."""

    def __init__(self, database: Database, journal: Journal, store: SnapshotStore, idle_seconds: float) -> None:
        self._database = database
        self._journal = journal
        self._store = store
        self._idle_seconds = idle_seconds

    async def run(self) -> None:
        """Close what is due, for ever."""
        pause = min(LONGEST_PAUSE, max(0.05, self._idle_seconds / 10))
        while True:
            await asyncio.sleep(pause)
            try:
                await self._close_due()
                await self._journal.forget_ended(clock.now() - SILENT_SECONDS)
            except (*UNAVAILABLE, JournalError) as error:
                log.warning("silent calls not looked at", error=repr(error))

    async def _close_due(self) -> None:
        due = await self._database.fetch("due_calls", clock.now(), AT_ONCE)
        if not due:
            return
        looked_at = await asyncio.gather(*(self._look_at(row) for row in due))
        later = [item for item in looked_at if item is not None]
        if later:
            numbers, calls, times = (list(column) for column in zip(*later, strict=True))
            await self._database.execute("postpone_calls", numbers, calls, times)

    async def _look_at(self, row: Row) -> tuple[str, str, float] | None:
        """Tell the journal that a call has been silent; return when to look again if it is not lost yet."""
        number, call, now = row["enterprise_number"], row["unique_id"], clock.now()
        enterprise = self._store.current.by_number.get(number)
        if enterprise is None:
            return number, call, now + self._idle_seconds
        event = timeout_event(call, self._idle_seconds, enterprise.directory, now)
        receipt = await self._journal.append(event, enterprise)
        return None if receipt.close_at is None else (number, call, max(receipt.close_at, now + 0.05))
