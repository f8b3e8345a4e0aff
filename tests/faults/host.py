"""Asterisk hosts: they post a call's events in order, give an answer 3 seconds, and send nothing again."""

import asyncio
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import aiohttp
from msgspec import Struct, field

from bench.load import script
from tests.faults.ledger import Acknowledged

KINDS = ("start", "dial", "bridge", "bridge", "hangup")
TIMEOUT = aiohttp.ClientTimeout(total=3)
NUMBERS = itertools.count(1)


def bodies(call: str, token: str) -> list[bytes]:
    """The five events of an answered incoming call."""
    return [post.body for post in script(call, token)]


class Hosts(Struct):
    """All hosts of a test. `addresses` are the daemons for a token, the next one is for a refused connection only."""

    session: aiohttp.ClientSession
    addresses: Callable[[str], Sequence[str]]
    calls: dict[str, Acknowledged] = field(default_factory=lambda: defaultdict(Acknowledged))
    token_of: dict[str, str] = field(default_factory=dict)
    answers_of: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def answers(self) -> Counter[str]:
        """How often there was which answer, at all tenants."""
        return sum(self.answers_of.values(), Counter())

    async def call(self, token: str, *, ring: float = 0.15, talk: float = 0.1, kinds: Sequence[str] = KINDS) -> str:
        """Make an answered incoming call, or those of its events that are named; return its id."""
        return await self.play(self.new_call(token), ring=ring, talk=talk, kinds=kinds)

    async def play(self, call: str, *, ring: float = 0.15, talk: float = 0.1, kinds: Sequence[str] = KINDS) -> str:
        token = self.token_of[call]
        for step, (kind, body) in enumerate(zip(KINDS, bodies(call, token), strict=True)):
            if kind in kinds:
                await self.post(call, kind, body)
            await asyncio.sleep({1: ring, 3: talk}.get(step, 0))
        return call

    def new_call(self, token: str) -> str:
        call = f"{int(time.time())}.{next(NUMBERS)}"
        self.token_of[call] = token
        return call

    async def post(self, call: str, kind: str, body: bytes) -> bool:
        """Post one event; True when it was acknowledged."""
        known = self.calls[call]
        known.sent.setdefault(kind, time.monotonic())
        token = self.token_of[call]
        outcome = await self._answer(token, kind, body)
        self.answers_of[token][outcome] += 1
        if outcome == "200":
            known.taken[kind] = time.monotonic()
        return outcome == "200"

    async def _answer(self, token: str, kind: str, body: bytes) -> str:
        for address in self.addresses(token):
            try:
                async with self.session.post(f"{address}/{kind}", data=body, timeout=TIMEOUT) as response:
                    await response.read()
                    return str(response.status)
            except aiohttp.ClientConnectorError:
                continue
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                return type(error).__name__
        return "refused"

    @asynccontextmanager
    async def calling(self, tokens: Sequence[str], rate: float) -> AsyncIterator[list[str]]:
        """Begin so many calls a second, in turn at every tenant, until the block ends; then let them end too."""
        begun: list[str] = []
        stopped = asyncio.Event()
        task = asyncio.create_task(self._keep_calling(tokens, rate, stopped, begun))
        try:
            yield begun
        finally:
            stopped.set()
            await task

    async def _keep_calling(self, tokens: Sequence[str], rate: float, stopped: asyncio.Event, begun: list[str]) -> None:
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for number, token in enumerate(itertools.cycle(tokens)):
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                if stopped.is_set():
                    return
                begun.append(self.new_call(token))
                tasks.create_task(self.play(begun[-1]))
