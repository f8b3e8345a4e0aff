"""Recovery

50 calls/s go on while the daemon is killed (`kill -9`) and started again, PostgreSQL is restarted, and all database
connections are ended. Counted afterwards: acknowledged events that are not in the database, records sent more than
once, and the seconds from the end of the cause (the new daemon ready, PostgreSQL taking connections, the connections
ended) to normal latency: from there on at least 95 % of the dials of each half second have their pop-up within 3
times the earlier p99, or 50 ms where that is more.
"""

import asyncio
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
from msgspec import Struct

from bench.load import Load, calls, percentile
from bench.processes import Running, Server, daemon, postgres
from bench.results import Options, Row
from bench.sink import Sink, sink
from bench.stage import WARM_UP, add_tenants, settled

TENANTS = 200
RATE = 50.0
WINDOW = 0.5
NORMAL_SHARE = 0.95
RECOVERY_SECONDS = 5.0


class Scene(Struct):
    """A daemon that can be killed and started again on the same port."""

    server: Server
    crm: Sink
    tokens: list[str]
    folder: Path
    port: int
    running: Running | None = None
    stack: AsyncExitStack | None = None

    async def start(self) -> None:
        self.stack = AsyncExitStack()
        public = {"VOCHI_SERVER__PUBLIC_PORT": str(self.port)}
        self.running = await self.stack.enter_async_context(daemon(self.server.dsn, self.folder, **public))

    async def stop(self) -> None:
        if self.stack is not None:
            await self.stack.aclose()

    async def kill_daemon(self) -> None:
        assert self.running is not None
        await self.running.kill()
        await self.stop()
        await self.start()

    async def restart_postgres(self) -> None:
        await asyncio.to_thread(self.server.restart)

    async def end_connections(self) -> None:
        connection = await asyncpg.connect(self.server.dsn)
        await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        await connection.close()


async def measure(options: Options) -> list[Row]:
    rows: list[Row] = []
    async with _scene() as scene:
        await calls(scene.port, scene.tokens, *WARM_UP)
        usual = await calls(scene.port, scene.tokens, RATE, options.pick(10, 4))
        normal = max(3 * percentile(scene.crm.delays(usual), 0.99), 50.0)
        for name, cause in (
            ("kill -9 of the daemon", scene.kill_daemon),
            ("PostgreSQL restarted", scene.restart_postgres),
            ("all database connections ended", scene.end_connections),
        ):
            rows += await _trial(scene, name, cause, normal, options)
    return rows


async def _trial(
    scene: Scene, name: str, cause: Callable[[], Awaitable[None]], normal: float, options: Options
) -> list[Row]:
    load, doubled = Load(), scene.crm.records_doubled
    loading = asyncio.create_task(calls(scene.port, scene.tokens, RATE, options.pick(24, 14), load=load))
    await asyncio.sleep(3.0)
    began = time.perf_counter()
    await cause()
    gone = time.perf_counter()
    await loading
    await settled(scene.crm, load, 45.0)
    lost = await _lost(scene.server.dsn, load)
    seconds = _recovered(scene.crm, load, gone, normal)
    answers = ", ".join(f"{count} x {status or 'broken'}" for status, count in sorted(load.statuses.items()))
    note = f"the cause lasted {gone - began:.1f} s; answers: {answers}"
    return [
        Row(name=f"{name}: acknowledged events lost", value=lost, at_most=0, note=f"{len(load.stored)} acknowledged"),
        Row(name=f"{name}: records missing", value=scene.crm.lost_records(load), at_most=0),
        Row(
            name=f"{name}: records sent again",
            value=scene.crm.records_doubled - doubled,
            at_most=0,
            note="with the same externalId, of which the CRM keeps one",
        ),
        Row(name=f"{name}: to normal latency", value=seconds, unit="s", at_most=RECOVERY_SECONDS, note=note),
    ]


async def _lost(dsn: str, load: Load, seconds: float = 20.0) -> int:
    """Count acknowledged events that the database does not have, even after a while."""
    connection = await asyncpg.connect(dsn)
    deadline = time.perf_counter() + seconds
    while True:
        rows = await connection.fetch("SELECT unique_id, event_type FROM call_events")
        missing = load.stored - {(row["unique_id"], row["event_type"]) for row in rows}
        if not missing or time.perf_counter() > deadline:
            await connection.close()
            return len(missing)
        await asyncio.sleep(0.5)


def _recovered(crm: Sink, load: Load, gone: float, normal: float) -> float | None:
    """Return the seconds from `gone` to the first half second from which on all were normal, None for never."""
    windows: dict[int, list[bool]] = {}
    for call, due in load.offered.items():
        shown = crm.popups.get(call)
        windows.setdefault(int((due - gone) // WINDOW), []).append(shown is not None and (shown - due) * 1000 <= normal)
    bad = [at for at, shown in windows.items() if sum(shown) < NORMAL_SHARE * len(shown)]
    last = max((at for at in bad if at >= 0), default=-1)
    return None if last >= max(windows) else (last + 1) * WINDOW


@asynccontextmanager
async def _scene() -> AsyncIterator[Scene]:
    with postgres() as server, tempfile.TemporaryDirectory(prefix="vochi-bench-") as folder:
        async with sink() as crm:
            tokens = await add_tenants(server.dsn, TENANTS, crm.port)
            scene = Scene(server, crm, tokens, Path(folder), _free_port())
            await scene.start()
            try:
                yield scene
            finally:
                await scene.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
