"""The smallest aiohttp handlers to compare with.

`bare` only parses, `durable` also stores by group commit, `forward` then tells the CRM of each dial from memory.

python -m bench.bare (bare | durable | forward) DSN CRM_PORT
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import asyncpg
import orjson
from aiohttp import web

from bench.stage import key_of_token
from vochi_integrations.db import prepare

OK = b'{"status":"ok"}'
PATHS = ("start", "dial", "bridge", "hangup")
TABLE = (
    "DROP TABLE IF EXISTS {0}; CREATE TABLE {0}(id bigserial PRIMARY KEY, unique_id text, event_type text,"
    " raw jsonb, received_at timestamptz DEFAULT now())"
)
INSERT = (
    "INSERT INTO {0}(unique_id, event_type, raw)"
    " SELECT * FROM unnest($1::text[], $2::text[], $3::jsonb[])"
)  # fmt: skip

Handler = Callable[[web.Request], Awaitable[web.Response]]


async def parse(request: web.Request) -> web.Response:
    orjson.loads(await request.read())
    return web.Response(body=OK, content_type="application/json")


class Store:
    """One multi-row insert per natural group commit, nothing else."""

    def __init__(self, connection: asyncpg.Connection, table: str) -> None:
        self._connection = connection
        self._table = table
        self._waiting: list[tuple[str, str, bytes, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        await self.keep(request.path, orjson.loads(await request.read()))
        return web.Response(body=OK, content_type="application/json")

    async def keep(self, path: str, body: dict[str, Any]) -> None:
        """Return when the event is durable."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((body["UniqueId"], path, orjson.dumps(body), done))
        self._wake.set()
        await done

    async def run(self) -> None:
        statement = await self._connection.prepare(INSERT.format(self._table))
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await statement.fetch([row[0] for row in batch], [row[1] for row in batch], [row[2] for row in batch])
                for *_, done in batch:
                    done.set_result(None)


class Forwarder:
    """Tells the CRM of a dial as soon as the dial is durable; forgets it if that fails."""

    def __init__(self, store: Store, session: aiohttp.ClientSession, port: int) -> None:
        self._store = store
        self._session = session
        self._url = f"http://127.0.0.1:{port}/api/v5/telephony/call/event"
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        await self._store.keep(request.path, body)
        if request.path == "/dial":
            task = asyncio.create_task(self._tell(body))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return web.Response(body=OK, content_type="application/json")

    async def _tell(self, body: dict[str, Any]) -> None:
        event = {
            "type": "in",
            "phone": "+" + body["Phone"],
            "codes": body["Extensions"],
            "callExternalId": body["UniqueId"],
        }
        headers = {"X-API-KEY": key_of_token(body["Token"])}
        async with self._session.post(self._url, data={"event": orjson.dumps(event).decode()}, headers=headers) as sent:
            await sent.read()


async def serve(kind: str, dsn: str, crm_port: int) -> None:
    async with AsyncExitStack() as stack:
        handler: Handler = parse
        storing: asyncio.Task[None] | None = None
        if kind != "bare":
            connection = await asyncpg.connect(dsn)
            await prepare(connection)
            await connection.execute(TABLE.format(f"bench_{kind}"))
            store = Store(connection, f"bench_{kind}")
            storing = asyncio.create_task(store.run())
            handler = store.handle
            if kind == "forward":
                connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
                session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
                handler = Forwarder(store, session, crm_port).handle
        await _listen(handler)
        await (storing or asyncio.Event().wait())


async def _listen(handler: Handler) -> None:
    app = web.Application()
    for path in PATHS:
        app.router.add_post(f"/{path}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = f":{runner.addresses[0][1]}"
    print(orjson.dumps({"event": "ready", "public": port, "internal": port}).decode(), flush=True)


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3])))
