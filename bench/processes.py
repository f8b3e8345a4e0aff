"""The processes of a benchmark, each on its own core: the daemon, the minimal handlers beside it."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import orjson

from vochi_integrations import embedded
from vochi_integrations.db import migrate, prepare

DAEMON_CORE = 0
LOAD_CORE = 1


def pin(core: int) -> None:
    """Keep this process on one core, where the machine has several."""
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {core})


@contextmanager
def postgres() -> Iterator[str]:
    """A fresh PostgreSQL with fsync on, wherever the kernel puts it."""
    with tempfile.TemporaryDirectory(prefix="vochi-bench-") as folder:
        Path(folder).chmod(0o755)
        with embedded.running(Path(folder)) as dsn:
            yield dsn


@asynccontextmanager
async def started(*command: str, **environ: str) -> AsyncIterator[tuple[int, dict[str, int]]]:
    """Run a Python module on the daemon's core until it says `ready`; yield its pid and ports."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", *command),
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=lambda: pin(DAEMON_CORE),
    )
    assert process.stdout is not None
    drain: asyncio.Task[None] | None = None
    try:
        ports = await _ready(process.stdout)
        drain = asyncio.create_task(_drain(process.stdout))
        yield process.pid, ports
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        if drain is not None:
            await drain


async def _ready(output: asyncio.StreamReader) -> dict[str, int]:
    async for line in output:
        said = orjson.loads(line)
        if said.get("event") == "ready":
            return {name: int(said[name].rpartition(":")[2]) for name in ("public", "internal")}
    raise RuntimeError("a process ended before it was ready")


async def _drain(output: asyncio.StreamReader) -> None:
    async for _ in output:
        pass


@asynccontextmanager
async def daemon(dsn: str, folder: Path, **environ: str) -> AsyncIterator[tuple[int, dict[str, int]]]:
    settings = {
        "VOCHI_DATABASE__DSN": dsn,
        "VOCHI_SERVER__STATE_DIR": str(folder),
        "VOCHI_SERVER__PUBLIC_PORT": "0",
        "VOCHI_SERVER__INTERNAL_PORT": "0",
        "VOCHI_CRM__ALLOW_INSECURE_URLS": "true",
        "VOCHI_LOGGING__FORMAT": "json",
        **environ,
    }
    async with started("vochi_integrations", "serve", **settings) as running:
        yield running


async def add_tenants(dsn: str, count: int, crm_port: int) -> list[str]:
    """Create tenants, each with three managers and a CRM of its own on one port; return their tokens."""
    await migrate(dsn)
    connection = await asyncpg.connect(dsn)
    await prepare(connection)
    numbers = [f"{1000 + number}" for number in range(count)]
    tokens = [f"37529{number}" for number in numbers]
    configs = [
        {
            "retailcrm": {
                "enabled": True,
                "domain": f"http://127.0.0.1:{crm_port}",
                "api_key": f"key-{number}",
                "user_extensions": {"1": "150", "2": "151", "3": "152"},
            }
        }
        for number in numbers
    ]
    await connection.execute(
        "INSERT INTO enterprises(number, name, name2, secret, integrations_config)"
        " SELECT n, 'Company ' || n, t, 'secret-' || n, c"
        " FROM unnest($1::text[], $2::text[], $3::jsonb[]) AS x(n, t, c)",
        numbers,
        tokens,
        configs,
    )
    await connection.execute(
        "INSERT INTO user_internal_phones(phone_number, enterprise_number)"
        " SELECT e, n FROM unnest($1::text[]) n, unnest(ARRAY['150', '151', '152']) e",
        numbers,
    )
    await connection.close()
    return tokens
