"""One HTTP/1.1 request on a kept connection, its head written as it is.

The connections are aiohttp's, with its TLS, its resolver and its parser; `ClientSession.request` around them was three
fifths of what a request costs (docs/performance.md).
"""

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import aiohttp
from aiohttp import hdrs
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from yarl import URL

KNOWN_PEERS = 4_096
BODY_LIMIT = 1_000_000
UNLIMITED = aiohttp.ClientTimeout(total=None)
AGENT = "vochi-integrations"


class Answered(NamedTuple):
    """What came back; of `body` no more than about `BODY_LIMIT` bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchanger:
    """Makes requests on the connections of a session, each within `seconds` from connecting to its last byte; never
    follows redirects, never decides to try again.
    """

    def __init__(self, session: aiohttp.ClientSession, seconds: float) -> None:
        self._session = session
        self._seconds = seconds
        self._peer = lru_cache(maxsize=KNOWN_PEERS)(self._new_peer)

    async def request(
        self, method: str, origin: str, target: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answered:
        """Ask `origin` (`https://host`) for `target` (`/path?query`, encoded).

        Raises TimeoutError, OSError, aiohttp.ClientError; ValueError for what cannot be sent.
        """
        peer = self._peer(origin)
        data = _written(method, target, {hdrs.HOST: peer.headers[hdrs.HOST], **headers}, body)
        async with asyncio.timeout(self._seconds):
            connection = await self._connect(peer)
            try:
                answered = await _exchanged(connection, data)
            except HttpProcessingError as error:
                connection.close()
                raise aiohttp.ClientPayloadError("the answer is not HTTP") from error
            except BaseException:
                connection.close()
                raise
            connection.release()
            return answered

    async def _connect(self, peer: aiohttp.ClientRequest) -> Connection:
        connector = self._session.connector
        if connector is None:
            raise aiohttp.ClientConnectionError("the session is closed")
        return await connector.connect(peer, traces=[], timeout=UNLIMITED)

    def _new_peer(self, origin: str) -> aiohttp.ClientRequest:
        """Return what the connector knows a server by."""
        return aiohttp.ClientRequest("GET", URL(origin), loop=asyncio.get_running_loop(), session=self._session)


def _written(method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    lines.append(f"User-Agent: {AGENT}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    text = "\r\n".join([*lines, "", ""])
    breaks = len(lines) + 1
    if text.count("\r") != breaks or text.count("\n") != breaks or "\0" in text:
        raise ValueError("neither an address nor a header can hold a line break")
    return text.encode() + (body or b"")


async def _exchanged(connection: Connection, data: bytes) -> Answered:
    """Write a request and read its answer; what comes before that (100, 103) is not it."""
    protocol = connection.protocol
    if protocol is None or protocol.transport is None:
        raise aiohttp.ServerDisconnectedError
    protocol.set_response_params(read_until_eof=True)
    protocol.transport.write(data)
    while True:
        message, payload = await protocol.read()
        if message.code >= 200:
            return Answered(message.code, message.headers, await _body(payload))


async def _body(payload: StreamReader) -> bytes:
    """Read a body; one that is too long is left where it is, and its connection is not used again."""
    if payload.is_eof():
        return payload.read_nowait()
    body = bytearray()
    async for chunk in payload.iter_any():
        body += chunk
        if len(body) > BODY_LIMIT:
            break
    return bytes(body)
