"""Brings what was spooled while PostgreSQL was away back into it, in order (design decision 1)."""

import asyncio

import structlog

from vochi_integrations.db import UNAVAILABLE
from vochi_integrations.errors import JournalError, SpoolError
from vochi_integrations.journal import Journal
from vochi_integrations.outbox import Outbox
from vochi_integrations.spool import Entry, Spool

AT_ONCE = 50
RETRY_SECONDS = 0.5
NOT_NOW = (*UNAVAILABLE, JournalError, SpoolError)

log = structlog.get_logger()


class Replayer:
    """Empties the spool whenever PostgreSQL takes what is in it."""

    def __init__(self, spool: Spool, journal: Journal, outbox: Outbox) -> None:
        self._spool = spool
        self._journal = journal
        self._outbox = outbox

    async def run(self) -> None:
        """Replay what comes in, for ever."""
        while True:
            await self._spool.filled.wait()
            try:
                await self.drain()
                log.info("spool replayed")
            except NOT_NOW as error:
                log.warning("spool not replayed", entries=len(self._spool), error=repr(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def drain(self, *, at_start: bool = False) -> None:
        """Replay until nothing is left. Raises what PostgreSQL raises when it is away, SpoolError for the disk."""
        while entries := await self._spool.oldest(AT_ONCE):
            done: Entry | None = None
            try:
                for entry in entries:
                    await self._replay(entry, at_start=at_start)
                    done = entry
            finally:
                if done is not None:
                    await self._spool.drop(done)

    async def _replay(self, entry: Entry, *, at_start: bool) -> None:
        try:
            if entry.kind == "flush":
                await self._journal.replay(entry.data, at_start=at_start)
            else:
                await self._outbox.replay(entry.kind, entry.data)
        except NOT_NOW:
            raise
        except Exception as error:  # noqa: BLE001 - the one place for an entry: those behind it must not wait for ever
            log.critical(
                "spooled entry refused, set aside", entry=entry.id, kind=entry.kind, error=repr(error), alert=True
            )
            await self._spool.set_aside(entry)
