"""The listener of docs/asterisk loses nothing, keeps the order, and tells old news as such."""

import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.asterisk.office import LINE, Listener, Office
from tests.asterisk.private import PrivateAsterisk
from tests.kinds import C
from tests.lab import TOKEN, eventually, until
from tests.tools import free_port


class Receiver:
    """A daemon that keeps what it is posted, refuses or is away as a test likes."""

    def __init__(self) -> None:
        self.port = free_port()
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[tuple[str, str]] = []
        self.connections: set[object] = set()
        self.status = 200
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/{kind}", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.json()
        kind = request.match_info["kind"]
        assert body.pop("Token") == request.headers["Token"] == TOKEN
        self.asked.append((kind, body["UniqueId"]))
        assert request.transport is not None
        self.connections.add(request.transport.get_extra_info("peername"))
        if self.status == 200:
            self.got.append((kind, body))
        return web.Response(status=self.status)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    opened = Receiver()
    await opened.start()
    try:
        yield opened
    finally:
        await opened.stop()


@pytest.fixture
async def pair(asterisk: PrivateAsterisk) -> AsyncIterator[tuple[PrivateAsterisk, Receiver, Listener]]:
    async with receiver() as opened:
        listener = Listener(asterisk, opened.url)
        await listener.start()
        try:
            yield asterisk, opened, listener
        finally:
            listener.stop()


Pair = tuple[PrivateAsterisk, Receiver, Listener]


async def one_call(asterisk: PrivateAsterisk) -> None:
    """A customer is talked to, and hangs up."""
    line, phone = asterisk.lines[LINE], asterisk.phones["151"]
    call = line.call(LINE, as_number=C)
    await until(lambda: phone.ringing)
    phone.answer()
    await until(lambda: call.state == "talking")
    line.hang_up(call)
    await asterisk.quiet()


def is_whole(got: list[tuple[str, dict[str, Any]]], calls: int = 1) -> None:
    """Check that calls came whole and in their order."""
    kinds = [kind for kind, _ in got]
    assert [kinds.count(kind) for kind in ("start", "dial", "bridge", "hangup")] == [calls, calls, 2 * calls, calls]
    for unique_id in {body["UniqueId"] for kind, body in got if kind == "start"}:
        own = [kind for kind, body in got if body["UniqueId"] == unique_id]
        assert own == ["start", "dial", "bridge", "bridge_leave", "hangup"]


async def test_a_call_comes_as_the_hosts_send_it_over_one_connection(pair: Pair) -> None:
    asterisk, taken, _ = pair
    await one_call(asterisk)
    await eventually(lambda: is_whole(taken.got))
    assert len(taken.connections) == 1
    bodies = {kind: body for kind, body in taken.got if kind in ("start", "dial", "hangup")}
    unique_id = bodies["start"]["UniqueId"]
    common = {"UniqueId": unique_id, "Phone": C, "CallType": 0, "Trunk": LINE}
    assert bodies["start"] == common
    assert bodies["dial"] == common | {"Extensions": ["150", "151", "152"], "ExtTrunk": "", "ExtPhone": C}
    times = {name: bodies["hangup"].pop(name) for name in ("StartTime", "EndTime", "DateReceived")}
    assert bodies["hangup"] == common | {"Extensions": ["151"], "CallStatus": "2"}
    began = time.mktime(time.strptime(times["StartTime"], "%Y-%m-%d %H:%M:%S"))
    assert abs(began - float(unique_id)) < 2
    bridge = next(body for kind, body in taken.got if kind == "bridge" and body["UniqueId"] == unique_id)
    assert (bridge["CallerIDNum"], bridge["ConnectedLineNum"]) == (C, "151")


async def test_what_happens_while_the_daemon_is_away_comes_later_and_in_order(pair: Pair) -> None:
    asterisk, taken, _ = pair
    await taken.stop()
    await one_call(asterisk)
    await one_call(asterisk)
    assert not taken.got
    await taken.start()
    await eventually(lambda: is_whole(taken.got, 2), 15)


@pytest.mark.parametrize("status", [503, 500, 401, 429])
async def test_an_event_that_is_refused_for_now_is_sent_again_before_the_next(pair: Pair, status: int) -> None:
    asterisk, taken, _ = pair
    taken.status = status
    await one_call(asterisk)
    await until(lambda: len(taken.asked) > 2)
    assert len(set(taken.asked)) == 1
    taken.status = 200
    await eventually(lambda: is_whole(taken.got), 15)


async def test_an_event_that_can_never_be_taken_does_not_hold_the_others_up(pair: Pair) -> None:
    asterisk, taken, _ = pair
    taken.status = 400
    await one_call(asterisk)
    await until(lambda: "hangup" in [kind for kind, _ in taken.asked])
    taken.status = 200
    await one_call(asterisk)
    await eventually(lambda: is_whole(taken.got))


async def test_a_killed_listener_goes_on_where_it_was(pair: Pair) -> None:
    asterisk, taken, listener = pair
    await taken.stop()
    await one_call(asterisk)
    await until(lambda: len(queued(asterisk)) == 8)
    listener.stop()
    await taken.start()
    await listener.start()
    await eventually(lambda: is_whole(taken.got))


async def test_an_asterisk_that_is_started_again_is_listened_to_again(pair: Pair) -> None:
    asterisk, taken, listener = pair
    await asterisk.restart()
    await until(lambda: listener.log.count("AMI connected") == 2, 20)
    await one_call(asterisk)
    await eventually(lambda: is_whole(taken.got))


async def test_of_an_old_call_only_its_end_is_told_as_a_recovered_one(pair: Pair) -> None:
    asterisk, taken, listener = pair
    listener.stop()
    with closing(sqlite3.connect(asterisk.root / "queue.sqlite")) as queue:
        for kind in ("dial", "bridge", "hangup"):
            row = (time.time() - 60, kind, json.dumps({"UniqueId": "1757840400.6"}))
            queue.execute("INSERT INTO events (at, kind, body) VALUES (?, ?, ?)", row)
        queue.commit()
    await listener.start()
    await until(lambda: taken.got)
    assert taken.got == [("download", {"UniqueId": "1757840400.6"})]
    await eventually(lambda: _equal(queued(asterisk), []))


async def test_a_record_comes_even_when_the_daemon_was_away_for_the_whole_call(company: Office) -> None:
    """End to end: the real daemon gets the call's events after it has ended, and still writes one true record."""
    company.listener.stop()
    slow = Listener(company.asterisk, "http://127.0.0.1:1")
    await slow.start()
    await company.ring_group("151")
    company.line.hang_up()
    await until(lambda: len(queued(company.asterisk)) == 8)
    slow.stop()
    company.listener.point_to(company.daemon.public)
    await company.listener.start()
    await company.recorded(type="in", phone=C, result="answered", code="151")


def queued(asterisk: PrivateAsterisk) -> list[Path]:
    with closing(sqlite3.connect(asterisk.root / "queue.sqlite")) as queue:
        return queue.execute("SELECT kind FROM events").fetchall()


def _equal(left: object, right: object) -> None:
    assert left == right
