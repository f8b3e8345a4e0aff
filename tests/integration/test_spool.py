"""The spool on a real disk: order, bounds, damage."""

import sqlite3
from pathlib import Path

import pytest

from tests.integration.test_call_path import fresh_id, post
from tests.kinds import dial, hangup
from tests.lab import Lab, eventually, until
from vochi_integrations.errors import SpoolError, StartupError
from vochi_integrations.spool import FILE, Spool, opened


async def fill(spool: Spool, block: bytes) -> None:
    for _ in range(50):
        await spool.put("flush", block)


async def test_what_is_put_comes_back_in_order_also_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path, 1) as spool:
        assert not spool.in_use
        for text in (b"1", b"2", b"3"):
            await spool.put("flush", text)
        assert spool.in_use
    async with opened(tmp_path, 1) as spool:
        assert len(spool) == 3
        assert spool.filled.is_set()
        first, second, third = await spool.oldest(10)
        assert [entry.data for entry in (first, second, third)] == [b"1", b"2", b"3"]
        await spool.drop(second)
        assert [entry.data for entry in await spool.oldest(10)] == [b"3"]
        await spool.drop(third)
        assert not spool.in_use
        assert not spool.filled.is_set()


async def test_a_full_spool_says_so_and_takes_more_once_it_has_room(tmp_path: Path) -> None:
    block = b"x" * 10_000
    async with opened(tmp_path, 0.1) as spool:
        with pytest.raises(SpoolError) as refused:
            await fill(spool, block)
        assert refused.value.reason == "spool_full"
        kept = len(spool)
        assert 0 < kept < 10
        entries = await spool.oldest(100)
        assert len(entries) == kept
        await spool.drop(entries[-1])
        await spool.put("flush", block)
        assert len(spool) == 1
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 1_000_000


async def test_a_torn_end_of_its_log_loses_nothing_that_was_there_before(tmp_path: Path) -> None:
    async with opened(tmp_path, 1) as spool:
        await spool.put("flush", b"kept")
        wal = (tmp_path / f"{FILE}-wal").read_bytes()
        main = (tmp_path / FILE).read_bytes()
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / FILE).write_bytes(main)
    (copy / f"{FILE}-wal").write_bytes(wal + b"\x00torn" * 100)
    async with opened(copy, 1) as spool:
        assert [entry.data for entry in await spool.oldest(10)] == [b"kept"]


async def test_a_file_damaged_beyond_repair_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"this is no database at all" * 1000)
    async with opened(tmp_path, 1) as spool:
        assert len(spool) == 0
        await spool.put("flush", b"1")
    assert len(list(tmp_path.glob(f"{FILE}.damaged-*"))) == 1


async def test_a_place_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(StartupError, match="cannot open the spool"):
        async with opened(tmp_path, 1):
            pass


async def test_what_postgresql_refuses_is_kept_aside(tmp_path: Path) -> None:
    async with opened(tmp_path, 1) as spool:
        await spool.put("flush", b"odd")
        (entry,) = await spool.oldest(1)
        await spool.set_aside(entry)
        await spool.drop(entry)
    rows = sqlite3.connect(tmp_path / FILE).execute("SELECT kind, data FROM refused").fetchall()
    assert rows == [("flush", b"odd")]


async def test_a_flush_that_takes_too_long_is_spooled_and_neither_lost_nor_doubled(lab: Lab) -> None:
    await lab.add_company()
    call = fresh_id()
    async with lab.daemon() as daemon:
        await post(daemon, call, dial(0, ["151"]))
        await until(lambda: lab.popups)
        await lab.sql.execute(
            """CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
               BEGIN PERFORM pg_sleep(0.7); RETURN NULL; END $$;
               CREATE TRIGGER slow AFTER INSERT ON call_events FOR EACH STATEMENT EXECUTE FUNCTION slow()"""
        )
        await post(daemon, call, hangup(9, ["151"], "2"))
        await lab.sql.execute("DROP FUNCTION slow CASCADE")
        await until(lambda: lab.records)
        assert (await eventually(lambda: daemon.get("/health")))[1]["status"] in ("ok", "degraded")
    assert [item["externalId"] for item in lab.records] == [call]
    assert lab.account.totals.duplicates == 0
    assert len(lab.popups) == 1
