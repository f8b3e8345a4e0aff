"""Durable acceptance

Events a second that are answered 200 after their commit, on 32 connections as fast as they are answered, and the p99
of those answers. Beside it, in turns in the same run: the bare handler that only parses; the minimal durable handler
(aiohttp, orjson, one multi-row insert per natural group commit, nothing else); PostgreSQL alone, one row a commit on
16 connections, and 100 rows a statement on one. The daemon's acceptance is measured with the tenants' CRM switched
off: events are folded by the call rules and stored, with the outbox rows that say why nothing was sent; what sending
costs on the same core shows in the row with deliveries, and in the figure of capacity.
"""

import asyncio
import statistics
import sys
from contextlib import AsyncExitStack

import asyncpg
from msgspec import Struct, field

from bench.load import Load, percentile, saturate
from bench.processes import DAEMON_CORE, Running, pin, started
from bench.results import Options, Row
from bench.stage import Stage, stage

TENANTS = 1_000
CONNECTIONS = 32
MINIMAL = "minimal durable handler"


class Rounds(Struct):
    """Events a second and p99 in milliseconds, round by round."""

    rates: list[float] = field(default_factory=list)
    tails: list[float] = field(default_factory=list)
    refused: int = 0

    def add(self, load: Load) -> None:
        self.rates.append(load.events / load.seconds)
        self.tails.append(percentile(load.answers, 0.99))
        self.refused += load.refused

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def tail(self) -> float:
        return statistics.median(self.tails)


async def measure(options: Options) -> list[Row]:
    async with stage(TENANTS, enabled=False) as on:
        rounds = await _in_turns(on, options)
        alone = {kind: await inserts(on.server.dsn, kind, options.pick(5, 2)) for kind in ("single", "batched")}
        delivering = await _with_deliveries(on, options)
    return _rows(rounds, alone, delivering)


async def _in_turns(on: Stage, options: Options) -> dict[str, Rounds]:
    found = {kind: Rounds() for kind in ("daemon", "durable", "bare")}
    async with AsyncExitStack() as stack:
        running: dict[str, Running] = {"daemon": on.running}
        for kind in ("durable", "bare"):
            running[kind] = await stack.enter_async_context(started("bench.bare", kind, on.server.dsn, "0"))
        for kind in found:
            await saturate(running[kind].public, on.tokens, CONNECTIONS, 1.0)
        for _ in range(int(options.pick(4, 3))):
            for kind, rounds in found.items():
                rounds.add(await saturate(running[kind].public, on.tokens, CONNECTIONS, options.pick(4, 2.5)))
    return found


async def inserts(dsn: str, kind: str, seconds: float) -> float:
    """Return the events a second that PostgreSQL takes from a client on the daemon's core."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.inserts", kind, dsn, str(seconds)),
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=lambda: pin(DAEMON_CORE),
    )
    output, _ = await process.communicate()
    return float(output)


async def _with_deliveries(on: Stage, options: Options) -> Rounds:
    """Switch every CRM on and load again."""
    connection = await asyncpg.connect(on.server.dsn)
    await connection.execute(
        "UPDATE enterprises SET integrations_config = jsonb_set(integrations_config, '{retailcrm,enabled}', 'true')"
    )
    await connection.close()
    await asyncio.sleep(2.0)
    found = Rounds()
    for _ in range(int(options.pick(3, 1))):
        found.add(await saturate(on.port, on.tokens, CONNECTIONS, options.pick(4, 2.5)))
    return found


def _rows(rounds: dict[str, Rounds], alone: dict[str, float], delivering: Rounds) -> list[Row]:
    daemon, durable, bare = (rounds[kind] for kind in ("daemon", "durable", "bare"))
    rate, tail = "durable events a second", "p99 of the answers"
    return [
        Row(
            name=rate,
            value=daemon.rate,
            unit="/s",
            reference=durable.rate,
            beside=MINIMAL,
            at_least=0.7,
            gate=True,
        ),
        Row(name=tail, value=daemon.tail, unit="ms", reference=durable.tail, beside=MINIMAL, at_most=1.5),
        Row(name=rate, value=daemon.rate, unit="/s", reference=bare.rate, beside="bare handler, no database"),
        Row(
            name=rate,
            value=daemon.rate,
            unit="/s",
            reference=alone["single"],
            beside="PostgreSQL alone, a row a commit",
        ),
        Row(
            name=rate,
            value=daemon.rate,
            unit="/s",
            reference=alone["batched"],
            beside="PostgreSQL alone, 100 rows a statement",
        ),
        Row(
            name="the same with pop-ups, closings and records going out",
            value=delivering.rate,
            unit="/s",
            reference=durable.rate,
            beside=MINIMAL,
            note=f"p99 {delivering.tail:.1f} ms",
        ),
        Row(name="events refused", value=daemon.refused + delivering.refused, at_most=0),
    ]
