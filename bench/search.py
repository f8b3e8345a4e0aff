"""Finding a call

Ten million events of 90 days at 77 tenants, two fifths of them one tenant's; then every kind of search an
administrator makes, through the code of the trace, its calls with their events, deliveries and verdicts included.
Beside it what the searches cost the event path: the 200 to the host with searches running all the time, slice by slice
in turns with none (the median of the slices' p99), and what the indexes of the search add to the price of storing
events.
"""

import asyncio
import itertools
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import orjson

from bench.archive import INDEXES, Known, fill, sample
from bench.load import calls, median_percentile, percentile
from bench.processes import Running, daemon, postgres
from bench.results import Options, Row
from bench.sink import Sink, sink
from bench.stage import WARM_UP, add_tenants, settled
from vochi_integrations.db import Database, connected
from vochi_integrations.ops.diagnosis import diagnose
from vochi_integrations.ops.search import read_search
from vochi_integrations.ops.trace import Tracer, described

TENANTS = 77
RATE = 100.0
SEARCHES_A_SECOND = 4
SEARCH_BAR_MS = 200.0
STORED_EVENTS = 20_000
FLUSH = 25
TEXTS: dict[str, Callable[[Known], str]] = {
    "UniqueId": lambda call: call.unique_id,
    "number": lambda call: call.phone,
    "last four digits": lambda call: call.phone[-4:],
    "extension": lambda call: call.extension,
    "extension nobody has": lambda _: "999",
    "extension of a day": lambda call: f"{call.extension} {_day(call)}",
    "hour": lambda call: f"{_day(call)} 12:00-13:00",
    "latest calls": lambda _: "",
}
STORE = """
    INSERT INTO {} (enterprise_number, unique_id, call_unique_id, event_type, event_sequence, event_timestamp,
        received_timestamp, data_source, raw_data, event_hash, reason)
    SELECT enterprise_number, unique_id, call_unique_id, event_type, event_sequence, event_timestamp,
        received_timestamp, data_source, raw_data, event_hash, reason
    FROM call_events WHERE id > $1 AND id <= $2
"""
INDEXED, PLAIN = "stored_indexed", "stored_plain"


def _day(call: Known) -> str:
    return datetime.fromtimestamp(float(call.unique_id.partition(".")[0]), UTC).strftime("%d.%m.%Y")


async def measure(options: Options) -> list[Row]:
    with postgres() as server, tempfile.TemporaryDirectory(prefix="vochi-bench-") as folder:
        async with sink() as crm:
            tokens = await add_tenants(server.dsn, TENANTS, crm.port)
            connection = await asyncpg.connect(server.dsn)
            await fill(connection, int(options.pick(10_000_000, 200_000)), TENANTS)
            count = int(options.pick(60, 20))
            known = [*await sample(connection, count), *await sample(connection, count, "1000")]
            rows = await _searches(server.dsn, known)
            await connection.execute("CHECKPOINT")
            async with daemon(server.dsn, Path(folder)) as running:
                await calls(running.public, tokens, *WARM_UP)
                rows.append(await _beside_intake(running, crm, tokens, known, options))
            rows += await _storing(connection)
            await connection.close()
    return rows


async def _searches(dsn: str, known: list[Known]) -> list[Row]:
    rows = []
    async with connected(dsn) as database:
        tracer = Tracer(database, ["retailcrm"])
        for name, text in TEXTS.items():
            times = [await _timed(tracer, call, text(call)) for call in known]
            for share in (0.5, 0.95):
                bar = SEARCH_BAR_MS if share == 0.95 else None
                title = f"search by {name} p{share * 100:.0f}"
                rows.append(Row(name=title, value=percentile(times, share), unit="ms", at_most=bar))
        page = [await _diagnosed(database, tracer, call) for call in known[-10:]]
        name = "page of diagnostics of the busiest company, a week, median"
        rows.append(Row(name=name, value=percentile(page, 0.5), unit="ms", note="read by one company's administrator"))
    return rows


async def _diagnosed(database: Database, tracer: Tracer, call: Known) -> float:
    began = time.perf_counter()
    await diagnose(database, call.number, ["retailcrm"], "week", await tracer.skew(call.number))
    return time.perf_counter() - began


async def _timed(tracer: Tracer, call: Known, text: str) -> float:
    began = time.perf_counter()
    hits = await tracer.find(call.number, read_search(text, UTC, time.time()))
    async for item in tracer.calls(call.number, [item.call for item in hits.calls]):
        described(item)
    return time.perf_counter() - began


async def _beside_intake(running: Running, crm: Sink, tokens: list[str], known: list[Known], options: Options) -> Row:
    answers: dict[bool, list[list[float]]] = {False: [], True: []}
    for _ in range(int(options.pick(9, 3))):
        for searched, context in ((False, _quiet()), (True, _searching(running.internal, known))):
            async with context:
                load = await calls(running.public, tokens, RATE, options.pick(5, 3))
            answers[searched].append(load.answers)
            await settled(crm, load, 5.0)
    return Row(
        name=f"200 to the host p99 with {SEARCHES_A_SECOND} searches/s, at {RATE:.0f} calls/s",
        value=median_percentile(answers[True], 0.99),
        unit="ms",
        reference=median_percentile(answers[False], 0.99),
        beside="without searches",
        at_most=1.2,
        note=f"medians of {len(answers[True])} slices each",
    )


@asynccontextmanager
async def _quiet() -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def _searching(port: int, known: list[Known]) -> AsyncIterator[None]:
    """Search over HTTP all the time, one kind after another, for a busy company or another in turn."""
    texts = itertools.cycle(TEXTS.values())
    searches = [(call.number, text(call)) for call, text in zip(known, texts, strict=False)]
    command = (sys.executable, "-m", "bench.searcher", str(port), str(1 / SEARCHES_A_SECOND))
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(orjson.dumps(searches))
    process.stdin.close()
    assert await process.stdout.readline() == b"ready\n"
    try:
        yield
        assert process.returncode is None, "a search failed"
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _storing(connection: asyncpg.Connection) -> list[Row]:
    """Store stored events again in flushes, in turns into a table with the indexes and into one without."""
    for table in (INDEXED, PLAIN):
        await connection.execute(f"CREATE TABLE {table} (LIKE call_events INCLUDING ALL)")
    for row in await connection.fetch(INDEXES, [PLAIN], None):
        await connection.execute(f"DROP INDEX {row['indexname']}")
    last = await connection.fetchval("SELECT max(id) FROM call_events")
    times: dict[str, list[float]] = {INDEXED: [], PLAIN: []}
    for first in range(last - STORED_EVENTS, last, FLUSH):
        for table, found in times.items():
            began = time.perf_counter()
            await connection.execute(STORE.format(table), first, first + FLUSH)
            found.append(time.perf_counter() - began)
    return [
        Row(
            name=f"storing {FLUSH} events with the indexes of the search, median",
            value=percentile(times[INDEXED], 0.5),
            unit="ms",
            reference=percentile(times[PLAIN], 0.5),
            beside="without them",
            at_most=1.3,
        )
    ]
