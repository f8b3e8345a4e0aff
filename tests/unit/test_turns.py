"""However many look, the trace takes two connections of the pool: the others are the event path's."""

import asyncio
from typing import Any, cast

from vochi_integrations.db import Database
from vochi_integrations.ops.search import Wanted
from vochi_integrations.ops.trace import SEARCHES_AT_ONCE, Tracer


class SlowDatabase:
    """Answers after a moment, and notes how many queries it had at once."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.asked: set[str] = set()

    async def fetch(self, name: str, *_args: object, **_options: object) -> list[dict[str, Any]]:
        self.asked.add(name)
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.001)
        self.running -= 1
        return [{"call_unique_id": "1.1"}] if name == "events_of_calls" else []


async def test_every_query_of_the_trace_waits_for_its_turn() -> None:
    database = SlowDatabase()
    tracer = Tracer(cast("Database", database), ["retailcrm"])
    wanted = Wanted(unique_id="1.1", phone="375290000001", extension="151")
    looks = [(tracer.call("0367", "1.1"), tracer.skew("0367"), tracer.find("0367", wanted)) for _ in range(5)]
    await asyncio.gather(*(look for three in looks for look in three))
    assert {"attempts_of_call", "clicks_of_call", "recent_starts", "clicks_without_call"} <= database.asked
    assert database.most == SEARCHES_AT_ONCE
