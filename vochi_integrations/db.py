"""PostgreSQL: the pool, the jsonb codec, queries by name, migrations."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy

from vochi_integrations.errors import StartupError
from vochi_integrations.paths import folder
from vochi_integrations.settings import mask_dsn

APPLICATION_NAME = "vochi-integrations"
MIGRATION_LOCK = 0x766F636869
POOL_SIZE = 10
COMMAND_TIMEOUT = 30.0
CONNECT_TIMEOUT = 10.0
SESSION = {"application_name": APPLICATION_NAME, "timezone": "UTC"}
# Planned once, often while tables are empty: every row by its key, for a plan that reads all of a small table is kept
# when the table has grown. Bitmap scans are the ones that cannot read an index from end to end.
PLANNED_ONCE = SESSION | {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_indexscan": "off",
    "enable_indexonlyscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
NAMED_QUERY = re.compile(r"^-- (\w+) --$", re.MULTILINE)

Connection = asyncpg.Connection | PoolConnectionProxy
Row = asyncpg.Record
UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TransactionRollbackError,
    # A password rotated, pg_hba.conf changed, a database being restored, `lock_timeout`: put right by an operator.
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ObjectNotInPrerequisiteStateError,
)


@cache
def queries() -> Mapping[str, str]:
    """Return every query of `sql/queries/*.sql` by its name; each begins with a line `-- name --`."""
    found: dict[str, str] = {}
    for file in sorted((folder("sql") / "queries").glob("*.sql")):
        _, *parts = NAMED_QUERY.split(file.read_text(encoding="utf-8"))
        found.update(zip(parts[::2], (text.strip() for text in parts[1::2]), strict=True))
    return found


class Database:
    """Runs queries by name on a pool; counts them for `/stats`."""

    def __init__(self, pool: asyncpg.Pool, dsn: str) -> None:
        self.pool = pool
        self.dsn = dsn
        self.queries = 0

    async def fetch(self, name: str, *args: Any, timeout: float | None = None) -> list[Row]:  # noqa: ASYNC109
        """Run a query, `timeout` seconds at most; a connection that did not answer is not used again."""
        self.queries += 1
        connection = await self.pool.acquire(timeout=timeout)
        try:
            return await connection.fetch(queries()[name], *args, timeout=timeout)
        except TimeoutError:
            connection.terminate()
            raise
        finally:
            await self.pool.release(connection)

    async def execute(self, name: str, *args: Any, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self.fetch(name, *args, timeout=timeout)


class HeldConnection:
    """Runs the same few queries on a connection of its own: half the price of taking one from the pool each time.

    Their plans do not depend on their parameters, and planning anew costs as much as running: it is done once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()

    async def fetch(self, name: str, *args: Any, timeout: float) -> list[Row]:  # noqa: ASYNC109
        """Run a query, one at a time; after a failure of the connection the next query has a new one."""
        async with self._turn:
            connection = await self._opened(timeout)
            self._database.queries += 1
            try:
                return await connection.fetch(queries()[name], *args, timeout=timeout)
            except UNAVAILABLE:
                connection.terminate()
                raise

    async def execute(self, name: str, *args: Any, timeout: float) -> None:  # noqa: ASYNC109
        await self.fetch(name, *args, timeout=timeout)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()

    async def _opened(self, timeout: float) -> asyncpg.Connection:  # noqa: ASYNC109
        if self._connection is None or self._connection.is_closed():
            connection = await asyncpg.connect(self._database.dsn, timeout=timeout, server_settings=PLANNED_ONCE)
            await prepare(connection)
            self._connection = connection
        return self._connection


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Database]:
    """Open the pool. Raises StartupError, with the DSN's password masked, when the server cannot be reached."""
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=POOL_SIZE,
            init=prepare,
            reset=_keep_session,
            timeout=CONNECT_TIMEOUT,
            command_timeout=COMMAND_TIMEOUT,
            server_settings=SESSION,
        )
    except (*UNAVAILABLE, asyncpg.PostgresError, ValueError) as error:
        raise unreachable(dsn, error) from None
    try:
        yield Database(pool, dsn)
    finally:
        pool.terminate()


def unreachable(dsn: str, error: Exception) -> StartupError:
    """Return the one line an operator needs: which server, and what it said."""
    said = "the DSN cannot be read" if isinstance(error, ValueError) else str(error) or type(error).__name__
    return StartupError(f"cannot connect to PostgreSQL at {mask_dsn(dsn)}: {said}")


async def _keep_session(_: Connection) -> None:
    """Skip asyncpg's RESET ALL: no session here sets anything, and it costs half of a pooled query."""


async def prepare(connection: Connection) -> None:
    """Read jsonb as Python values and write it from them, or from bytes that are JSON already."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=_write_jsonb, decoder=_read_jsonb
    )


def _write_jsonb(value: object) -> bytes:
    return b"\x01" + (value if isinstance(value, bytes) else orjson.dumps(value))


def _read_jsonb(data: bytes) -> object:
    """Read what PostgreSQL holds to be JSON, which is more than orjson does: numbers without end, any depth."""
    try:
        return orjson.loads(data[1:])
    except orjson.JSONDecodeError:
        return _read_odd_json(data[1:])


def _read_odd_json(text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


async def migrate(dsn: str) -> list[str]:
    """Apply the migrations this database has not seen and return their names; safe to run at once from anywhere."""
    try:
        connection = await asyncpg.connect(
            dsn, timeout=CONNECT_TIMEOUT, server_settings={"application_name": APPLICATION_NAME}
        )
    except (*UNAVAILABLE, asyncpg.PostgresError, ValueError) as error:
        raise unreachable(dsn, error) from None
    try:
        return await _apply(connection)
    except asyncpg.PostgresError as error:
        raise StartupError(f"cannot migrate the database at {mask_dsn(dsn)}: {error}") from error
    finally:
        connection.terminate()


async def _apply(connection: asyncpg.Connection) -> list[str]:
    await connection.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
    await connection.execute(queries()["create_migrations"])
    seen = {row["name"] for row in await connection.fetch(queries()["applied_migrations"])}
    files = [file for file in _migrations() if file.stem not in seen]
    for file in files:
        async with connection.transaction():
            await connection.execute(file.read_text(encoding="utf-8"))
            await connection.execute(queries()["record_migration"], file.stem)
    return [file.stem for file in files]


def migration_names() -> list[str]:
    """Return the names of all migrations, in their order."""
    return [file.stem for file in _migrations()]


def _migrations() -> list[Path]:
    return sorted((folder("sql") / "migrations").glob("*.sql"))
