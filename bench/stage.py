"""A stage for a figure: PostgreSQL, tenants, a CRM and the daemon between them."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from msgspec import Struct

from bench.load import Load, calls
from bench.processes import Running, Server, daemon, postgres
from bench.sink import Sink, sink
from vochi_integrations.db import migrate, prepare

WARM_UP = (50.0, 2.0)
SETTLE_SECONDS = 20.0


class Stage(Struct, frozen=True):
    """Everything a figure measures with."""

    server: Server
    crm: Sink
    tokens: list[str]
    running: Running

    @property
    def port(self) -> int:
        return self.running.public


@asynccontextmanager
async def stage(tenants: int, *, enabled: bool = True) -> AsyncIterator[Stage]:
    """Open a stage with a warmed-up daemon; `enabled` says whether the tenants' CRM is switched on."""
    with postgres() as server, tempfile.TemporaryDirectory(prefix="vochi-bench-") as folder:
        async with sink() as crm:
            tokens = await add_tenants(server.dsn, tenants, crm.port, enabled=enabled)
            async with daemon(server.dsn, Path(folder)) as running:
                await calls(running.public, tokens, *WARM_UP)
                yield Stage(server, crm, tokens, running)


async def settled(crm: Sink, load: Load, seconds: float = SETTLE_SECONDS) -> float:
    """Wait until every wholly accepted call has its record; return for how many seconds."""
    began = time.perf_counter()
    missing = load.whole
    while (missing := missing - crm.records.keys()) and time.perf_counter() < began + seconds:
        await asyncio.sleep(0.05)
    return time.perf_counter() - began


async def add_tenants(dsn: str, count: int, crm_port: int, *, enabled: bool = True) -> list[str]:
    """Create tenants, each with three managers and a CRM account of its own on one port; return their tokens."""
    await migrate(dsn)
    connection = await asyncpg.connect(dsn)
    await prepare(connection)
    numbers = [f"{1000 + number}" for number in range(count)]
    tokens = [f"37529{number}" for number in numbers]
    await connection.execute(
        "INSERT INTO enterprises(number, name, name2, secret, integrations_config)"
        " SELECT n, 'Company ' || n, t, 'secret-' || n, c"
        " FROM unnest($1::text[], $2::text[], $3::jsonb[]) AS x(n, t, c)",
        numbers,
        tokens,
        [{"retailcrm": _config(number, crm_port, enabled=enabled)} for number in numbers],
    )
    await connection.execute(
        "INSERT INTO user_internal_phones(phone_number, enterprise_number)"
        " SELECT e, n FROM unnest($1::text[]) n, unnest(ARRAY['150', '151', '152']) e",
        numbers,
    )
    await connection.execute("ANALYZE")
    await connection.close()
    return tokens


def _config(number: str, crm_port: int, *, enabled: bool) -> dict[str, object]:
    return {
        "enabled": enabled,
        "domain": f"http://127.0.0.1:{crm_port}",
        "api_key": key_of_token(f"37529{number}"),
        "user_extensions": {"1": "150", "2": "151", "3": "152"},
    }


def key_of_token(token: str) -> str:
    """Return the API key of the tenant with this token."""
    return f"key-{token[5:]}"
