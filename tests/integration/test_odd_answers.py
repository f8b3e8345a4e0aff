"""CRMs whose answers are large, deep or cannot be written, and a spool that has what nobody can read."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
from aiohttp import web

from tests.integration.test_call_path import fresh_id, post
from tests.kinds import dial, hangup
from tests.lab import NUMBER, Lab, eventually, until
from vochi_integrations.outbox import WRITE_TIMEOUT
from vochi_integrations.serve import listening
from vochi_integrations.spool import FILE, EntryKind, opened

LARGE = b'{"success":true,"x":"' + b"a" * 900_000 + b'"}'
DEEP = b'{"success":true,"x":' + b"[" * 600 + b"]" * 600 + b"}"


@asynccontextmanager
async def crm_saying(body: bytes) -> AsyncIterator[str]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    async with listening(app, "127.0.0.1", 0, "odd", 0.5) as port:
        yield f"http://127.0.0.1:{port}"


async def done(lab: Lab, expected: int) -> None:
    assert len(await lab.deliveries(status="done")) == expected


async def logged(lab: Lab, expected: int) -> None:
    assert await lab.sql.fetchval("SELECT count(*) FROM integration_logs") == expected


@pytest.mark.parametrize("body", [LARGE, DEEP], ids=["large", "deep"])
async def test_whatever_a_crm_says_its_records_are_done_and_little_of_it_is_kept(lab: Lab, body: bytes) -> None:
    async with crm_saying(body) as url:
        await lab.add_company(domain=url)
        await lab.sql.execute(
            """INSERT INTO integration_deliveries(enterprise_number, integration_type, call_external_id, kind,
                   dedupe_key, class, payload, status, event_at, deadline_at)
               SELECT $1, 'retailcrm', 'x' || g, 'record', 'r', 'history', jsonb_build_object('externalId', 'x' || g),
                   'pending', now(), now() + interval '1 day' FROM generate_series(1, 50) g""",
            NUMBER,
        )
        async with lab.daemon() as daemon:
            await eventually(lambda: done(lab, 50), 8)
            await eventually(lambda: logged(lab, 50))
            assert (await daemon.get("/stats"))[1]["spooled"] == 0
    rows = await lab.sql.fetch("SELECT response_data AS response FROM integration_logs")
    assert len(rows) == 50
    assert max(len(orjson.dumps(row["response"])) for row in rows) < 4_000


async def test_an_answer_that_cannot_be_written_costs_only_itself(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(answer: object) -> object:
        return answer if answer is None else object()

    monkeypatch.setattr("vochi_integrations.outbox.kept", broken)
    await lab.add_company()
    async with lab.daemon() as daemon:
        await post(daemon, fresh_id(), dial(0, ["151"]), hangup(9, ["151"], "2"))
        await eventually(lambda: done(lab, 3))
        await eventually(lambda: logged(lab, 3))
    assert {row["response"] for row in await lab.deliveries()} == {None}


@pytest.mark.parametrize(
    ("kind", "data", "table"),
    [
        ("flush", b'{"events":[],"opened":[],"closed":[],"deliveries":[]}', "call_events"),
        ("settle", b"[]", "integration_deliveries"),
        ("logs", b"[]", "integration_logs"),
    ],
)
async def test_a_replay_may_take_longer_than_anybody_waits_for(
    lab: Lab, kind: EntryKind, data: bytes, table: str
) -> None:
    await spooled(lab, kind, data)
    await lab.sql.execute(
        f"""CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_sleep({WRITE_TIMEOUT + 0.3}); RETURN NULL; END $$;
            CREATE TRIGGER slow AFTER INSERT OR UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION slow()"""
    )
    try:
        async with lab.daemon() as daemon:
            assert (await daemon.get("/stats"))[1]["spooled"] == 0
    finally:
        await lab.sql.execute("DROP FUNCTION slow CASCADE")


async def spooled(lab: Lab, kind: EntryKind, data: bytes) -> None:
    folder = lab.folder / "state"
    folder.mkdir()
    async with opened(folder, 1) as spool:
        await spool.put(kind, data)


@pytest.mark.parametrize("kind", ["flush", "settle", "logs"])
@pytest.mark.parametrize("data", [b"no JSON", b"[1]", b'{"events": 1}'])
async def test_an_entry_that_cannot_be_read_is_set_aside_and_the_daemon_starts(
    lab: Lab, kind: EntryKind, data: bytes
) -> None:
    await spooled(lab, kind, data)
    await lab.add_company()
    async with asyncio.timeout(8), lab.daemon() as daemon:
        await post(daemon, fresh_id(), dial(0, ["151"]))
        await until(lambda: lab.popups)
    rows = sqlite3.connect(lab.folder / "state" / FILE).execute("SELECT kind, data FROM refused").fetchall()
    assert rows == [(kind, data)]
