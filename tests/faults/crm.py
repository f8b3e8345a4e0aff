"""A small strict CRM for one tenant, on a port of its own, which breaks in every way a CRM can."""

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs

import orjson
from msgspec import Struct

from tests.faults.ledger import Arrival, Ledger, What

BATCH_LIMIT = 50
FLAP_SECONDS = 1.0
DRIP_SECONDS = 0.1
RESET_AT_ONCE = struct.pack("ii", 1, 0)
SUCCESS = b'{"success":true}'
PAGE = b"<html><head><title>503 Service Temporarily Unavailable</title></head><body>nginx</body></html>"
EVENT, UPLOAD = "/api/v5/telephony/call/event", "/api/v5/telephony/calls/upload"


class Fault(StrEnum):
    """How a CRM is broken. Of the last two, a batch with a bad record is refused whole."""

    REFUSE = "refuse"
    HANG = "hang"
    RESET = "reset"
    ERROR_500 = "500"
    HTML_503 = "503 with HTML"
    RETRY_503 = "503 with Retry-After"
    RETRY_429 = "429 with Retry-After"
    DRIP = "drip"
    BROKEN_JSON = "broken JSON"
    WRONG_KEY = "wrong key"
    FLAP = "flap"
    BAD_RECORD_400 = "400 for a bad record"
    BAD_RECORD_460 = "460 for a bad record"


class Request(Struct):
    at: float
    path: str
    headers: dict[str, str]
    body: bytes


class Answer(Struct):
    status: int
    body: bytes
    content_type: str = "application/json"
    retry_after: int | None = None

    @property
    def wire(self) -> bytes:
        retry = f"Retry-After: {self.retry_after}\r\n" if self.retry_after is not None else ""
        head = (
            f"HTTP/1.1 {self.status} Status\r\nContent-Type: {self.content_type}\r\n{retry}"
            f"Content-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


def refusal(status: int, message: str) -> Answer:
    return Answer(status, orjson.dumps({"success": False, "errorMsg": message}))


INSTEAD = {
    Fault.ERROR_500: refusal(500, "Internal Server Error"),
    Fault.HTML_503: Answer(503, PAGE, "text/html"),
    Fault.RETRY_503: Answer(503, PAGE, "text/html", retry_after=1),
    Fault.RETRY_429: Answer(429, orjson.dumps({"success": False}), retry_after=1),
    Fault.BROKEN_JSON: Answer(200, SUCCESS[:-1]),
    Fault.WRONG_KEY: refusal(403, 'Wrong "apiKey" value.'),
}
BAD_STATUS = {Fault.BAD_RECORD_400: 400, Fault.BAD_RECORD_460: 460}


class FakeCrm:
    """One tenant's CRM.

    `bad` are the calls whose record is refused, `requests` the arrival times of all requests, `tls_twin` is the same
    account at an https address nobody should trust.
    """

    def __init__(self, ledger: Ledger, api_key: str, tls: ssl.SSLContext | None = None) -> None:
        self.api_key = api_key
        self.port = 0
        self.fault: Fault | None = None
        self.delay = 0.0
        self.bad: set[str] = set()
        self.tls_twin: FakeCrm | None = None
        self.requests: list[float] = []
        self._broken_since = 0.0
        self._ledger = ledger
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._mended = asyncio.Event()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._tls, reuse_address=True, backlog=512
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse connections, and reset those that are open."""
        self._mended.set()
        if self.tls_twin is not None:
            await self.tls_twin.close()
        if self._server is not None:
            self._server.close()
        for writer in list(self._connections):
            cut(writer)
        if self._handlers:
            await asyncio.wait(self._handlers, timeout=2)

    async def break_(self, fault: Fault) -> None:
        self.fault = fault
        self._broken_since = time.monotonic()
        self._mended.clear()
        if fault is Fault.REFUSE:
            await self.close()

    async def mend(self) -> None:
        was, self.fault = self.fault, None
        self._mended.set()
        if was is Fault.REFUSE:
            await self.open()

    def requests_since(self, at: float) -> int:
        return sum(began >= at for began in self.requests)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        self._connections.add(writer)
        try:
            while (request := await read_request(reader)) is not None:
                if not await self._answer(request, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._handlers.discard(task)
            self._connections.discard(writer)
            writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Answer a request; False ends its connection."""
        self.requests.append(request.at)
        arrivals = self._read(request)
        for arrival in arrivals:
            self._ledger.add(arrival)
        fault = self._fault_now()
        if fault is Fault.HANG:
            await self._mended.wait()
            return False
        if fault is Fault.RESET:
            writer.write(Answer(200, SUCCESS).wire[:-5])
            await writer.drain()
            await asyncio.sleep(0.02)
            cut(writer)
            return False
        if fault is Fault.DRIP:
            return await self._drip(writer)
        if self.delay:
            await asyncio.sleep(self.delay)
        answer = INSTEAD.get(fault) if fault else None
        answer = answer or self._judge(request, arrivals, fault)
        writer.write(answer.wire)
        if answer.body is SUCCESS:
            for arrival in arrivals:
                arrival.taken_at = time.monotonic()
        await writer.drain()
        return True

    def _fault_now(self) -> Fault | None:
        """A flapping CRM answers 500 every other second, from the first one on."""
        if self.fault is not Fault.FLAP:
            return self.fault
        is_down = int((time.monotonic() - self._broken_since) / FLAP_SECONDS) % 2 == 0
        return Fault.ERROR_500 if is_down else None

    async def _drip(self, writer: asyncio.StreamWriter) -> bool:
        for byte in Answer(200, SUCCESS).wire:
            if self._mended.is_set():
                return False
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(DRIP_SECONDS)
        return True

    def _judge(self, request: Request, arrivals: Iterable[Arrival], fault: Fault | None) -> Answer:
        if request.headers.get("x-api-key") != self.api_key:
            return INSTEAD[Fault.WRONG_KEY]
        if any(item.what == "record" and item.call in self.bad for item in arrivals):
            return refusal(BAD_STATUS.get(fault or Fault.BAD_RECORD_400, 400), "Errors in the entity format")
        return Answer(200, SUCCESS)

    def _read(self, request: Request) -> list[Arrival]:
        try:
            return read_arrivals(request)
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            self._ledger.broken.append(f"{request.path} {request.body!r}: {error!r}")
            return []


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read one request; None when the connection ends between two."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    at = time.monotonic()
    line, *rest = head.decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (item.partition(":") for item in rest)}
    body = await reader.readexactly(int(headers["content-length"]))
    return Request(at, line.split()[1], headers, body)


def read_arrivals(request: Request) -> list[Arrival]:
    """Read a request as strictly as the API's documentation has it."""
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    ((name, (text,)),) = parse_qs(request.body.decode(), strict_parsing=True).items()
    value: Any = orjson.loads(text)
    if request.path == EVENT:
        assert name == "event"
        what: What = "over" if value["type"] == "hangup" else "popup"
        return [Arrival(call=value["callExternalId"], what=what, at=request.at, payload=value)]
    assert (request.path, name) == (UPLOAD, "calls")
    assert 1 <= len(value) <= BATCH_LIMIT
    return [Arrival(call=item["externalId"], what="record", at=request.at, payload=item) for item in value]


def cut(writer: asyncio.StreamWriter) -> None:
    """Reset a connection."""
    taken: socket.socket | None = writer.get_extra_info("socket")
    if taken is not None:
        with suppress(OSError):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_ONCE)
    writer.transport.abort()
