"""The smallest aiohttp handlers to compare with: `bare` only parses, `durable` also stores by group commit.

python -m bench.bare (bare | durable) DSN
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import asyncpg
import orjson
from aiohttp import web

from vochi_integrations.db import prepare

OK = b'{"status":"ok"}'
PATHS = ("start", "dial", "bridge", "hangup")

Handler = Callable[[web.Request], Awaitable[web.Response]]


async def parse(request: web.Request) -> web.Response:
    orjson.loads(await request.read())
    return web.Response(body=OK, content_type="application/json")


class Store:
    """One multi-row insert per natural group commit, nothing else."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._waiting: list[tuple[str, str, bytes, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((body["UniqueId"], request.path, orjson.dumps(body), done))
        self._wake.set()
        await done
        return web.Response(body=OK, content_type="application/json")

    async def run(self) -> None:
        statement = await self._connection.prepare(
            "INSERT INTO bench_events(unique_id, event_type, raw)"
            " SELECT * FROM unnest($1::text[], $2::text[], $3::jsonb[])"
        )
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await statement.fetch([row[0] for row in batch], [row[1] for row in batch], [row[2] for row in batch])
                for *_, done in batch:
                    done.set_result(None)


async def serve(kind: str, dsn: str) -> None:
    handler: Handler = parse
    storing: asyncio.Task[None] | None = None
    if kind == "durable":
        connection = await asyncpg.connect(dsn)
        await prepare(connection)
        await connection.execute(
            "DROP TABLE IF EXISTS bench_events; CREATE TABLE bench_events(id bigserial PRIMARY KEY, unique_id text,"
            " event_type text, raw jsonb, received_at timestamptz DEFAULT now())"
        )
        store = Store(connection)
        storing = asyncio.create_task(store.run())
        handler = store.handle
    app = web.Application()
    for path in PATHS:
        app.router.add_post(f"/{path}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    print(orjson.dumps({"event": "ready", "public": f":{port}", "internal": f":{port}"}).decode(), flush=True)
    await (storing or asyncio.Event().wait())


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(sys.argv[1], sys.argv[2]))
