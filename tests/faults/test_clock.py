"""The daemon's wall clock jumps an hour in the middle of calls."""

import asyncio
import time
from pathlib import Path

import orjson
import pytest

from tests.faults.arena import PROMPT, Arena
from tests.faults.host import KINDS, bodies

CLOCK = Path(__file__).with_name("clock")
HOUR = 3600
REAL_CALL_SECONDS = 30


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
async def test_a_jump_of_the_clock_loses_and_doubles_nothing(arena: Arena, tmp_path: Path, jump: int) -> None:
    """A call is caught before its dial, while it rings, and while they talk."""
    clock = tmp_path / "clock"
    shift(clock, 0)
    tenant = await arena.add_tenant()
    await arena.started(environ={"PYTHONPATH": str(CLOCK), "FAULTS_CLOCK": str(clock)})
    calls = [arena.hosts.new_call(tenant.token) for _ in range(len(KINDS))]
    for caught, call in enumerate(calls):
        await post(arena, call, 0, caught)
    shift(clock, jump)
    for caught, call in enumerate(calls):
        await post(arena, call, caught, 2)
        if caught < 2:
            await arena.shown(call, PROMPT)
    await asyncio.sleep(1)
    for caught, call in enumerate(calls):
        await post(arena, call, max(caught, 2), len(KINDS))
    await arena.all_in(5)
    assert {call: arena.ledger.taken(call, "popup") != [] for call in calls} == dict.fromkeys(calls, True)
    for call in calls:
        (record,) = arena.ledger.of(call, "record")
        assert 0 <= record.payload["duration"] <= REAL_CALL_SECONDS, record
        assert 0 <= record.payload["durationWaiting"] <= REAL_CALL_SECONDS, record
    shift(clock, 0)
    await arena.healthy()
    await arena.check()


def shift(clock: Path, seconds: int) -> None:
    """Set the daemon's clock, all at once."""
    new = clock.with_suffix(".new")
    new.write_text(str(seconds))
    new.replace(clock)


async def post(arena: Arena, call: str, first: int, last: int) -> None:
    """Post some of a call's events, with the host's own right time in them."""
    prepared = bodies(call, arena.hosts.token_of[call])
    for kind, body in list(zip(KINDS, prepared, strict=True))[first:last]:
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(float(call.partition(".")[0]) + 3 * HOUR))
        own = {"StartTime": began} if kind == "hangup" else {}
        await arena.hosts.post(call, kind, orjson.dumps(orjson.loads(body) | own))
