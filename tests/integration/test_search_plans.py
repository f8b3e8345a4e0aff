"""Searches over a filled table go by index, whatever PostgreSQL knows of their parameters."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from bench.archive import TENANTS, Known, fill, sample
from vochi_integrations.db import migrate, prepare, queries
from vochi_integrations.ops.search import EVER
from vochi_integrations.ops.timeline import REQUESTS

EVENTS = 120_000
CALLS = 20
EXPECTED = {
    "recent_calls": "call_events_begun",
    "calls_by_id": "call_events_stream",
    "phone_tails": "call_events_phone",
    "calls_by_phones": "call_events_phone",
    "live_calls_by_phone": "call_events_stream",
    "extension_lists": "call_events_extensions",
    "calls_by_extensions": "call_events_extensions",
    "calls_lately": "call_events_stream",
    "clicks_without_call": "click_calls_",
    "events_of_calls": "call_events_stream",
    "deliveries_of_calls": "integration_deliveries_enterprise_number_integration_type_c_key",
    "attempts_of_call": "integration_logs_call",
    "recent_starts": "call_events_begun",
    "requests_over_time": "integration_logs_time",
    "deliveries_over_time": "integration_deliveries_enterprise_number_integration_type_c_key",
    "latest_requests": "integration_logs_time",
    "popup_times": "integration_logs_time",
    "unmapped_extensions": "integration_deliveries_unmapped",
    "calls_begun": "call_events_begun",
    "heard_of_pbx": "call_events_begun",
}

CLICKS = """
    INSERT INTO click_calls (enterprise_number, source, code, phone, guarding, clicked_at, state, call_unique_id)
    SELECT number, 'retailcrm', first_ext::text, phone, false, to_timestamp(began_at), 'answered',
           CASE WHEN call % 25 > 0 THEN unique_id END
    FROM archive
"""
"""One in 25 led to no call."""

LIVE = """
    INSERT INTO open_calls (enterprise_number, unique_id, close_at)
    SELECT number, unique_id, now()
    FROM (SELECT *, row_number() OVER (PARTITION BY number ORDER BY call DESC) AS place FROM archive WHERE NOT is_out) c
    WHERE place <= 20
"""


@pytest.fixture
async def archive(server: str) -> AsyncIterator[asyncpg.Connection]:
    """A database of its own with an archive in it."""
    admin = await asyncpg.connect(server)
    await admin.execute("DROP DATABASE IF EXISTS vochi_archive WITH (FORCE)")
    await admin.execute("CREATE DATABASE vochi_archive")
    dsn = server.replace("/postgres?", "/vochi_archive?", 1)
    await migrate(dsn)
    connection = await asyncpg.connect(dsn, statement_cache_size=0)
    await prepare(connection)
    await fill(connection, EVENTS, TENANTS)
    await connection.execute(CLICKS)
    await connection.execute(LIVE)
    await connection.execute("VACUUM (ANALYZE) click_calls, open_calls")
    yield connection
    await connection.close()
    await admin.execute("DROP DATABASE vochi_archive WITH (FORCE)")
    await admin.close()


def arguments(name: str, call: Known) -> tuple[Any, ...]:
    """What the trace asks a query with."""
    window = (0.0, EVER, CALLS)
    return {
        "recent_calls": (call.number, *window),
        "calls_by_id": (call.number, call.unique_id, *window),
        "phone_tails": (call.number, call.phone[-4:][::-1], 1_001),
        "calls_by_phones": (call.number, [call.phone[-9:][::-1]], *window),
        "live_calls_by_phone": (call.number, "", *window),
        "extension_lists": (call.number, 2_001),
        "calls_by_extensions": (call.number, [f"  {call.extension}  "], *window),
        "calls_lately": (call.number, *window, 200, "", call.extension),
        "clicks_without_call": (call.number, *window, "", call.extension),
        "events_of_calls": (call.number, [call.unique_id], 5_000),
        "deliveries_of_calls": (call.number, [call.unique_id], ["retailcrm"], 1_000),
        "attempts_of_call": (call.number, call.unique_id, 1_000),
        "recent_starts": (call.number, 100, EVER),
        "requests_over_time": (call.number, 1_800.0, 86_400.0, ["retailcrm"], list(REQUESTS)),
        "deliveries_over_time": (call.number, 1_800.0, 604_800.0, ["retailcrm"]),
        "latest_requests": (call.number, 86_400.0, ["retailcrm"], list(REQUESTS)),
        "popup_times": (call.number, 604_800.0, 500),
        "unmapped_extensions": (call.number, 604_800.0, 20),
        "calls_begun": (call.number, 604_800.0),
        "heard_of_pbx": (call.number,),
    }[name]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


async def test_every_search_goes_by_its_index(archive: asyncpg.Connection) -> None:
    """With plans for the values and with plans for any values, for the busiest company and for a quiet one."""
    (busy,), (quiet,) = await sample(archive, 1, "1000"), await sample(archive, 1, "1042")
    for mode in ("force_custom_plan", "force_generic_plan"):
        await archive.execute(f"SET plan_cache_mode = {mode}")
        for name, index in EXPECTED.items():
            for call in (busy, quiet):
                assert await archive.fetch(queries()[name], *arguments(name, call)) or call is quiet, name
                found = list(nodes((await explain(archive, name, call))["Plan"]))
                used = {node["Index Name"] for node in found if "Index Name" in node}
                scanned = {node["Relation Name"] for node in found if node["Node Type"] == "Seq Scan"}
                assert not scanned, (name, mode, scanned)
                assert any(name_used.startswith(index) for name_used in used), (name, mode, used)
                read = max(node.get("Actual Rows", 0) * node.get("Actual Loops", 1) for node in found)
                assert read < EVENTS / 20, (name, mode, read)


async def explain(archive: asyncpg.Connection, name: str, call: Known) -> dict[str, Any]:
    """Run a query as a prepared one and return its plan with what each part of it read."""
    types = [parameter.name for parameter in (await archive.prepare(queries()[name])).get_parameters()]
    await archive.execute("DEALLOCATE ALL")
    await archive.execute(f"PREPARE asked ({', '.join(types)}) AS {queries()[name]}")
    values = ", ".join(literal(value) for value in arguments(name, call))
    plan: dict[str, Any] = json.loads(
        await archive.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked ({values})")
    )[0]
    return plan


def literal(value: object) -> str:
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(literal, value))}]"
    return str(value) if isinstance(value, int) else f"'{value}'"
