"""PostgreSQL stops, restarts, drops its connections or falls silent: events are taken all the same."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.faults.arena import PROMPT, Arena, Tenant
from tests.faults.postgres import StopMode, frozen
from tests.lab import eventually

RATE = 10.0
NOTICED_SECONDS = 3.0
HEARTBEAT = 0.5
RELOAD_SECONDS = 1.0
DISCONNECT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'vochi%'"


@asynccontextmanager
async def keeper(arena: Arena) -> AsyncIterator[asyncpg.Connection]:
    """A connection that is in already, to another database of the server."""
    connection = await asyncpg.connect(arena.postgres.dsn, database="template1")
    try:
        yield connection
    finally:
        connection.terminate()


@asynccontextmanager
async def password_rotated(arena: Arena) -> AsyncIterator[None]:
    async with keeper(arena) as sql:
        rules = Path(await sql.fetchval("SHOW hba_file"))
        before = rules.read_text(encoding="utf-8")
        try:
            rules.write_text(f"local all clerk scram-sha-256\n{before}", encoding="utf-8")
            await sql.execute(f"ALTER ROLE clerk PASSWORD 'new'; SELECT pg_reload_conf(); {DISCONNECT}")
            yield
        finally:
            rules.write_text(before, encoding="utf-8")
            await sql.execute("SELECT pg_reload_conf()")


@asynccontextmanager
async def changed(arena: Arena, broken: str, mended: str) -> AsyncIterator[None]:
    async with keeper(arena) as sql:
        try:
            await sql.execute(broken)
            yield
        finally:
            await sql.execute(mended)


def role_locked_out(arena: Arena) -> AbstractAsyncContextManager[None]:
    return changed(arena, f"ALTER ROLE clerk NOLOGIN; {DISCONNECT}", "ALTER ROLE clerk LOGIN")


def rights_lost(arena: Arena) -> AbstractAsyncContextManager[None]:
    """As after a restore by another role: everybody is let in, and every query refused."""
    return changed(arena, "ALTER ROLE clerk NOSUPERUSER", "ALTER ROLE clerk SUPERUSER")


def database_closed(arena: Arena) -> AbstractAsyncContextManager[None]:
    allow = "ALTER DATABASE postgres ALLOW_CONNECTIONS"
    return changed(arena, f"{allow} false; {DISCONNECT}", f"{allow} true")


@asynccontextmanager
async def database_renamed(arena: Arena) -> AsyncIterator[None]:
    async with keeper(arena) as sql, database_closed(arena):
        await sql.execute("ALTER DATABASE postgres RENAME TO being_restored")
        try:
            yield
        finally:
            await sql.execute("ALTER DATABASE being_restored RENAME TO postgres")


async def test_while_postgresql_is_away_events_are_taken_and_cards_pop_up(arena: Arena) -> None:
    tenants = await two_tenants(arena)
    async with arena.hosts.calling(tokens(tenants), RATE):
        await asyncio.sleep(1)
        await arena.postgres.stop("fast")
        await away(arena, tenants, seconds=10)
        await arena.postgres.start()
        await arena.healthy()
    await all_is_well(arena)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart_of_postgresql_is_not_noticed_by_the_hosts(arena: Arena, mode: StopMode) -> None:
    tenants = await two_tenants(arena)
    async with arena.hosts.calling(tokens(tenants), RATE):
        await asyncio.sleep(0.5)
        await arena.postgres.stop(mode)
        await arena.postgres.start()
        await arena.healthy()
    await all_is_well(arena)


async def test_every_connection_terminated_is_not_noticed_by_the_hosts(arena: Arena) -> None:
    tenants = await two_tenants(arena)
    async with arena.hosts.calling(tokens(tenants), RATE * 3):
        for _ in range(5):
            await asyncio.sleep(0.4)
            async with arena.sql() as sql:
                await sql.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'vochi%'"
                )
        await arena.healthy()
    await all_is_well(arena)


@pytest.mark.parametrize(
    "shut",
    [password_rotated, role_locked_out, rights_lost, database_closed, database_renamed],
    ids=lambda shut: shut.__name__,
)
async def test_while_postgresql_serves_nobody_events_are_taken_and_cards_pop_up(
    arena: Arena, shut: Callable[[Arena], AbstractAsyncContextManager[None]]
) -> None:
    tenants = [await arena.add_tenant(), await arena.add_tenant()]
    async with keeper(arena) as sql:
        await sql.execute("DROP ROLE IF EXISTS clerk; CREATE ROLE clerk LOGIN SUPERUSER")
    await arena.started(database__dsn=arena.postgres.dsn.replace("postgres@", "clerk:old@"))
    async with arena.hosts.calling(tokens(tenants), RATE):
        await asyncio.sleep(0.5)
        async with shut(arena):
            await away(arena, tenants, seconds=5)
        await arena.healthy()
    await all_is_well(arena)


async def test_a_frozen_listen_connection_is_replaced_and_changes_are_seen(arena: Arena) -> None:
    (tenant,) = [await arena.add_tenant()]
    daemon = await arena.started()
    (listener,) = await backends(arena, "vochi-integrations listen")
    with frozen([listener]):
        changed = time.monotonic()
        await arena.configure(tenant, enabled=False)

        async def seen() -> None:
            async with arena.session.get(f"{daemon.internal}/integrations/{tenant.number}") as response:
                assert (await response.json())["integrations"]["retailcrm"] is False

        await eventually(seen, 3 * HEARTBEAT + RELOAD_SECONDS)
        arena.notes["a change is seen after"] = time.monotonic() - changed
        await arena.configure(tenant, enabled=True)
        await arena.healthy()
    await all_is_well(arena)


async def test_while_the_whole_server_is_frozen_events_are_taken(arena: Arena) -> None:
    tenants = await two_tenants(arena)
    async with arena.hosts.calling(tokens(tenants), RATE):
        await asyncio.sleep(0.5)
        with arena.postgres.frozen():
            await away(arena, tenants, seconds=6)
        await arena.healthy()
    await all_is_well(arena)


async def test_events_taken_while_postgresql_was_away_are_stored_in_their_order(arena: Arena) -> None:
    (tenant,) = [await arena.add_tenant()]
    await arena.started()
    begun = [arena.hosts.new_call(tenant.token) for _ in range(5)]
    for call in begun:
        await arena.hosts.play(call, ring=0, talk=0, kinds=("start", "dial"))
    await arena.postgres.stop("immediate")
    within = [await arena.hosts.call(tenant.token, ring=0.05, talk=0.05) for _ in range(5)]
    for call in begun:
        await arena.hosts.play(call, ring=0, talk=0, kinds=("bridge",))
    await arena.postgres.start()
    await arena.healthy()
    for call in begun:
        await arena.hosts.play(call, ring=0, talk=0, kinds=("hangup",))
    await all_is_well(arena)
    expected = ["start", "dial", "bridge", "bridge", "hangup"]
    assert {call: await stored(arena, call) for call in begun + within} == dict.fromkeys(begun + within, expected)


async def two_tenants(arena: Arena) -> list[Tenant]:
    """Two tenants, and a daemon that serves them."""
    found = [await arena.add_tenant(), await arena.add_tenant()]
    await arena.started()
    return found


def tokens(tenants: Sequence[Tenant]) -> list[str]:
    return [tenant.token for tenant in tenants]


async def away(arena: Arena, tenants: Sequence[Tenant], seconds: float) -> None:
    """Spend an outage under load; once it is noticed, the daemon says so, and pop-ups come as always."""
    (daemon,) = arena.daemons
    ends = time.monotonic() + seconds
    await asyncio.sleep(NOTICED_SECONDS)
    status, said = await arena.health(daemon)
    assert (status, said["status"]) == (200, "degraded"), said
    slowest = 0.0
    while time.monotonic() < ends:
        call = await arena.hosts.call(tenants[0].token, ring=PROMPT)
        assert arena.ledger.taken(call, "popup"), f"no pop-up of {call} within {PROMPT} s"
        slowest = max(slowest, arena.popup_seconds([call])[0])
        assert slowest <= PROMPT
    arena.notes["slowest pop-up meanwhile"] = slowest


async def all_is_well(arena: Arena) -> None:
    """Every event was acknowledged, and all that came is right."""
    assert arena.hosts.answers.keys() == {"200"}, arena.hosts.answers
    await arena.check()


async def backends(arena: Arena, name: str) -> list[int]:
    async with arena.sql() as sql:
        return [
            row["pid"] for row in await sql.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = $1", name)
        ]


async def stored(arena: Arena, call: str) -> list[str]:
    async with arena.sql() as sql:
        rows = await sql.fetch(
            "SELECT event_type FROM call_events WHERE call_unique_id = $1 ORDER BY event_sequence", call
        )
    return [row["event_type"] for row in rows]
