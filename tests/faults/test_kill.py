"""`kill -9` at any moment."""

import asyncio
import random
import time

from tests.faults.arena import HEALTHY_WITHIN, Arena

KILLS = 20
ON_ITS_WAY = 0.1
RATE = 30.0


async def test_a_daemon_killed_twenty_times_under_load_loses_and_doubles_nothing(arena: Arena) -> None:
    """What a daemon had sent when it died is still read by the CRM: nobody hears of that success."""
    seed = random.randrange(2**32)  # noqa: S311 - as below
    print(f"seed {seed}")  # noqa: T201 - what a failure is repeated with
    chance = random.Random(seed)  # noqa: S311 - moments, no secrets
    tenants = [await arena.add_tenant() for _ in range(3)]
    daemon = await arena.started()
    killed, away = [], []
    async with arena.hosts.calling([tenant.token for tenant in tenants], RATE):
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.05, 0.6))
            killed.append(await daemon.kill())
            await daemon.start()
            away.append(time.monotonic() - killed[-1])
        arena.notes |= {"kills": len(killed), "slowest from kill to ready": max(away)}
        await arena.healthy(within=HEALTHY_WITHIN)
    await arena.check(forgotten=[(at - 1.0, at + ON_ITS_WAY) for at in killed])
    assert arena.hosts.answers["200"] > KILLS
