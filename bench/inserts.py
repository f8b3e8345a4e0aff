"""What PostgreSQL takes without HTTP: single-row inserts on a few connections, and batches on one.

python -m bench.inserts (single | batched) DSN SECONDS
"""

import asyncio
import sys
import time

import asyncpg
import orjson

from bench.bare import INSERT, TABLE
from bench.load import new_call, script
from vochi_integrations.db import prepare

CONNECTIONS = 16
BATCH = 100
ONE = "INSERT INTO {0}(unique_id, event_type, raw) VALUES ($1, $2, $3)"


async def _connect(dsn: str) -> asyncpg.Connection:
    connection = await asyncpg.connect(dsn)
    await prepare(connection)
    return connection


async def single(dsn: str, table: str, until: float) -> int:
    """Insert one event a transaction, again and again."""
    connection = await _connect(dsn)
    statement = await connection.prepare(ONE.format(table))
    post, count = script(new_call(), "37529")[1], 0
    while time.perf_counter() < until:
        await statement.fetch(post.unique_id, post.kind, post.body)
        count += 1
    await connection.close()
    return count


async def batched(dsn: str, table: str, until: float) -> int:
    """Insert `BATCH` events a statement, again and again."""
    connection = await _connect(dsn)
    statement = await connection.prepare(INSERT.format(table))
    post, count = script(new_call(), "37529")[1], 0
    columns = [post.unique_id] * BATCH, [post.kind] * BATCH, [post.body] * BATCH
    while time.perf_counter() < until:
        await statement.fetch(*columns)
        count += BATCH
    await connection.close()
    return count


async def main(kind: str, dsn: str, seconds: float) -> None:
    table = f"bench_{kind}"
    connection = await asyncpg.connect(dsn)
    await connection.execute(TABLE.format(table))
    await connection.close()
    began = time.perf_counter()
    until = began + seconds
    if kind == "single":
        done = sum(await asyncio.gather(*(single(dsn, table, until) for _ in range(CONNECTIONS))))
    else:
        done = await batched(dsn, table, until)
    print(orjson.dumps(done / (time.perf_counter() - began)).decode())


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
