"""Isolation

A quarter of all calls belong to one tenant, the others to 300 more, at 80 calls/s. That tenant's CRM hangs, answers
after 5 s, or hangs every other second; what is measured is the pop-up p99 of all the others, beside their own with
that CRM well, slice by slice in turns: the medians of the slices' p99.
"""

import time
from collections.abc import Callable

from bench.load import Load, calls, median_percentile
from bench.results import Options, Row
from bench.sink import Sink, at_once
from bench.stage import Stage, key_of_token, settled, stage

TENANTS = 301
RATE = 80.0
BASELINE = "the same tenants with every CRM well"
ILLS: dict[str, Callable[[], float]] = {
    "hangs": lambda: -1.0,
    "answers in 5 s": lambda: 5.0,
    "flaps every second": lambda: -1.0 if int(time.monotonic()) % 2 else 0.0,
}


async def measure(options: Options) -> list[Row]:
    async with stage(TENANTS) as on:
        found: dict[str, list[list[float]]] = {name: [] for name in ("well", *ILLS)}
        for _ in range(int(options.pick(5, 1))):
            for name in ILLS:
                found["well"].append(await _slice(on, None, options))
                found[name].append(await _slice(on, name, options))
    return [
        Row(
            name=f"pop-up p99 of the others while one CRM {name}",
            value=median_percentile(found[name], 0.99),
            unit="ms",
            reference=median_percentile(found["well"], 0.99),
            beside=BASELINE,
            at_most=1.5,
            gate=True,
            note=f"{sum(map(len, found[name]))} pop-ups",
        )
        for name in ILLS
    ]


async def _slice(on: Stage, ill: str | None, options: Options) -> list[float]:
    """Load for a while; return the others' pop-up delays."""
    sick, others = on.tokens[0], on.tokens[1:]
    _infect(on.crm, key_of_token(sick), ILLS[ill] if ill else None)
    order = [token for start in range(0, len(others), 3) for token in (sick, *others[start : start + 3])]
    load = await calls(on.port, order, RATE, options.pick(6, 5))
    _infect(on.crm, key_of_token(sick), None)
    well = Load(dialled={call: at for call, at in load.dialled.items() if load.tenants[call] != sick})
    await settled(on.crm, load, options.pick(5, 2))
    return on.crm.delays(well)


def _infect(crm: Sink, key: str, delay: Callable[[], float] | None) -> None:
    crm.delay = at_once if delay is None else lambda asked: delay() if asked == key else 0.0
