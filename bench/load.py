"""Open-loop load: calls begin when they are due, whether or not earlier ones were answered."""

import asyncio
import time
from collections.abc import Sequence

import orjson
from msgspec import Struct, field

from bench.wire import Pool

GROUP = ["150", "151", "152"]
STEPS = (("start", 0.0), ("dial", 0.0), ("bridge", 0.2), ("bridge", 0.2), ("hangup", 0.3))
EVENTS_OF_A_CALL = len(STEPS)


class Load(Struct):
    """What the hosts saw: seconds from a request's last byte to its answer; when each call's dial was written."""

    answers: list[float] = field(default_factory=list)
    dialled: dict[str, float] = field(default_factory=dict)
    accepted: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    seconds: float = 0.0


def bodies(call: str, token: str) -> list[bytes]:
    """The five events of an answered incoming call."""
    phone = f"3752900{int(call.rpartition('.')[2]) % 100_000:05d}"
    common = {"Token": token, "UniqueId": call}
    main = common | {"Phone": phone, "CallType": 0, "Trunk": "0001363"}
    bridge = common | {"BridgeUniqueid": f"b-{call}", "Exten": "", "CallerIDName": "", "ConnectedLineName": "<unknown>"}
    ended = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + 3 * 3600))
    return [
        orjson.dumps(body)
        for body in (
            main,
            main | {"Extensions": GROUP, "ExtTrunk": "", "ExtPhone": phone},
            bridge | {"UniqueId": f"{call}1", "Channel": "SIP/151-1", "CallerIDNum": "151", "ConnectedLineNum": phone},
            bridge | {"Channel": "SIP/0001363-4", "CallerIDNum": phone, "ConnectedLineNum": "151"},
            main | {"Extensions": ["151"], "CallStatus": "2", "StartTime": ended, "EndTime": ended},
        )
    ]


async def calls(port: int, tokens: Sequence[str], rate: float, seconds: float, first: int = 0) -> Load:
    """Begin `rate` calls a second for so long, in turn at every tenant."""
    load, pool = Load(), Pool(port)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            due = began + number / rate
            if (pause := due - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            call = f"{int(time.time())}.{first + number}"
            tasks.create_task(_call(load, pool, call, tokens[number % len(tokens)]))
    load.seconds = time.perf_counter() - began
    return load


async def _call(load: Load, pool: Pool, call: str, token: str) -> None:
    began = time.perf_counter()
    for (kind, offset), body in zip(STEPS, bodies(call, token), strict=True):
        if (pause := began + offset - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        answered = await pool.post(f"/{kind}", body)
        load.answers.append(answered.done_at - answered.sent_at)
        if answered.status != 200:
            load.refused += 1
            continue
        load.accepted[call] = load.accepted.get(call, 0) + 1
        if kind == "dial":
            load.dialled[call] = answered.sent_at


async def saturate(port: int, tokens: Sequence[str], connections: int, seconds: float) -> Load:
    """Post events as fast as they are answered, one after another on each connection (closed loop)."""
    load, ready = Load(), [_prepared(tokens, worker) for worker in range(connections)]
    began = time.perf_counter()
    await asyncio.gather(*(_post_for(load, Pool(port, 1), prepared, began + seconds) for prepared in ready))
    load.seconds = time.perf_counter() - began
    return load


def _prepared(tokens: Sequence[str], worker: int) -> list[tuple[str, bytes]]:
    calls_of_worker = (f"{int(time.time())}.{worker * 100_000 + number}" for number in range(1500))
    return [
        (f"/{kind}", body)
        for number, call in enumerate(calls_of_worker)
        for (kind, _), body in zip(STEPS, bodies(call, tokens[(worker + number) % len(tokens)]), strict=True)
    ]


async def _post_for(load: Load, pool: Pool, prepared: list[tuple[str, bytes]], until: float) -> None:
    for path, body in prepared:
        answered = await pool.post(path, body)
        load.answers.append(answered.done_at - answered.sent_at)
        load.refused += answered.status != 200
        if answered.done_at > until:
            return


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile in milliseconds."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else float("nan")
