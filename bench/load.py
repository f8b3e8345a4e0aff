"""Load as PBX hosts make it: open-loop at a fixed rate, or as fast as a few connections are answered."""

import asyncio
import itertools
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import orjson
from msgspec import Struct, field

from bench.wire import Pool

GROUP = ["150", "151", "152"]
STEPS = (("start", 0.0), ("dial", 0.0), ("bridge", 0.2), ("bridge", 0.2), ("hangup", 0.3))
EVENTS_OF_A_CALL = len(STEPS)
BROKEN = 0
CEILING = 25_000.0

_numbers = itertools.count()


class Post(NamedTuple):
    """One event of a call: `offset` is seconds after the call's beginning."""

    kind: str
    offset: float
    unique_id: str
    body: bytes


class Load(Struct):
    """What the hosts saw; times are of `time.perf_counter`.

    `answers` are seconds from a request's last byte to its answer, `waits` from when its host had it to send, also for
    want of a connection; `late` is how long after it was due that was: the load itself had no time, or the host's
    event before it was not answered. `offered`, `dialled` and `ended` say when a call's dial was due, and its accepted
    dial and hangup written; `stored` are the acknowledged events as (UniqueId, kind); `statuses` counts answers, 0 for
    a connection that broke.
    """

    answers: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    offered: dict[str, float] = field(default_factory=dict)
    dialled: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    accepted: dict[str, int] = field(default_factory=dict)
    stored: set[tuple[str, str]] = field(default_factory=set)
    statuses: dict[int, int] = field(default_factory=dict)
    tenants: dict[str, str] = field(default_factory=dict)
    began: float = 0.0
    seconds: float = 0.0

    @property
    def events(self) -> int:
        return len(self.answers)

    @property
    def refused(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != 200)

    @property
    def whole(self) -> set[str]:
        """The calls whose every event was acknowledged."""
        return {call for call, count in self.accepted.items() if count == EVENTS_OF_A_CALL}

    def count(self, status: int) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def add(self, other: "Load") -> None:
        """Take in another slice of the same load."""
        for ours, theirs in ((self.answers, other.answers), (self.waits, other.waits), (self.late, other.late)):
            ours.extend(theirs)
        for name in ("offered", "dialled", "ended", "accepted", "tenants"):
            getattr(self, name).update(getattr(other, name))
        self.stored |= other.stored
        for status, count in other.statuses.items():
            self.statuses[status] = self.statuses.get(status, 0) + count
        self.seconds += other.seconds


def new_call() -> str:
    return f"{int(time.time())}.{next(_numbers)}"


def script(call: str, token: str, steps: Sequence[tuple[str, float]] = STEPS) -> list[Post]:
    """The events of an answered incoming call; of `steps` only, when not all are wanted."""
    phone = f"3752900{int(call.rpartition('.')[2]) % 100_000:05d}"
    common: dict[str, object] = {"Token": token, "UniqueId": call}
    main = common | {"Phone": phone, "CallType": 0, "Trunk": "0001363"}
    bridge = common | {"BridgeUniqueid": f"b-{call}", "Exten": "", "CallerIDName": "", "ConnectedLineName": "<unknown>"}
    ended = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + 3 * 3600))
    bodies = (
        main,
        main | {"Extensions": GROUP, "ExtTrunk": "", "ExtPhone": phone},
        bridge | {"UniqueId": f"{call}1", "Channel": "SIP/151-1", "CallerIDNum": "151", "ConnectedLineNum": phone},
        bridge | {"Channel": "SIP/0001363-4", "CallerIDNum": phone, "ConnectedLineNum": "151"},
        main | {"Extensions": ["151"], "CallStatus": "2", "StartTime": ended, "EndTime": ended},
    )
    return [
        Post(kind, offset, str(body["UniqueId"]), orjson.dumps(body))
        for (kind, offset), body in zip(STEPS, bodies, strict=True)
        if (kind, offset) in steps
    ]


async def calls(
    port: int,
    tokens: Sequence[str],
    rate: float,
    seconds: float,
    *,
    steps: Sequence[tuple[str, float]] = STEPS,
    connections: int = 256,
    load: Load | None = None,
) -> Load:
    """Begin `rate` calls a second for so long, in turn at every tenant, whether or not earlier ones were answered."""
    load, pool = load or Load(), Pool(port, connections)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            due = began + number / rate
            if (pause := due - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            tasks.create_task(_call(load, pool, due, tokens[number % len(tokens)], steps))
    load.seconds += time.perf_counter() - began
    pool.close()
    return load


async def _call(load: Load, pool: Pool, began: float, token: str, steps: Sequence[tuple[str, float]]) -> None:
    call = new_call()
    load.tenants[call] = token
    for post in script(call, token, steps):
        due = began + post.offset
        if (pause := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        if post.kind == "dial":
            load.offered[call] = due
        await _post(load, pool, call, post, due)


async def _post(load: Load, pool: Pool, call: str, post: Post, due: float) -> None:
    asked = time.perf_counter()
    try:
        answered = await pool.post(f"/{post.kind}", post.body)
    except OSError:
        load.count(BROKEN)
        return
    load.answers.append(answered.done_at - answered.sent_at)
    load.waits.append(answered.done_at - asked)
    load.late.append(asked - due)
    load.count(answered.status)
    if answered.status != 200:
        return
    load.accepted[call] = load.accepted.get(call, 0) + 1
    load.stored.add((post.unique_id, post.kind))
    if post.kind == "dial":
        load.dialled[call] = answered.sent_at
    elif post.kind == "hangup":
        load.ended[call] = answered.sent_at


async def saturate(
    port: int,
    tokens: Sequence[str],
    connections: int,
    seconds: float,
    *,
    steps: Sequence[tuple[str, float]] = STEPS,
    ceiling: float = CEILING,
) -> Load:
    """Post events as fast as they are answered, one after another on each connection (closed loop).

    They are written out beforehand, for at most `ceiling` events a second.
    """
    load, calls_each = Load(), 1 + int(ceiling * seconds / connections / len(steps))
    ready = [_prepared(tokens, worker * len(tokens) // connections, calls_each, steps) for worker in range(connections)]
    began = time.perf_counter()
    pools = [Pool(port, 1) for _ in ready]
    await asyncio.gather(
        *(_post_for(load, pool, posts, began + seconds) for pool, posts in zip(pools, ready, strict=True))
    )
    load.began, load.seconds = began, time.perf_counter() - began
    for pool in pools:
        pool.close()
    return load


def _prepared(
    tokens: Sequence[str], first: int, count: int, steps: Sequence[tuple[str, float]]
) -> list[tuple[str, Post]]:
    """Events of calls at one tenant after another; workers begin at different ones, so that no tenant is crowded."""
    found = []
    for number in range(count):
        call = new_call()
        found += [(call, post) for post in script(call, tokens[(first + number) % len(tokens)], steps)]
    return found


async def _post_for(load: Load, pool: Pool, prepared: list[tuple[str, Post]], until: float) -> None:
    for call, post in prepared:
        answered = await pool.post(f"/{post.kind}", post.body)
        load.answers.append(answered.done_at - answered.sent_at)
        load.count(answered.status)
        if answered.status == 200:
            load.accepted[call] = load.accepted.get(call, 0) + 1
            if post.kind == "dial":
                load.dialled[call] = answered.sent_at
        if answered.done_at > until:
            return


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile in milliseconds, NaN of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else float("nan")


def median_percentile(slices: Sequence[Sequence[float]], share: float) -> float:
    """Return the median of the slices' percentiles in milliseconds: a disturbed moment spoils one only."""
    return statistics.median(percentile(values, share) for values in slices)
