"""A CRM that is away

20 calls/s at 100 tenants for 10 minutes (`--minutes`) while every CRM connection is refused, then it is back: seconds
until the last record arrived within each account's allowed rate, records doubled, pop-ups shown for calls that were
over, and the daemon's memory.
"""

import asyncio
import time

from bench.load import Load, calls
from bench.results import Options, Row
from bench.sink import Sink
from bench.stage import settled, stage

TENANTS = 100
RATE = 20.0
LIMIT_SECONDS = 300.0
STALE_SECONDS = 1.0


async def measure(options: Options) -> list[Row]:
    minutes = options.minutes or options.pick(10, 0.5)
    async with stage(TENANTS) as on:
        await asyncio.sleep(1.0)
        before = on.running.memory()
        on.crm.go_away()
        load = await calls(on.port, on.tokens, RATE, minutes * 60)
        during = on.running.memory()
        await on.crm.come_back()
        back = time.perf_counter()
        await settled(on.crm, load, options.pick(LIMIT_SECONDS + 60, 60))
        after = on.running.memory()
    arrived = [on.crm.records[call] - back for call in load.whole if call in on.crm.records]
    return [
        Row(
            name="outage",
            value=minutes,
            unit="min",
            note=f"{len(load.whole)} calls accepted, {load.refused} events refused",
        ),
        Row(
            name="until every record had arrived",
            value=max(arrived, default=None) if not on.crm.lost_records(load) else None,
            unit="s",
            at_most=LIMIT_SECONDS,
            note=f"{len(arrived)} records, {on.crm.requests} requests",
        ),
        Row(name="records missing", value=on.crm.lost_records(load), at_most=0),
        Row(name="records doubled", value=on.crm.records_doubled, at_most=0),
        Row(name="stale pop-ups", value=_stale(on.crm, load), at_most=0, note="shown over 1 s after the call's end"),
        Row(name="memory at the end of the outage", value=during, unit="MiB", reference=before, beside="before it"),
        Row(name="memory when all was delivered", value=after, unit="MiB", reference=before, beside="before it"),
    ]


def _stale(crm: Sink, load: Load) -> int:
    return sum(call in crm.popups and crm.popups[call] > ended + STALE_SECONDS for call, ended in load.ended.items())
