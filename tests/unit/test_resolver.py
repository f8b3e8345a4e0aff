"""Name servers that hang hold up their own names only, and not the end of the process."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.lab import eventually
from vochi_integrations import resolver
from vochi_integrations.app import client_session
from vochi_integrations.resolver import PatientResolver
from vochi_integrations.settings import Crm

DEAD = 40  # more than the threads of any default executor
ENDS_WHILE_A_LOOKUP_HANGS = """
import asyncio, socket, time
from vochi_integrations.resolver import PatientResolver
socket.getaddrinfo = lambda *_, **__: time.sleep(60)
async def main():
    dns = PatientResolver(0.1)
    try:
        await dns.resolve("dead.example")
    except OSError:
        await dns.close()
        print("ended")
asyncio.run(main())
"""


class NameServers:
    """Look-ups of names that begin with `dead` hang until `answers` is set, then fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.answers = Event()
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: Any, *args: Any, **options: Any) -> Any:
        self.asked.append(host)
        if str(host).startswith("dead"):
            self.answers.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._real("127.0.0.1", *args, **options)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServers]:
    found = NameServers(monkeypatch)
    yield found
    found.answers.set()


async def test_names_that_hang_do_not_hold_up_a_request_to_another(servers: NameServers) -> None:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    async with TestServer(app) as server, client_session(Crm(allow_insecure_urls=True)) as session:
        dead = [asyncio.create_task(session.get(f"http://dead{number}.example/")) for number in range(DEAD)]
        await eventually(lambda: hung(servers, DEAD))
        async with asyncio.timeout(2), session.get(f"http://crm.example:{server.port}/") as response:
            assert await response.text() == "hello"
        servers.answers.set()
        await asyncio.gather(*dead, return_exceptions=True)


async def hung(servers: NameServers, count: int) -> None:
    assert len([host for host in servers.asked if host.startswith("dead")]) == count


async def test_who_waits_for_a_name_that_hangs_is_told_in_time_and_shares_one_lookup(servers: NameServers) -> None:
    dns = PatientResolver(0.1)
    for _ in range(3):
        said = await asyncio.gather(*(dns.resolve("dead.example", port) for port in (80, 443)), return_exceptions=True)
        assert [str(error) for error in said] == [f"[Errno {socket.EAI_AGAIN}] {resolver.NO_ANSWER}"] * 2
    assert servers.asked == ["dead.example"]
    await dns.close()


async def test_a_failure_is_kept_for_a_moment_and_then_asked_anew(
    servers: NameServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "FAILURE_KEPT_SECONDS", 0.2)
    servers.answers.set()
    dns = PatientResolver(5)
    for _ in range(3):
        with pytest.raises(socket.gaierror, match="Temporary failure"):
            await dns.resolve("dead.example")
    assert servers.asked == ["dead.example"]

    async def asked_anew() -> None:
        with pytest.raises(socket.gaierror):
            await dns.resolve("dead.example")
        assert len(servers.asked) == 2

    await eventually(asked_anew)


async def test_no_more_threads_hang_than_there_are(servers: NameServers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "LOOKUPS", 2)
    dns = PatientResolver(0.1)
    await asyncio.gather(*(dns.resolve(f"dead{number}.example") for number in range(4)), return_exceptions=True)
    assert len(servers.asked) == 2
    servers.answers.set()
    await eventually(lambda: hung(servers, 4))
    await dns.close()


async def test_an_answer_has_the_port_that_was_asked_for(servers: NameServers) -> None:
    dns = PatientResolver(5)
    (found,) = await dns.resolve("crm.example", 443)
    assert (found["hostname"], found["host"], found["port"]) == ("crm.example", "127.0.0.1", 443)
    assert servers.asked == ["crm.example"]


def test_the_process_ends_while_a_lookup_hangs() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ENDS_WHILE_A_LOOKUP_HANGS], capture_output=True, text=True, timeout=20, check=True
    )
    assert (ended.stdout, ended.stderr) == ("ended\n", "")
