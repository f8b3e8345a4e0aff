"""A CRM that takes everything at once and remembers when."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import unquote_plus

import orjson
from msgspec import Struct, field

from bench.wire import SinkConnection


class Sink(Struct):
    """What arrived: the first pop-up of each call, its closing, and how often each record came.

    `delay` says by API key how long an answer takes: 0 at once, seconds, negative never.
    """

    port: int = 0
    popups: dict[str, float] = field(default_factory=dict)
    popups_doubled: int = 0
    overs: dict[str, float] = field(default_factory=dict)
    records: dict[str, float] = field(default_factory=dict)
    records_doubled: int = 0
    requests: int = 0
    delay: Callable[[str], float] = lambda _: 0.0

    def receive(self, at: float, head: bytes, body: bytes) -> float:
        self.requests += 1
        name, _, text = body.partition(b"=")
        value = orjson.loads(unquote_plus(text.decode()))
        if name == b"event":
            self._event(at, value)
        else:
            for call in value:
                self.records_doubled += call["externalId"] in self.records
                self.records.setdefault(call["externalId"], at)
        return self.delay(key_of(head))

    def _event(self, at: float, event: dict[str, str]) -> None:
        call = event["callExternalId"]
        if event["type"] == "hangup":
            self.overs.setdefault(call, at)
        else:
            self.popups_doubled += call in self.popups
            self.popups.setdefault(call, at)


def key_of(head: bytes) -> str:
    start = head.find(b"X-API-KEY: ") + 11
    return head[start : head.find(b"\r\n", start)].decode()


@asynccontextmanager
async def sink() -> AsyncIterator[Sink]:
    opened = Sink()
    server = await asyncio.get_running_loop().create_server(lambda: SinkConnection(opened.receive), "127.0.0.1", 0)
    opened.port = server.sockets[0].getsockname()[1]
    try:
        yield opened
    finally:
        server.close()
