"""Parts of pages that follow what happens: server-sent events, few at once, each with an end."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress

from aiohttp import web

from vochi_integrations.admin.sessions import VIEWER
from vochi_integrations.db import UNAVAILABLE

ALL = 60
OF_AN_ENTERPRISE = 6
LOOK_SECONDS = 1.0
LONGEST_SECONDS = 900.0
KEEP_ALIVE_SECONDS = 15.0
RETRY_MS = 3_000
AGAIN_MS = 10_000
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "X-Accel-Buffering": "no",
}

Look = Callable[[], Awaitable[tuple[str, bool]]]
Allowed = Callable[[], Awaitable[bool]]


class Live:
    """The streams under way; `stop` ends them all, for a shutdown does not wait for them."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._stopping = asyncio.Event()

    def __len__(self) -> int:
        return self._open.total()

    async def stop(self) -> None:
        self._stopping.set()

    @contextmanager
    def _place(self, number: str) -> Iterator[None]:
        self._open[number] += 1
        try:
            yield
        finally:
            self._open[number] -= 1

    def _is_full(self, number: str) -> bool:
        return len(self) >= ALL or self._open[number] >= OF_AN_ENTERPRISE

    async def follow(self, request: web.Request, look: Look, allowed: Allowed) -> web.StreamResponse:
        """Send what `look` returns whenever it has changed, until it says twice that it is over, or nobody may look.

        Only the first is told, by `end`. After anything else the browser comes back by itself. A stream too many is
        answered with 204; its page reloads at intervals instead (templates/static/trace.js).
        """
        number = request[VIEWER].enterprise
        if self._is_full(number) or self._stopping.is_set():
            return web.Response(status=204)
        with self._place(number):
            response = web.StreamResponse(headers=HEADERS)
            await response.prepare(request)
            with suppress(ConnectionError):
                await response.write(f"retry: {RETRY_MS}\n\n".encode())
                async with aclosing(self._messages(request, look, allowed)) as messages:
                    async for message in messages:
                        await response.write(message)
        return response

    async def _messages(self, request: web.Request, look: Look, allowed: Allowed) -> AsyncGenerator[bytes, None]:
        shown, spoke = "", time.monotonic()
        ends, left, over, was_over = spoke + LONGEST_SECONDS, False, False, False
        while not left and not _is_gone(request):
            with suppress(*UNAVAILABLE):
                part, is_over = await look()
                over, was_over = is_over and was_over, is_over
                if part != shown:
                    shown, spoke = part, time.monotonic()
                    yield _message("part", part)
            if over:
                yield _message("end", "")
                return
            now = time.monotonic()
            left = now > ends or await self._stops_within(LOOK_SECONDS)
            if now - spoke > KEEP_ALIVE_SECONDS:
                spoke, left = now, left or not await allowed()
                yield b": still here\n\n"

    async def _stops_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()


def _is_gone(request: web.Request) -> bool:
    """Tell whether the browser has left: a stream that has nothing to send would not notice."""
    return request.transport is None or request.transport.is_closing()


def _message(event: str, data: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    return f"event: {event}\n{lines}\n".encode()
