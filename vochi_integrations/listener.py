"""LISTEN: wakes the snapshot when configuration changes; proves itself with a heartbeat (design decision 2)."""

import asyncio
from contextlib import suppress

import asyncpg
import orjson
import structlog

from vochi_integrations.db import APPLICATION_NAME, CONNECT_TIMEOUT, UNAVAILABLE, Connection
from vochi_integrations.snapshot import SnapshotStore

CHANNEL = "integration_config_changed"
HEARTBEAT_CHANNEL = "vochi_integrations_heartbeat"
PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)

log = structlog.get_logger()


class ConfigListener:
    """One connection of its own, for ever: LISTEN, full reload, heartbeat; after a loss, the same again.

    `heard` is set once it has listened for the first time.
    """

    def __init__(self, dsn: str, store: SnapshotStore, heartbeat: float) -> None:
        self._dsn = dsn
        self._store = store
        self._heartbeat = heartbeat
        self._beat = asyncio.Event()
        self._lost = asyncio.Event()
        self.heard = asyncio.Event()

    async def run(self) -> None:
        """Keep listening; a dead or silent connection is replaced within seconds."""
        failures = 0
        while True:
            try:
                await self._listen()
                failures = 0
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                log.warning("listen connection lost", error=repr(error))
            self._store.listening = False
            await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
            failures += 1

    async def _listen(self) -> None:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_TIMEOUT,
            server_settings={"application_name": f"{APPLICATION_NAME} listen"},
        )
        try:
            self._lost.clear()
            connection.add_termination_listener(lambda _: self._lost.set())
            await connection.add_listener(HEARTBEAT_CHANNEL, self._on_heartbeat)
            await connection.add_listener(CHANNEL, self._on_change)
            await self._store.load_all()
            self._store.listening = True
            self.heard.set()
            log.info("listening")
            await self._keep_proving(connection)
        finally:
            self._store.listening = False
            connection.terminate()

    async def _keep_proving(self, connection: asyncpg.Connection) -> None:
        """Notify ourselves each heartbeat; return when the connection ends, raise TimeoutError when it is silent."""
        while not self._lost.is_set():
            self._beat.clear()
            async with asyncio.timeout(self._heartbeat):
                await connection.execute("SELECT pg_notify($1, '')", HEARTBEAT_CHANNEL)
                await self._beat.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._heartbeat):
                    await self._lost.wait()

    def _on_heartbeat(self, connection: Connection, pid: int, _: str, __: object) -> None:
        """Count only our own beat: every daemon hears those of the others too."""
        if not connection.is_closed() and pid == connection.get_server_pid():
            self._beat.set()

    def _on_change(self, _: object, __: int, ___: str, payload: object) -> None:
        self._store.invalidate(read_number(payload))


def read_number(payload: object) -> str | None:
    """Return the enterprise a notification names; None, reload all, for what it does not name readably."""
    try:
        number = orjson.loads(str(payload))["enterprise_number"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return number if isinstance(number, str) else None
