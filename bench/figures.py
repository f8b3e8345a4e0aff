"""Every figure by name, and how one is run."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib import import_module
from os import getloadavg
from typing import cast

from bench.machine import machine
from bench.results import Options, Result, Row

FIGURES = (
    "latency",
    "acceptance",
    "search",
    "capacity",
    "peers",
    "isolation",
    "redirect",
    "tenants",
    "recovery",
    "outage",
    "soak",
)

Measure = Callable[[Options], Awaitable[list[Row]]]


async def run(name: str, options: Options) -> Result:
    """Measure one figure: its module's docstring is its title and what was done. SIGTERM ends what it started."""
    if (task := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    module = import_module(f"bench.{name}")
    title, _, text = (module.__doc__ or name).partition("\n")
    measure = cast("Measure", module.measure)
    began, load_average, clock = datetime.now(UTC), getloadavg()[0], time.perf_counter()
    rows = await measure(options)
    return Result(
        name=name,
        title=title,
        text=text.strip(),
        began=began.strftime("%Y-%m-%d %H:%M"),
        seconds=round(time.perf_counter() - clock, 1),
        quick=options.quick,
        machine=machine(),
        load_average=round(load_average, 2),
        rows=rows,
    )
