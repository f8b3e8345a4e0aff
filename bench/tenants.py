"""Many tenants, and their changes

The daemon's processor time per event (its deliveries included) with 100 and with 10,000 enterprises, in turns in the
same run; memory and a full reload with 10,000; and from the commit of a plain SQL UPDATE to the changed behaviour,
over 200 changes at 10,000 enterprises.
"""

import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
from aiohttp import ClientSession
from msgspec import Struct, field

from bench.load import calls, percentile
from bench.processes import Running, daemon, postgres
from bench.results import Options, Row
from bench.sink import sink
from bench.stage import WARM_UP, add_tenants

FEW, MANY = 100, 10_000
RATE = 100.0
CHANGES = 200
ADDRESS = "http://127.0.0.1"


class Side(Struct):
    """A daemon with so many tenants, and its processor time per event in milliseconds, round by round."""

    running: Running
    tokens: list[str]
    costs: list[float] = field(default_factory=list)

    async def load(self, seconds: float) -> None:
        before = self.running.processor_seconds()
        load = await calls(self.running.public, self.tokens, RATE, seconds)
        self.costs.append((self.running.processor_seconds() - before) / max(1, load.events) * 1000)


async def measure(options: Options) -> list[Row]:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(postgres())
        crm = await stack.enter_async_context(sink())
        sides: dict[int, Side] = {}
        for count in (FEW, MANY):
            dsn = await server.create_database(f"with_{count}")
            tokens = await add_tenants(dsn, count, crm.port)
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vochi-bench-"))
            running = await stack.enter_async_context(daemon(dsn, Path(folder)))
            await calls(running.public, tokens, *WARM_UP)
            sides[count] = Side(running, tokens)
        idle = sides[MANY].running.memory()
        for _ in range(int(options.pick(4, 2))):
            for side in sides.values():
                await side.load(options.pick(6, 3))
        many = sides[MANY]
        reload_seconds = await _reload(many.running)
        seen = await _changes(dsn, many.running, int(options.pick(CHANGES, 40)))
    return _rows(sides, idle, reload_seconds, seen)


async def _reload(running: Running) -> float:
    began = time.perf_counter()
    async with ClientSession() as session, session.post(f"{ADDRESS}:{running.internal}/cache/refresh") as response:
        assert response.status == 200
    return time.perf_counter() - began


async def _changes(dsn: str, running: Running, count: int) -> list[float]:
    connection = await asyncpg.connect(dsn)
    async with ClientSession() as session:
        seen = [await _change(connection, session, running.internal, str(1000 + number)) for number in range(count)]
    await connection.close()
    return seen


async def _change(connection: asyncpg.Connection, session: ClientSession, port: int, enterprise: str) -> float:
    """Switch one tenant's CRM off; return the seconds from the commit until the daemon says so."""
    await connection.execute(
        "UPDATE enterprises SET integrations_config = jsonb_set(integrations_config, '{retailcrm,enabled}', 'false')"
        " WHERE number = $1",
        enterprise,
    )
    committed = time.perf_counter()
    while True:
        async with session.get(f"{ADDRESS}:{port}/integrations/{enterprise}") as response:
            if not (await response.json())["integrations"]["retailcrm"]:
                return time.perf_counter() - committed


def _rows(sides: dict[int, Side], idle: float, reload_seconds: float, seen: list[float]) -> list[Row]:
    few, many = (statistics.median(sides[count].costs) for count in (FEW, MANY))
    cost = f"processor time per event, {MANY:,} enterprises"
    return [
        Row(name=cost, value=many, unit="ms", reference=few, beside=f"{FEW} enterprises", at_most=1.2),
        Row(name=f"memory, {MANY:,} enterprises", value=idle, unit="MiB"),
        Row(name=f"full reload, {MANY:,} enterprises", value=reload_seconds * 1000, unit="ms"),
        Row(name="UPDATE to new behaviour p50", value=percentile(seen, 0.5), unit="ms", note=f"{len(seen)} changes"),
        Row(name="UPDATE to new behaviour p99", value=percentile(seen, 0.99), unit="ms"),
    ]
