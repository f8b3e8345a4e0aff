"""The local spool: what PostgreSQL cannot take now, in order, on disk before anything is acknowledged (decision 1).

SQLite keeps it: a commit is fsynced, a torn write is rolled back, and its size is bounded by a number of pages.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import structlog

from vochi_integrations.errors import SpoolError, StartupError

FILE = "spool.sqlite"
PAGE_BYTES = 4096
SMALLEST_PAGES = 16
BUSY_SECONDS = 1.0
REPLAY_TIMEOUT = 30.0  # nobody waits for it, and what misses a short limit once would miss it each time
TABLES = ("spool", "refused")
CREATE = "CREATE TABLE IF NOT EXISTS {} (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, data BLOB)"

EntryKind = Literal["flush", "settle", "logs"]
Result = TypeVar("Result")

log = structlog.get_logger()


class Entry(NamedTuple):
    """One thing to write to PostgreSQL later: what of, and its JSON."""

    id: int
    kind: EntryKind
    data: bytes


class Spool:
    """A queue on disk, written by one thread. `filled` is set while anything is in it."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor, entries: int) -> None:
        self._connection = connection
        self._thread = thread
        self._entries = entries
        self._expected = 0
        self._done = 0
        self.filled = asyncio.Event()
        self._note()

    @property
    def in_use(self) -> bool:
        """True while anything is in it or on its way into it: what comes now must queue behind."""
        return self._entries + self._expected > 0

    def __len__(self) -> int:
        return self._entries

    async def put(self, kind: EntryKind, data: bytes) -> None:
        """Append, durably. Raises SpoolError when the spool is full or cannot be written."""
        self._expected += 1
        try:
            await self._run(lambda: self._insert(kind, data))
            self._entries += 1
        finally:
            self._expected -= 1
            self._note()

    async def oldest(self, limit: int) -> list[Entry]:
        """Return up to `limit` entries, the oldest first."""
        rows = await self._run(
            lambda: self._connection.execute(
                "SELECT id, kind, data FROM spool WHERE id > ? ORDER BY id LIMIT ?", (self._done, limit)
            ).fetchall()
        )
        return [Entry(*row) for row in rows]

    async def drop(self, entry: Entry) -> None:
        """Forget everything up to an entry: it is in PostgreSQL. A full disk keeps it until the next time, unused."""
        self._entries -= await self._run(lambda: self._count(self._done, entry.id))
        self._done = entry.id
        self._note()
        try:
            await self._run(lambda: self._delete(entry.id))
        except SpoolError as error:
            log.warning("spool not emptied", error=str(error))

    async def set_aside(self, entry: Entry) -> None:
        """Keep a copy of an entry that PostgreSQL will never take, for an operator to look at."""
        await self._run(lambda: self._copy(entry))

    def _note(self) -> None:
        if self._entries:
            self.filled.set()
        else:
            self.filled.clear()

    async def _run(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))
        except sqlite3.Error as error:
            full = isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_FULL
            reason = "spool_full" if full else "spool_unusable"
            raise SpoolError(reason, f"the spool cannot be written: {error}") from error

    def _insert(self, kind: EntryKind, data: bytes) -> None:
        with self._connection:
            self._connection.execute("INSERT INTO spool (kind, data) VALUES (?, ?)", (kind, data))

    def _copy(self, entry: Entry) -> None:
        with self._connection:
            self._connection.execute("INSERT INTO refused (kind, data) VALUES (?, ?)", (entry.kind, entry.data))

    def _count(self, after: int, through: int) -> int:
        (count,) = self._connection.execute(
            "SELECT count(*) FROM spool WHERE id > ? AND id <= ?", (after, through)
        ).fetchone()
        return int(count)

    def _delete(self, through: int) -> None:
        with self._connection:
            self._connection.execute("DELETE FROM spool WHERE id <= ?", (through,))


@asynccontextmanager
async def opened(folder: Path, max_mb: float) -> AsyncIterator[Spool]:
    """Open the spool of a state folder, with what an earlier process left in it. Raises StartupError.

    A file that is damaged beyond what SQLite repairs is set aside, so that the daemon can start.
    """
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
    loop = asyncio.get_running_loop()
    connection = await loop.run_in_executor(thread, _open, folder / FILE, max_mb)
    try:
        (entries,) = connection.execute("SELECT count(*) FROM spool").fetchone()
        yield Spool(connection, thread, entries)
    finally:
        await loop.run_in_executor(thread, connection.close)
        thread.shutdown()


def _open(file: Path, max_mb: float) -> sqlite3.Connection:
    try:
        return _connect(file, max_mb)
    except sqlite3.OperationalError as error:
        raise StartupError(f"cannot open the spool {file}: {error}") from None
    except sqlite3.DatabaseError as error:
        aside = f"{file.name}.damaged-{time.time():.0f}"
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                file.with_name(file.name + suffix).rename(file.with_name(aside + suffix))
        log.critical("spool damaged, set aside", file=str(file.with_name(aside)), error=str(error), alert=True)
        return _connect(file, max_mb)


def _connect(file: Path, max_mb: float) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        _prepare(connection, max(SMALLEST_PAGES, int(max_mb * 1_000_000 / PAGE_BYTES)))
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, pages: int) -> None:
    for setting in ("journal_mode = WAL", "synchronous = FULL", f"max_page_count = {pages}"):
        connection.execute(f"PRAGMA {setting}")
    with connection:
        for table in TABLES:
            connection.execute(CREATE.format(table))
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
