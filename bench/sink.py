"""A CRM that takes everything at once and remembers when; it can be slow, hang, or go away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote_plus

import orjson
from msgspec import Struct, field

from bench.load import Load
from bench.wire import SinkConnection

HOST = "127.0.0.1"


def at_once(_: str) -> float:
    return 0.0


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
    delay: Callable[[str], float] = at_once
    server: Any = None
    opened: set[asyncio.Transport] = field(default_factory=set)

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

    async def come_back(self) -> None:
        """Listen, on the same port as before."""
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: SinkConnection(self.receive, self.opened), HOST, self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    def go_away(self) -> None:
        """Refuse connections and break the open ones."""
        self.server.close()
        for transport in list(self.opened):
            transport.abort()

    def delays(self, load: Load) -> list[float]:
        """Return the seconds from each accepted dial to its pop-up, of those that came."""
        return [self.popups[call] - at for call, at in load.dialled.items() if call in self.popups]

    def lost_popups(self, load: Load) -> int:
        return sum(call not in self.popups for call in load.dialled)

    def lost_records(self, load: Load) -> int:
        return sum(call not in self.records for call in load.whole)


def key_of(head: bytes) -> str:
    start = head.find(b"X-API-KEY: ") + 11
    return head[start : head.find(b"\r\n", start)].decode()


@asynccontextmanager
async def sink() -> AsyncIterator[Sink]:
    opened = Sink()
    await opened.come_back()
    try:
        yield opened
    finally:
        opened.go_away()
