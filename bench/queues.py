"""Two job queues on PostgreSQL, set up as their documentation advises, behind one small face.

python -m bench.queues (procrastinate | pgqueuer) DSN BOARD CRM_PORT    runs workers until it is stopped;
CRM_PORT 0 means handlers that only note the time, else they also send the pop-up's request and wait for its answer.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import asyncpg
import orjson
import pgqueuer
import procrastinate
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from procrastinate.types import JSONDict

from bench.board import Board

CONCURRENCY = 20
CONSUMERS = 5
CONSUMER_BATCH = 10
TASK = "popup"

Handle = Callable[[float], Awaitable[None]]


class Producer(Protocol):
    """Puts jobs into a queue; a job's argument is when it was sent."""

    async def enqueue(self, count: int) -> None: ...

    async def close(self) -> None: ...


class Procrastinate:
    """A pool of psycopg connections, LISTEN on, one asyncio worker of several jobs at once."""

    def __init__(self, dsn: str) -> None:
        self.app = procrastinate.App(
            connector=procrastinate.PsycopgConnector(conninfo=dsn, min_size=CONCURRENCY, max_size=CONCURRENCY)
        )
        self._deferrer = self.app.configure_task(TASK)

    async def open(self) -> "Procrastinate":
        await self.app.open_async()
        return self

    async def install(self) -> None:
        await self.app.schema_manager.apply_schema_async()

    async def enqueue(self, count: int) -> None:
        if count == 1:
            await self._deferrer.defer_async(sent_at=time.perf_counter())
        else:
            jobs: list[JSONDict] = [{"sent_at": time.perf_counter()} for _ in range(count)]
            await self._deferrer.batch_defer_async(*jobs)

    async def work(self, handle: Handle) -> None:
        @self.app.task(name=TASK)
        async def popup(sent_at: float) -> None:
            await handle(sent_at)

        await self.app.run_worker_async(concurrency=CONCURRENCY, install_signal_handlers=False)

    async def close(self) -> None:
        await self.app.close_async()


class PgQueuer:
    """asyncpg, several consumers with a connection each, jobs dequeued in batches: as in its own benchmark."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection | None = None

    async def open(self) -> "PgQueuer":
        self._connection = await asyncpg.connect(self._dsn)
        self._queries = Queries(AsyncpgDriver(self._connection))
        return self

    async def install(self) -> None:
        await self._queries.install()

    async def enqueue(self, count: int) -> None:
        sent_at = repr(time.perf_counter()).encode()
        await self._queries.enqueue([TASK] * count, [sent_at] * count, [0] * count)

    async def work(self, handle: Handle) -> None:
        await asyncio.gather(*(self._consume(handle) for _ in range(CONSUMERS)))

    async def _consume(self, handle: Handle) -> None:
        consumer = pgqueuer.PgQueuer(AsyncpgDriver(await asyncpg.connect(self._dsn)))

        @consumer.entrypoint(TASK)
        async def popup(job: Job) -> None:
            await handle(float(job.payload or b"0"))

        await consumer.run(batch_size=CONSUMER_BATCH)

    async def close(self) -> None:
        assert self._connection is not None
        await self._connection.close()


QUEUES: dict[str, type[Procrastinate | PgQueuer]] = {"procrastinate": Procrastinate, "pgqueuer": PgQueuer}


def version(name: str) -> str:
    return metadata.version(name)


async def work(name: str, dsn: str, board: Board, crm_port: int) -> None:
    queue = await QUEUES[name](dsn).open()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60)) as session:

        async def handle(sent_at: float) -> None:
            if crm_port:
                await _tell(session, crm_port, str(sent_at))
            board.note(sent_at, time.perf_counter())

        said: dict[str, Any] = {"event": "ready", "public": ":0", "internal": ":0"}
        print(orjson.dumps(said).decode(), flush=True)
        await queue.work(handle)


async def _tell(session: aiohttp.ClientSession, port: int, call: str) -> None:
    event = {"type": "in", "phone": "+375290000001", "codes": ["150", "151", "152"], "callExternalId": call}
    async with session.post(
        f"http://127.0.0.1:{port}/api/v5/telephony/call/event",
        data={"event": orjson.dumps(event).decode()},
        headers={"X-API-KEY": "key-1000"},
    ) as sent:
        await sent.read()


if __name__ == "__main__":
    import uvloop

    logging.basicConfig(level=logging.ERROR)
    uvloop.run(work(sys.argv[1], sys.argv[2], Board(Path(sys.argv[3])), int(sys.argv[4])))
