"""A daemon cut off from PostgreSQL for a while, alone: what it has acknowledged arrives when it is back."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.integration.test_call_path import fresh_id, post
from tests.kinds import dial, hangup, start, talk
from tests.lab import DaemonUnderTest, Lab, until
from vochi_integrations.app import Daemon
from vochi_integrations.db import HeldConnection
from vochi_integrations.serve import running
from vochi_integrations.spool import Spool

RUNG = ["151"]


@contextmanager
def cut_off(daemon: Daemon) -> Iterator[None]:
    """The journal's connections fail inside the block; the rest of the daemon, and all others, keep theirs."""
    journal = daemon.journal

    async def away(self: HeldConnection, *args: Any, **options: Any) -> Any:
        if self in (journal._connection, journal._replaying):
            raise ConnectionRefusedError("cut off")
        return await fetch(self, *args, **options)

    fetch = HeldConnection.fetch
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(HeldConnection, "fetch", away)
        yield


async def test_a_hangup_that_was_spooled_is_stored_behind_what_another_daemon_has_stored(lab: Lab) -> None:
    await lab.add_company()
    call = fresh_id()
    async with running(lab.settings("one")) as (a, *ports), running(lab.settings("two")) as (_, *others):
        one, two = DaemonUnderTest(lab.session, *ports), DaemonUnderTest(lab.session, *others)
        await post(one, call, start(0), dial(1, RUNG))
        await until(lambda: lab.popups)
        with cut_off(a):
            await post(one, call, hangup(20, RUNG, "2"))
            assert a.outbox.spool.in_use
            await post(two, call, *talk(4, 12, "151", 1)[:3])
        (record,) = await until(lambda: lab.records)
        await until(lambda: not a.outbox.spool.in_use)
    assert (record["result"], record["code"]) == ("answered", "151")
    assert await lab.sql.fetchval("SELECT max(event_sequence) FROM call_events WHERE event_type = 'hangup'") == 5
    assert not await lab.sql.fetchval("SELECT count(*) FROM open_calls")
    assert [(item["kind"], item["status"]) for item in await lab.deliveries()].count(("popup", "done")) == 1
    assert len(lab.popups) == 1
    assert lab.account.totals.duplicates == 0


async def test_after_an_event_was_refused_the_next_of_its_call_is_not_lost(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lab.add_company()
    call = fresh_id()
    async with running(lab.settings("one")) as (daemon, *ports):
        host = DaemonUnderTest(lab.session, *ports)
        await post(host, call, start(0), dial(1, RUNG))
        await until(lambda: lab.popups)
        with cut_off(daemon):
            with monkeypatch.context() as full:
                full.setattr(Spool, "_insert", refuse)
                bridge = talk(4, 12, "151", 1)[0][2] | {"Token": "375290000000", "UniqueId": call}
                assert (await host.send("POST", f"{host.public}/bridge", json=bridge))[0] == 503
            await post(host, call, hangup(20, RUNG, "2"))
        (record,) = await until(lambda: lab.records)
    assert record["result"] == "answered"
    kinds = await lab.sql.fetch("SELECT event_type FROM call_events ORDER BY event_sequence")
    assert [row["event_type"] for row in kinds] == ["start", "dial", "hangup"]
    assert len(lab.popups) == 1


async def test_a_silent_call_that_cannot_be_read_now_is_closed_later(lab: Lab) -> None:
    await lab.add_company()
    call = fresh_id()
    async with running(lab.settings("one")) as (_, *ports):
        one = DaemonUnderTest(lab.session, *ports)
        async with running(lab.settings("two", calls__orphan_close_seconds=0.5)) as (two, _, _):
            await post(one, call, start(0), dial(1, RUNG))
            await until(lambda: lab.popups)
            with cut_off(two):
                await lab.sql.execute("UPDATE open_calls SET close_at = now()")
                await until(lambda: looked_at(lab))
            (record,) = await until(lambda: lab.records)
    assert (record["externalId"], record["result"]) == (call, "no answer")


async def looked_at(lab: Lab) -> bool:
    """The closer has postponed the call, which it could not read."""
    return bool(await lab.sql.fetchval("SELECT count(*) FROM open_calls WHERE close_at > now()"))


async def test_what_is_stored_is_not_stored_again_while_the_disk_takes_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lab.add_company()
    call = fresh_id()
    async with running(lab.settings("one")) as (daemon, *ports):
        host = DaemonUnderTest(lab.session, *ports)
        monkeypatch.setattr(Spool, "_delete", refuse)
        with cut_off(daemon):
            await post(host, call, start(0), dial(1, RUNG), hangup(20, RUNG, "2"))
        await until(lambda: lab.records)
        await until(lambda: not daemon.outbox.spool.in_use)
        monkeypatch.setattr(Spool, "_insert", refuse)
        await post(host, fresh_id(7), start(0), dial(1, RUNG))
        await until(lambda: len(lab.popups) == 2)
    assert len(lab.records) == 1
    assert lab.account.totals.duplicates == 0


def refuse(*_: object) -> None:
    raise sqlite3.DatabaseError("disk I/O error")
