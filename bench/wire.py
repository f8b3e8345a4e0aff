"""HTTP/1.1 at the lowest price, for both ends of a benchmark: keep-alive, Content-Length, nothing else."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import cast

from msgspec import Struct

HEAD = b"POST %b HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
END_OF_HEAD = b"\r\n\r\n"
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"success":true}'


class Answered(Struct, frozen=True):
    """A request's fate: when its last byte was written, when the answer was whole (`time.perf_counter`), its status."""

    sent_at: float
    done_at: float
    status: int


class Connection(asyncio.Protocol):
    """A client's connection: one request at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._waiting: asyncio.Future[Answered] | None = None
        self._sent_at = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionResetError("closed"))

    async def post(self, path: str, body: bytes) -> Answered:
        if self.transport is None:
            raise ConnectionResetError("closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(HEAD % (path.encode(), len(body)) + body)
        self._sent_at = time.perf_counter()
        return await self._waiting

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self._buffer += data
        head, found, rest = self._buffer.partition(END_OF_HEAD)
        if not found or len(rest) < length_of(head):
            return
        self._buffer = b""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(Answered(self._sent_at, now, int(head[9:12])))


def length_of(head: bytes) -> int:
    lower = head.lower()
    start = lower.index(b"content-length:") + 15
    end = lower.find(b"\r\n", start)
    return int(lower[start:] if end < 0 else lower[start:end])


class Pool:
    """Connections to one listener; as nginx in front of the daemon keeps them."""

    def __init__(self, port: int, limit: int = 256) -> None:
        self._port = port
        self._limit = limit
        self._free: deque[Connection] = deque()
        self._opened = 0
        self._returned = asyncio.Event()

    async def post(self, path: str, body: bytes) -> Answered:
        connection = await self._take()
        try:
            return await connection.post(path, body)
        finally:
            self._free.append(connection)
            self._returned.set()

    async def _take(self) -> Connection:
        while not self._free:
            if self._opened < self._limit:
                return await self._open()
            self._returned.clear()
            await self._returned.wait()
        connection = self._free.popleft()
        if connection.transport is None:
            self._opened -= 1
            return await self._take()
        return connection

    async def _open(self) -> Connection:
        self._opened += 1
        try:
            _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", self._port)
        except OSError:
            self._opened -= 1
            self._returned.set()
            raise
        return connection

    def close(self) -> None:
        for connection in self._free:
            if connection.transport is not None:
                connection.transport.close()


class SinkConnection(asyncio.Protocol):
    """A server's connection: every request is told to `receive` with the time of its first byte."""

    def __init__(
        self, receive: Callable[[float, bytes, bytes], float], opened: "set[asyncio.Transport] | None" = None
    ) -> None:
        self._receive = receive
        self._opened = set() if opened is None else opened
        self._buffer = b""
        self._began = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._opened.add(self._transport)

    def connection_lost(self, _: Exception | None) -> None:
        if self._transport is not None:
            self._opened.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        if not self._buffer:
            self._began = time.perf_counter()
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(END_OF_HEAD)
            if not found or len(rest) < (size := length_of(head)):
                return
            body, self._buffer = rest[:size], rest[size:]
            self._answer(self._receive(self._began, head, body))
            self._began = time.perf_counter()

    def _answer(self, delay: float) -> None:
        if delay < 0:
            return
        if delay == 0:
            self._write()
        else:
            asyncio.get_running_loop().call_later(delay, self._write)

    def _write(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(OK)
