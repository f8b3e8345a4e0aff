"""Run the benchmarks and print their figures: `python -m bench`."""

import asyncio
import tempfile
import time
from pathlib import Path

import asyncpg
import uvloop
from aiohttp import ClientSession

from bench.load import EVENTS_OF_A_CALL, Load, calls, percentile, saturate
from bench.processes import LOAD_CORE, add_tenants, daemon, pin, postgres, started
from bench.sink import Sink, sink

TENANTS = 1_000
MANY_TENANTS = 10_000
RATES = (50, 200)
SECONDS = 15.0
SATURATED_SECONDS = 8.0
CONNECTIONS = 32
CHANGES = 200


def say(text: str) -> None:
    print(text, flush=True)


async def settled(crm: Sink, load: Load, seconds: float = 20.0) -> None:
    """Wait until every accepted call has its record at the CRM."""
    deadline = time.perf_counter() + seconds
    whole = {call for call, count in load.accepted.items() if count == EVENTS_OF_A_CALL}
    while not whole <= crm.records.keys() and time.perf_counter() < deadline:
        await asyncio.sleep(0.05)


async def latencies(dsn: str, folder: Path) -> None:
    """Pop-ups and acceptance at fixed rates."""
    async with sink() as crm:
        tokens = await add_tenants(dsn, TENANTS, crm.port)
        async with daemon(dsn, folder) as (_, ports):
            await calls(ports["public"], tokens, 50, 2.0, first=900_000)
            for number, rate in enumerate(RATES):
                load = await calls(ports["public"], tokens, rate, SECONDS, first=100_000 * number)
                await settled(crm, load)
                say(f"{rate:4} calls/s: {report(crm, load)}")


def report(crm: Sink, load: Load) -> str:
    """Say how long pop-ups and answers took, and that nothing is missing or doubled."""
    popups = [crm.popups[call] - at for call, at in load.dialled.items() if call in crm.popups]
    lost = len(load.dialled) - len(popups)
    return "; ".join(
        [
            f"pop-up p50 {percentile(popups, 0.5):.2f} ms, p99 {percentile(popups, 0.99):.2f} ms",
            f"200 to the host p50 {percentile(load.answers, 0.5):.2f} ms, p99 {percentile(load.answers, 0.99):.2f} ms",
            f"{len(popups)} pop-ups, {lost} missing, {crm.popups_doubled} doubled",
            f"{len(crm.records)} records, {crm.records_doubled} doubled",
            f"{load.refused} refused",
        ]
    )


async def throughput(dsn: str, folder: Path) -> None:
    """Durable acceptance beside the smallest handlers, in one run."""
    figures: dict[str, tuple[float, float]] = {}
    async with sink() as crm:
        tokens = await add_tenants(dsn, TENANTS, crm.port)
        for kind in ("bare", "durable", "daemon"):
            context = daemon(dsn, folder) if kind == "daemon" else started("bench.bare", kind, dsn)
            async with context as (_, ports):
                await saturate(ports["public"], tokens, CONNECTIONS, 1.0)
                load = await saturate(ports["public"], tokens, CONNECTIONS, SATURATED_SECONDS)
            figures[kind] = len(load.answers) / load.seconds, percentile(load.answers, 0.99)
            say(f"{kind:8} {figures[kind][0]:8.0f} events/s, p99 {figures[kind][1]:6.2f} ms, {load.refused} refused")
    for other in ("bare", "durable"):
        share, slower = figures["daemon"][0] / figures[other][0], figures["daemon"][1] / figures[other][1]
        say(f"daemon beside {other}: {share:.0%} of its events/s, {slower:.2f} x its p99")


async def configuration(dsn: str, folder: Path) -> None:
    """How fast a change by psql is seen, and what many tenants cost."""
    await add_tenants(dsn, MANY_TENANTS, 9)
    connection = await asyncpg.connect(dsn)
    async with daemon(dsn, folder) as (pid, ports), ClientSession() as session:
        url = f"http://127.0.0.1:{ports['internal']}"
        say(f"{MANY_TENANTS} enterprises: {memory(pid):.0f} MiB resident")
        began = time.perf_counter()
        async with session.post(url + "/cache/refresh") as response:
            assert response.status == 200
        say(f"full reload: {time.perf_counter() - began:.2f} s")
        seen = [await _change(connection, session, url, number) for number in range(CHANGES)]
    say(
        f"UPDATE to new behaviour: p50 {percentile(seen, 0.5):.2f} ms, p99 {percentile(seen, 0.99):.2f} ms,"
        f" {CHANGES} changes"
    )
    await connection.close()


async def _change(connection: asyncpg.Connection, session: ClientSession, url: str, number: int) -> float:
    enterprise = str(1000 + number)
    await connection.execute(
        "UPDATE enterprises SET integrations_config = jsonb_set(integrations_config, '{retailcrm,enabled}', 'false')"
        " WHERE number = $1",
        enterprise,
    )
    committed = time.perf_counter()
    while True:
        async with session.get(f"{url}/integrations/{enterprise}") as response:
            if not (await response.json())["integrations"]["retailcrm"]:
                return time.perf_counter() - committed


def memory(pid: int) -> float:
    """Return a process's resident memory in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


async def main() -> None:
    pin(LOAD_CORE)
    for part in (latencies, throughput, configuration):
        say(f"-- {part.__name__}: {part.__doc__}")
        with tempfile.TemporaryDirectory() as folder, postgres() as dsn:
            await part(dsn, Path(folder))


if __name__ == "__main__":
    uvloop.run(main())
