"""Capacity of the full path

The highest rate of calls (five events in; pop-up, its closing and the record out) that one core sustains with a pop-
up p99 of at most 50 ms, nothing refused, nothing lost, no backlog left and the load on time, at 1,000 tenants; then
what happens at 1.6 times that rate: whether hosts are told (503) or wait longer and longer. Waits are from when a host
had an event to send, a free connection included; how late the load itself was stands beside them.
"""

from msgspec import Struct

from bench.load import Load, calls, percentile
from bench.results import Options, Row
from bench.stage import Stage, settled, stage

TENANTS = 1_000
FIRST_RATE, STEP, FINEST = 100, 100, 25
POPUP_LIMIT = 50.0
BACKLOG_SECONDS = 3.0
LATE_LIMIT = 50.0
OVERLOAD = 1.6
CONNECTIONS = 4_000


class Trial(Struct, frozen=True):
    """What a rate led to."""

    rate: int
    popup: float
    lost: int
    refused: int
    late: float
    drained: float

    @property
    def sustained(self) -> bool:
        in_time = self.popup <= POPUP_LIMIT and self.drained <= BACKLOG_SECONDS and self.late <= LATE_LIMIT
        return in_time and not self.lost and not self.refused


async def measure(options: Options) -> list[Row]:
    async with stage(TENANTS) as on:
        best = await _highest(on, options)
        rows = [
            Row(
                name="highest sustained rate",
                value=best.rate,
                unit="calls/s",
                at_least=500,
                note=f"pop-up p99 {best.popup:.1f} ms there",
            )
        ]
        return rows + await _overload(on, max(best.rate, FIRST_RATE) * OVERLOAD, options)


async def _highest(on: Stage, options: Options) -> Trial:
    """Climb in steps, then halve the step; a failed trial has a second chance."""
    best = Trial(rate=0, popup=float("nan"), lost=0, refused=0, late=0.0, drained=0.0)
    rate, step = FIRST_RATE, STEP
    while step >= (STEP if options.quick else FINEST):
        trial = await _trial(on, rate, options.pick(6, 3))
        if not trial.sustained and not options.quick:
            trial = await _trial(on, rate, options.pick(6, 3))
        if trial.sustained:
            best = trial
        else:
            step //= 2
        rate = best.rate + step
    return best


async def _trial(on: Stage, rate: int, seconds: float) -> Trial:
    load = await calls(on.port, on.tokens, rate, seconds, connections=CONNECTIONS)
    drained = await settled(on.crm, load, 15.0)
    return Trial(
        rate=rate,
        popup=percentile(on.crm.delays(load), 0.99),
        lost=on.crm.lost_popups(load) + on.crm.lost_records(load),
        refused=load.refused,
        late=percentile(load.late, 0.5),
        drained=drained,
    )


async def _overload(on: Stage, rate: float, options: Options) -> list[Row]:
    before = on.running.memory()
    load = await calls(on.port, on.tokens, rate, options.pick(15, 6), connections=CONNECTIONS)
    after = on.running.memory()
    drained = await settled(on.crm, load, 60.0)
    at = f"at {rate:.0f} calls/s"
    refused = load.statuses.get(503, 0)
    return [
        Row(
            name=f"longest wait for an answer {at}",
            value=percentile(load.waits, 1.0),
            unit="ms",
            at_most=2_000,
            note=f"the load was late by {percentile(load.late, 0.5):.0f} ms (median)",
        ),
        Row(
            name=f"events told 503 {at}",
            value=100 * refused / max(1, load.events),
            unit="%",
            note=f"{load.refused - refused} broken connections",
        ),
        Row(
            name=f"growth of the waits {at}",
            value=_growth(load),
            unit="x",
            note="the last third's median : the first's",
        ),
        Row(name=f"pop-up p99 {at}", value=percentile(on.crm.delays(load), 0.99), unit="ms"),
        Row(name=f"pop-ups that never came {at}", value=on.crm.lost_popups(load), note="expired by their deadline"),
        Row(name=f"records of accepted calls lost {at}", value=on.crm.lost_records(load), at_most=0),
        Row(name=f"until the backlog was gone {at}", value=drained, unit="s"),
        Row(name=f"memory after {at}", value=after, unit="MiB", note=f"{before:.0f} MiB before"),
    ]


def _growth(load: Load) -> float:
    third = max(1, len(load.waits) // 3)
    return percentile(load.waits[-third:], 0.5) / percentile(load.waits[:third], 0.5)
