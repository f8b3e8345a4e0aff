"""Beside two job queues on PostgreSQL

`procrastinate` (psycopg pool, LISTEN, one worker of 20 jobs at once) and `pgqueuer` (asyncpg, five consumers, batches
of 10: its own benchmark's setting), on the same PostgreSQL with fsync on, in the same run: producers on the load's
core, workers on the daemon's. A job of theirs is an enqueue and a handler that only notes the time; a job of ours is
a `/dial` over HTTP, folded by the call rules and answered when it is durable, and its pop-up delivered to the CRM
over HTTP. Throughput is with the producer up to 500 jobs ahead. The bar is on one job a statement, for events come one
by one and each is answered when it is durable; ten jobs a statement, which hosts do not allow, are shown beside it. The
p99 is at 100 jobs/s, which all keep up with. The last rows give their handlers the same HTTP request to make.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from bench.board import Board
from bench.load import STEPS, calls, percentile, saturate
from bench.processes import started
from bench.queues import QUEUES, Producer, version
from bench.results import Options, Row
from bench.stage import Stage, stage

TENANTS = 1_000
DIAL = (STEPS[1],)
CONNECTIONS = 64
PRODUCERS = 20
AHEAD = 500
STEADY_RATE = 100.0
BARS = {"procrastinate": 5.0, "pgqueuer": 1.5}


class Measured(Struct, frozen=True):
    """Jobs a second from end to end with one and with ten a statement, and p99 at a steady rate (ms)."""

    single: float
    batched: float
    tail: float
    delivering: float = 0.0


async def measure(options: Options) -> list[Row]:
    async with stage(TENANTS) as on:
        ours = await _ours(on, options)
        rows = []
        for name in QUEUES:
            dsn = await on.server.create_database(name)
            rows += _rows(name, ours, await _theirs(name, dsn, on.crm.port, options))
    return rows


async def _ours(on: Stage, options: Options) -> Measured:
    steady = await calls(on.port, on.tokens, STEADY_RATE, options.pick(10, 4), steps=DIAL)
    await asyncio.sleep(1.0)
    tail = percentile(on.crm.delays(steady), 0.99)
    load = await saturate(on.port, on.tokens, CONNECTIONS, options.pick(8, 4), steps=DIAL, ceiling=6_000)
    until = load.began + load.seconds
    rate = sum(load.began <= at <= until for at in on.crm.popups.values()) / load.seconds
    return Measured(single=rate, batched=rate, tail=tail, delivering=rate)


async def _theirs(name: str, dsn: str, crm_port: int, options: Options) -> Measured:
    producers: list[Producer] = [
        await QUEUES[name](dsn).open() for _ in range(1 if name == "procrastinate" else PRODUCERS)
    ]
    await QUEUES[name].install(producers[0])  # type: ignore[arg-type]
    seconds = options.pick(8, 4)
    async with _worker(name, dsn, 0) as board:
        await _saturated(producers, board, 1.0, 10)
        single = await _saturated(producers, board, seconds, 1)
        batched = await _saturated(producers, board, seconds, 10)
        tail = await _steady(producers, board, options.pick(10, 4))
    async with _worker(name, dsn, crm_port) as board:
        delivering = await _saturated(producers, board, seconds, 10)
    for producer in producers:
        await producer.close()
    return Measured(single=single, batched=batched, tail=tail, delivering=delivering)


@asynccontextmanager
async def _worker(name: str, dsn: str, crm_port: int) -> AsyncIterator[Board]:
    with tempfile.NamedTemporaryFile(prefix="vochi-bench-") as file:
        board = Board(Path(file.name))
        async with started("bench.queues", name, dsn, file.name, str(crm_port)):
            yield board


async def _saturated(producers: list[Producer], board: Board, seconds: float, batch: int) -> float:
    """Enqueue up to `AHEAD` jobs ahead of the handlers for so long; return the jobs handled a second."""
    first, began = board.count, time.perf_counter()
    sent = 0

    async def produce(producer: Producer) -> None:
        nonlocal sent
        while time.perf_counter() < began + seconds:
            if sent - (board.count - first) >= AHEAD:
                await asyncio.sleep(0.001)
                continue
            sent += batch
            await producer.enqueue(batch)

    await asyncio.gather(*(produce(producers[number % len(producers)]) for number in range(PRODUCERS)))
    rate = (board.count - first) / (time.perf_counter() - began)
    await _drained(board, first + sent)
    return rate


async def _drained(board: Board, count: int) -> None:
    deadline = time.perf_counter() + 20.0
    while board.count < count and time.perf_counter() < deadline:
        await asyncio.sleep(0.02)


async def _steady(producers: list[Producer], board: Board, seconds: float) -> float:
    """Enqueue single jobs at a fixed rate; return the p99 to their handlers in milliseconds."""
    first, began = board.count, time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(STEADY_RATE * seconds)):
            await asyncio.sleep(max(0.0, began + number / STEADY_RATE - time.perf_counter()))
            tasks.create_task(producers[number % len(producers)].enqueue(1))
    await _drained(board, first + int(STEADY_RATE * seconds))
    return percentile(board.delays(first), 0.99)


def _rows(name: str, ours: Measured, theirs: Measured) -> list[Row]:
    beside = f"{name} {version(name)}"
    return [
        Row(
            name="jobs a second, enqueue to handler, as events come",
            value=ours.single,
            unit="/s",
            reference=theirs.single,
            beside=beside,
            at_least=BARS[name],
            gate=True,
        ),
        Row(
            name="jobs a second, theirs enqueued by ten",
            value=ours.single,
            unit="/s",
            reference=theirs.batched,
            beside=beside,
        ),
        Row(
            name=f"p99 at {STEADY_RATE:.0f} jobs/s",
            value=ours.tail,
            unit="ms",
            reference=theirs.tail,
            beside=beside,
            at_most=1.0,
        ),
        Row(
            name="jobs a second, handlers making the same request",
            value=ours.single,
            unit="/s",
            reference=theirs.delivering,
            beside=beside,
        ),
    ]
