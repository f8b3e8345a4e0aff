"""Memory over time

100 calls/s at 1,000 enterprises for 10 minutes (`--minutes`): the daemon's resident memory after a tenth of that
time, at half of it, and at the end (means of five samples), pop-up latency in the first and the last part, nothing
lost.
"""

import asyncio
import statistics
import time

from bench.load import Load, calls, percentile
from bench.processes import Running
from bench.results import Options, Row
from bench.sink import Sink
from bench.stage import settled, stage

TENANTS = 1_000
RATE = 100.0
SAMPLES_A_PART = 5
PARTS = 10


async def measure(options: Options) -> list[Row]:
    seconds = 60 * (options.minutes or options.pick(10, 0.5))
    async with stage(TENANTS) as on:
        watching = asyncio.create_task(_watch(on.running, seconds))
        began = time.perf_counter()
        load = await calls(on.port, on.tokens, RATE, seconds)
        samples = await watching
        await settled(on.crm, load)
    parts = [
        statistics.mean(samples[start : start + SAMPLES_A_PART]) for start in range(0, len(samples), SAMPLES_A_PART)
    ]
    first, half, end = parts[1], parts[PARTS // 2], parts[-1]
    early, late = (
        _delays(on.crm, load, began, began + seconds / PARTS * 2),
        _delays(on.crm, load, began + seconds / PARTS * 8, began + seconds),
    )
    lost = on.crm.lost_popups(load) + on.crm.lost_records(load)
    return [
        Row(name="memory at the end", value=end, unit="MiB", reference=first, beside="after a tenth", at_most=1.1),
        Row(name="memory at the end", value=end, unit="MiB", reference=half, beside="at half time", at_most=1.1),
        Row(name="pop-up p99 in the last fifth", value=late, unit="ms", reference=early, beside="the first fifth"),
        Row(
            name="pop-ups and records lost",
            value=lost,
            at_most=0,
            note=f"{len(load.dialled)} calls in {seconds / 60:.1f} min",
        ),
        Row(name="pop-ups and records doubled", value=on.crm.popups_doubled + on.crm.records_doubled, at_most=0),
        Row(name="events refused", value=load.refused, at_most=0),
    ]


async def _watch(running: Running, seconds: float) -> list[float]:
    """Sample memory, a few times in each tenth of the run."""
    samples = []
    for _ in range(PARTS * SAMPLES_A_PART):
        await asyncio.sleep(seconds / PARTS / SAMPLES_A_PART)
        samples.append(running.memory())
    return samples


def _delays(crm: Sink, load: Load, begin: float, end: float) -> float:
    return percentile(
        [crm.popups[call] - at for call, at in load.dialled.items() if begin <= at < end and call in crm.popups], 0.99
    )
