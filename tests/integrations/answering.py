"""A server that gives every request the same answer, or none."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from msgspec import Struct

RESET_AT_ONCE = struct.pack("ii", 1, 0)

End = Literal["hang", "close", "reset", "drip"]


class Reply(Struct, frozen=True):
    """What is written, and what then becomes of the connection."""

    wire: bytes = b""
    end: End = "close"


class Listener(Struct):
    """Where the server is, and how many requests it had."""

    origin: str
    requests: int = 0


def http(status: int, body: bytes, *, kind: str = "application/json", retry_after: str = "") -> Reply:
    extra = f"Retry-After: {retry_after}\r\n" if retry_after else ""
    head = f"HTTP/1.1 {status} Status\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return Reply(head.encode() + body)


@asynccontextmanager
async def answering(reply: Reply) -> AsyncIterator[Listener]:
    """Answer inside the block."""
    listener = Listener("")
    handlers: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_length(head))
            listener.requests += 1
            await _write(reply, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    listener.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield listener
    finally:
        server.close()
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await asyncio.sleep(0)


async def _write(reply: Reply, writer: asyncio.StreamWriter) -> None:
    if reply.end == "drip":
        for byte in reply.wire:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.1)
    writer.write(reply.wire)
    await writer.drain()
    if reply.end == "hang":
        await asyncio.Event().wait()
    if reply.end == "reset":
        taken: socket.socket = writer.get_extra_info("socket")
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_ONCE)
        writer.transport.abort()


def _length(head: bytes) -> int:
    lines = head.decode("latin-1").lower().split("\r\n")
    return next((int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")), 0)
