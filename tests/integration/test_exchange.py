"""Requests on kept connections, against a server that writes its answers byte by byte."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest

from vochi_integrations.app import client_session
from vochi_integrations.exchange import BODY_LIMIT, Exchanger
from vochi_integrations.settings import Crm

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\nok"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * (BODY_LIMIT + 100_000)
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
NO_HTTP = b"SSH-2.0-OpenSSH_9.9\r\n\r\n"


class Server:
    """Answers each request with the next of `answers`, and closes after one that is not whole."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0
        self.origin = ""
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        while head := await self._head(reader):
            self.requests.append(head)
            answer = self.answers.pop(0)
            writer.write(answer)
            if answer in {CLOSING, HALF, NO_HTTP}:
                break
        writer.close()

    @staticmethod
    async def _head(reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        return head + (await reader.readexactly(5) if b"Content-Length: 5" in head else b"")


@asynccontextmanager
async def serving(*answers: bytes, seconds: float = 5.0) -> AsyncIterator[tuple[Server, Exchanger]]:
    found = Server(*answers)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with client_session(Crm(allow_insecure_urls=True)) as session:
        yield found, Exchanger(session, seconds)
    server.close()
    for writer in found.writers:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_request_is_written_once_and_whole_and_its_connection_kept() -> None:
    async with serving(OK, CHUNKED) as (server, exchanger):
        first = await exchanger.request("POST", server.origin, "/a?b=%20c", {"X-API-KEY": "k"}, b"e=%7B")
        second = await exchanger.request("GET", server.origin, "/", {})
    assert (first.status, first.body, first.headers["retry-after"]) == (200, b"ok", "7")
    assert (second.status, second.body) == (200, b"ok")
    assert server.connections == 1
    lines = server.requests[0].split(b"\r\n")
    host = server.origin.removeprefix("http://").encode()
    assert lines[0] == b"POST /a?b=%20c HTTP/1.1"
    assert {b"Host: " + host, b"X-API-KEY: k", b"Content-Length: 5"} < set(lines)
    assert b"Content-Length" not in server.requests[1]


async def test_a_connection_that_closes_is_not_used_again() -> None:
    async with serving(CLOSING, OK) as (server, exchanger):
        for _ in range(2):
            assert (await exchanger.request("GET", server.origin, "/", {})).body == b"ok"
    assert server.connections == 2


async def test_early_hints_are_not_the_answer_and_redirects_are_not_followed() -> None:
    async with serving(EARLY + OK, MOVED) as (server, exchanger):
        assert (await exchanger.request("GET", server.origin, "/", {})).status == 200
        assert (await exchanger.request("GET", server.origin, "/", {})).status == 302


async def test_an_endless_body_is_left_and_so_is_its_connection() -> None:
    async with serving(ENDLESS, OK) as (server, exchanger):
        assert len((await exchanger.request("GET", server.origin, "/", {})).body) > BODY_LIMIT
        assert (await exchanger.request("GET", server.origin, "/", {})).body == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize("answer", [HALF, NO_HTTP])
async def test_half_an_answer_and_none_at_all_are_client_errors(answer: bytes) -> None:
    async with serving(answer, OK) as (server, exchanger):
        with pytest.raises(aiohttp.ClientError):
            await exchanger.request("GET", server.origin, "/", {})
        assert (await exchanger.request("GET", server.origin, "/", {})).body == b"ok"


async def test_silence_ends_in_time() -> None:
    async with serving(b"", seconds=0.2) as (server, exchanger):
        with pytest.raises(TimeoutError):
            await exchanger.request("GET", server.origin, "/", {})


@pytest.mark.parametrize("key", ["k\r\nX-Other: 1", "k\nX-Other: 1", "k\r", "k\0"])
async def test_a_key_cannot_write_a_header_of_its_own(key: str) -> None:
    async with serving(OK) as (server, exchanger):
        with pytest.raises(ValueError, match="line break"):
            await exchanger.request("GET", server.origin, "/", {"X-API-KEY": key})
    assert server.connections == 0
