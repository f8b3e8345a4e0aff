"""Migrations on an empty database, on the provider's live one, and again."""

import asyncio
import json
from pathlib import Path

import asyncpg
import pytest

from tests.kinds import GROUP, dial, hangup
from tests.lab import Lab, until
from vochi_integrations.db import migrate

LIVE = Path(__file__).parent.parent / "samples" / "live_database.sql"
COLUMNS = """
    SELECT table_name || '.' || column_name AS name, is_nullable = 'YES' OR column_default IS NOT NULL AS optional
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'vochi_migrations'
"""
INDEXES = (
    "SELECT indexname, regexp_replace(indexdef, ' ON .*USING', '') AS text FROM pg_indexes WHERE schemaname = 'public'"
)


async def test_an_empty_database_gets_every_table_and_a_second_run_does_nothing(empty: str) -> None:
    first = await migrate(empty)
    assert first == sorted(first)
    assert await migrate(empty) == []
    connection = await asyncpg.connect(empty)
    optional = {row["name"]: row["optional"] for row in await connection.fetch(COLUMNS)}
    for table in ("enterprises", "users", "user_internal_phones", "call_events", "gsm_lines", "sip_unit"):
        required = {name for name, can_be_left in optional.items() if name.startswith(f"{table}.") and not can_be_left}
        assert required <= {"enterprises.number", "call_events.raw_data"}
    await connection.execute("INSERT INTO enterprises(number) VALUES ('1')")
    await connection.execute("INSERT INTO users(id, enterprise_number, is_admin) VALUES (1, '1', true)")
    await connection.execute("INSERT INTO user_sessions(session_token, user_id) VALUES ('x', 1)")
    await connection.execute("INSERT INTO sessions(session_token) VALUES ('x')")
    await connection.close()


async def test_daemons_that_start_together_migrate_once(empty: str) -> None:
    applied = await asyncio.gather(*(migrate(empty) for _ in range(4)))
    assert sorted(map(len, applied))[:3] == [0, 0, 0]


async def test_a_live_database_keeps_its_rows_and_takes_every_dial(empty: str, lab: Lab) -> None:
    live = await asyncpg.connect(empty)
    await live.execute(LIVE.read_text())
    await migrate(empty)
    assert await live.fetchval("SELECT count(*) FROM call_events") == 2
    assert "idx_call_events_unique" not in [row["indexname"] for row in await live.fetch(INDEXES)]
    await live.execute(
        "UPDATE enterprises SET integrations_config = integrations_config || jsonb_build_object('retailcrm',"
        " jsonb_build_object('enabled', true, 'domain', $1::text, 'api_key', 'test-key-0001'))",
        lab.crm_url,
    )
    async with lab.daemon(database__dsn=empty) as daemon:
        for event in (dial(0, ["150"]), dial(1, GROUP), dial(2, GROUP, 2), hangup(9, ["151"], "2")):
            await daemon.post(event[1], event[2] | {"UniqueId": "1757840400.6"})
        await until(lambda: lab.records and len(lab.popups) == 2)
    rows = await live.fetch(
        "SELECT event_type, event_sequence FROM call_events WHERE enterprise_number = '0367' ORDER BY id"
    )
    assert [tuple(row) for row in rows] == [("dial", 1), ("dial", 2), ("dial", 3), ("hangup", 4)]
    assert await live.fetchval("SELECT integrations_config->'uon' FROM enterprises") == '{"enabled": false}'
    await live.close()


async def test_an_old_unique_constraint_goes_as_well_as_an_index(empty: str) -> None:
    live = await asyncpg.connect(empty)
    await live.execute(
        LIVE.read_text().replace(
            "CREATE UNIQUE INDEX idx_call_events_unique ON call_events (unique_id, event_type)",
            "ALTER TABLE call_events ADD UNIQUE (event_type, unique_id)",
        )
    )
    await migrate(empty)
    assert {row["indexname"] for row in await live.fetch(INDEXES) if "call_events" in row["indexname"]} == {
        "call_events_pkey",
        "call_events_once",
        "call_events_stream",
        "call_events_begun",
        "call_events_phone",
        "call_events_extensions",
        "call_events_talks",
    }
    await live.close()


async def test_the_same_tables_come_of_an_empty_and_of_a_live_database(empty: str, dsn: str) -> None:
    """What the daemon reads and writes is there either way."""
    live, fresh = await asyncpg.connect(empty), await asyncpg.connect(dsn)
    await live.execute(LIVE.read_text())
    await migrate(empty)
    of_live = {row["name"] for row in await live.fetch(COLUMNS)}
    assert of_live == {row["name"] for row in await fresh.fetch(COLUMNS)}
    await live.close()
    await fresh.close()


CHANGES = [
    ("INSERT INTO enterprises(number) VALUES ('7')", [("7", None, "insert")]),
    ("UPDATE enterprises SET bot_token = 'x', scheme_count = 4", []),
    ("UPDATE enterprises SET name = name", []),
    ("UPDATE enterprises SET secret = 'new' WHERE number = '0367'", [("0367", None, "update")]),
    ("UPDATE enterprises SET integrations_config = integrations_config || '{\"uon\": 1}'", [("0367", "uon", "update")]),
    ("UPDATE enterprises SET integrations_config = '\"{}\"'", [("0367", "retailcrm", "update")]),
    ("INSERT INTO users(id, enterprise_number) VALUES (1, '0367')", [("0367", None, "insert")]),
    ("UPDATE users SET telegram_tg_id = 5, is_admin = true", []),
    ("UPDATE users SET follow_me_number = '375290000003'", [("0367", None, "update")]),
    ("UPDATE user_internal_phones SET password = 'x'", []),
    ("DELETE FROM user_internal_phones WHERE phone_number = '150'", [("0367", None, "delete")]),
    ("INSERT INTO gsm_lines(enterprise_number, line_id) VALUES ('0367', '0001363')", [("0367", None, "insert")]),
    ("INSERT INTO shops(enterprise_number, name) VALUES ('0367', 'Минск')", [("0367", None, "insert")]),
    ("INSERT INTO shop_lines VALUES (1, 1, '0367')", [("0367", None, "insert")]),
    ("INSERT INTO sip_unit(enterprise_number, line_name) VALUES ('0367', '3880000')", [("0367", None, "insert")]),
    (
        "UPDATE enterprises SET number = '0366' WHERE number = '0367'",
        [("0366", None, "update"), ("0367", None, "update")],
    ),
    ("INSERT INTO enterprises(number) SELECT 'x' || i FROM generate_series(1, 101) i", [(None, None, "insert")]),
    ("TRUNCATE sip_unit", [(None, None, "truncate")]),
    ("DELETE FROM enterprises WHERE false", []),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES, ids=[change for change, _ in CHANGES])
async def test_only_what_the_daemon_reads_is_notified(
    lab: Lab, change: str, expected: list[tuple[str | None, str | None, str]]
) -> None:
    await lab.add_company()
    if "users SET" in change:
        await lab.sql.execute("INSERT INTO users(id, enterprise_number) VALUES (1, '0367')")
    heard: list[str] = []
    await lab.sql.add_listener("integration_config_changed", lambda *args: heard.append(str(args[3])))
    await lab.sql.execute(change)
    await lab.sql.execute("SELECT 1")
    told = [json.loads(payload) for payload in heard]
    assert sorted((item["enterprise_number"] or "", item["integration_type"], item["op"]) for item in told) == [
        (number or "", integration, op) for number, integration, op in expected
    ]
