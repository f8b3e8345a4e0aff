"""The one answer every host gets, written as it is: building it anew took an eighth of what an event costs."""

import time
from email.utils import formatdate

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

OK = b'{"status":"ok"}'
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nServer: vochi-integrations\r\nDate: %b"
)


class Acknowledgement(web.StreamResponse):
    """`{"status":"ok"}` on a connection that stays open; one object serves every request."""

    def __init__(self) -> None:
        super().__init__()
        self._keep_alive = True
        self._second = 0
        self._whole = b""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if request.transport is not None:
            request.transport.write(self._written())
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""

    def _written(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            date = formatdate(second, usegmt=True).encode()
            self._second, self._whole = second, HEAD % (len(OK), date) + b"\r\n\r\n" + OK
        return self._whole


READY = Acknowledgement()


def acknowledged(request: web.BaseRequest) -> web.StreamResponse:
    """Return the answer; HTTP/1.0 and connections that close take aiohttp's own way."""
    if request.keep_alive and request.version == HttpVersion11:
        return READY
    return web.Response(body=OK, content_type="application/json")
