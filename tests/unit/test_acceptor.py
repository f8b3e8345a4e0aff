"""Connections of a real socket: none is left behind, whenever it comes."""

import asyncio
import errno
import socket
from typing import Any

import pytest

from tests.lab import until
from vochi_integrations import acceptor
from vochi_integrations.acceptor import Acceptor


class Line(asyncio.Protocol):
    """Counts who is connected."""

    made = 0

    def connection_made(self, transport: Any) -> None:
        Line.made += 1
        transport.write(b"1")
        transport.close()


class Bound(socket.socket):
    """A listening socket; `full` while the system has no room for connections."""

    full = False

    def accept(self) -> Any:
        if self.full:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


@pytest.fixture
def bound() -> Bound:
    Line.made = 0
    made = Bound()
    made.bind(("127.0.0.1", 0))
    made.listen(1_000)
    return made


def connect(bound: socket.socket) -> socket.socket:
    client = socket.create_connection(bound.getsockname())
    client.setblocking(False)
    return client


async def heard(client: socket.socket) -> bytes:
    with client:
        async with asyncio.timeout(5):
            return await asyncio.get_running_loop().sock_recv(client, 1)


async def test_all_that_wait_are_taken_in_one_turn(bound: Bound) -> None:
    clients = [connect(bound) for _ in range(100)]
    taking = Acceptor(bound, Line)
    for _ in range(5):
        await asyncio.sleep(0)
    assert Line.made == len(clients)
    assert set(await asyncio.gather(*map(heard, clients))) == {b"1"}
    await taking.close()


@pytest.mark.parametrize("turns", range(6))
async def test_one_that_is_taken_in_the_last_moment_is_no_orphan(bound: Bound, turns: int) -> None:
    taking = Acceptor(bound, Line)
    client = connect(bound)
    for _ in range(turns):
        await asyncio.sleep(0)
    await taking.close()
    try:
        assert await heard(client) == b"1"
    except ConnectionResetError:
        assert Line.made == 0


async def test_while_there_is_no_room_connections_wait(bound: Bound, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "PAUSE_SECONDS", 0.01)
    bound.full = True
    taking = Acceptor(bound, Line)
    client = connect(bound)
    await asyncio.sleep(0.05)
    assert Line.made == 0
    bound.full = False
    await until(lambda: Line.made)
    assert await heard(client) == b"1"
    await taking.close()


async def test_it_closes_while_there_is_no_room(bound: Bound) -> None:
    bound.full = True
    taking = Acceptor(bound, Line)
    connect(bound).close()
    await asyncio.sleep(0.01)
    await taking.close()
