"""What the daemon plans once, often while tables are empty, finds rows by their keys however large these have grown."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from vochi_integrations.db import PLANNED_ONCE, migrate, prepare, queries

GROW_CALLS = """
    INSERT INTO open_calls (enterprise_number, unique_id, close_at)
    SELECT '0367', n::text, now() FROM generate_series(1, $1::int) AS n
"""
GROW_DELIVERIES = """
    INSERT INTO integration_deliveries (enterprise_number, integration_type, call_external_id, kind, dedupe_key, class,
        payload, status, attempts, event_at)
    SELECT '0367', 'retailcrm', n::text, 'popup', '', 'realtime', '{}', 'sending', 0, now()
    FROM generate_series(1, $1::int) AS n
"""
KEYS = {"append": "open_calls_pkey", "settle": "integration_deliveries_pkey"}
NOTHING = {"append": "'{}', 'me', 30", "settle": "'me', '[]'"}
TYPES = {"append": "jsonb, text, float8", "settle": "text, jsonb"}


@pytest.fixture
async def sql(empty: str) -> AsyncIterator[asyncpg.Connection]:
    await migrate(empty)
    connection = await asyncpg.connect(empty, server_settings=PLANNED_ONCE)
    await prepare(connection)
    yield connection
    await connection.close()


@pytest.mark.parametrize("rows", [0, 2, 30, 3_000])
@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("known", [True, False], ids=["analyzed", "never analyzed"])
async def test_rows_are_found_by_their_key(sql: asyncpg.Connection, rows: int, name: str, *, known: bool) -> None:
    await sql.execute(GROW_CALLS, rows)
    await sql.execute(GROW_DELIVERIES, rows)
    await sql.execute("UPDATE integration_deliveries SET status = 'done' WHERE id % 10 > 0")
    if known:
        await sql.execute("ANALYZE")
    await sql.execute(f"PREPARE planned ({TYPES[name]}) AS {queries()[name]}")
    plan = [row[0].strip() for row in await sql.fetch(f"EXPLAIN EXECUTE planned ({NOTHING[name]})")]
    found = next(number for number, line in enumerate(plan) if f"on {KEYS[name]} " in line)
    assert plan[found + 1].startswith("Index Cond: "), plan
    assert not any("Seq Scan" in line or "Hash" in line or "Merge" in line for line in plan), plan
