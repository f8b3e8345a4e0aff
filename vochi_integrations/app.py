"""Wiring: everything the daemon is made of, opened in order and closed in reverse; the two applications over it."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractResolver
from msgspec import Struct

from vochi_integrations import db, embedded, spool
from vochi_integrations.admin import api, shell
from vochi_integrations.admin.access import gate
from vochi_integrations.background import Background, background, wait_for
from vochi_integrations.cipher import Cipher
from vochi_integrations.dispatcher import Dispatcher
from vochi_integrations.errors import SpoolError, StartupError
from vochi_integrations.instance import claimed_folder
from vochi_integrations.journal import Journal
from vochi_integrations.outbox import Outbox
from vochi_integrations.parts import Parts, assembled
from vochi_integrations.resolver import PatientResolver, PublicResolver
from vochi_integrations.settings import Crm, Settings
from vochi_integrations.web import (
    cache,
    deliveries,
    doctor,
    gateway,
    makecall,
    redirect,
    status,
    traces,
    webhooks,
)
from vochi_integrations.web.intake import Intake
from vochi_integrations.web.middlewares import errors
from vochi_integrations.witness import Witness

BODY_LIMIT = 65_536
FIRST_LISTEN_SECONDS = 5.0
LAST_WRITES_SECONDS = 1.0
COLLECT_EVERY = 20_000


class Daemon(Struct):
    """The running daemon. `loops` fails when one of its background tasks does."""

    settings: Settings
    public: web.Application
    internal: web.Application
    intake: Intake
    loops: Background
    journal: Journal
    dispatcher: Dispatcher
    outbox: Outbox

    async def finish(self, deadline: float) -> None:
        """After the listeners are closed: store what was accepted, end what runs, leave the rest in the table.

        CRM requests may run until `deadline` (loop time); what came of them has `LAST_WRITES_SECONDS` more. What is
        left is anybody's at once.
        """
        self.dispatcher.begins = frozenset({"realtime"})
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline + LAST_WRITES_SECONDS):
                await self.journal.batcher.drained()
                await self.dispatcher.finish(deadline)
                await self.outbox.settlements.drained()
                await self.outbox.logs.drained()
                await self.outbox.let_go()


@asynccontextmanager
async def daemon(settings: Settings) -> AsyncIterator[Daemon]:
    """Open everything. Raises StartupError, one line for the operator, when that is not possible."""
    lease = settings.delivery.lease
    cipher = Cipher(settings.secrets.keys)
    with claimed_folder(settings.state_dir) as owner:
        async with database_of(settings) as dsn:
            await db.migrate(dsn)
            async with (
                db.connected(dsn) as database,
                client_session(settings.crm, PatientResolver(settings.delivery.timeout)) as session,
                spool.opened(settings.state_dir, settings.server.spool_max_mb) as spooled,
                _running(
                    assembled(settings, cipher, database, session, Outbox(database, spooled, owner, lease, Witness()))
                ) as running,
            ):
                yield running


@asynccontextmanager
async def database_of(settings: Settings) -> AsyncIterator[str]:
    """Yield the DSN of the configured database, or of the embedded one for as long as the block lasts."""
    dsn = settings.database.dsn.reveal()
    if dsn:
        yield dsn
        return
    async with embedded.database(settings.state_dir) as embedded_dsn:
        yield embedded_dsn


@asynccontextmanager
async def client_session(
    settings: Crm, resolver: AbstractResolver | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    """One session for all CRMs: no shared cookies; how many requests at once is the lanes' business.

    Names that lead inside a network are refused, unless `crm.allow_insecure_urls`.
    """
    found = resolver or PatientResolver(settings.request_timeout)
    connector = aiohttp.TCPConnector(
        limit=0, keepalive_timeout=60, resolver=found if settings.allow_insecure_urls else PublicResolver(found)
    )
    jar = aiohttp.DummyCookieJar()
    try:
        async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as session:
            yield session
    finally:
        await found.close()


@asynccontextmanager
async def _running(parts: Parts) -> AsyncIterator[Daemon]:
    """Run what runs for ever, after all that holds up the loop: a request under way would run out of its time."""
    async with _readable(parts.database.dsn):
        await parts.recall()
        pages = await shell.parts(parts.database, parts.settings)
    found = {**parts.for_handlers(), **pages}
    events = Intake(parts.store, parts.journal, parts.redirector, parts.outbox.witness.figures)
    public, internal = _with(create_public(events.routes()), found), _with(create_internal(events.routes()), found)
    _rest_collector()
    async with background(parts.loops()) as loops:
        await wait_for(parts.listener.heard, FIRST_LISTEN_SECONDS)
        yield Daemon(parts.settings, public, internal, events, loops, parts.journal, parts.dispatcher, parts.outbox)
        await parts.telephony.close()
    await parts.close()


def _rest_collector() -> None:
    """What was loaded stays: the cycle collector need not look at it again, nor at young objects every few events."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 20, 100)


@asynccontextmanager
async def _readable(dsn: str) -> AsyncIterator[None]:
    """Turn what may go wrong while the daemon reads what is there into one line for the operator."""
    try:
        yield
    except SpoolError as error:
        raise StartupError(str(error)) from None
    except db.UNAVAILABLE as error:
        raise db.unreachable(dsn, error) from None


def _with(app: web.Application, found: Mapping[web.AppKey[Any], object]) -> web.Application:
    for key, value in found.items():
        app[key] = value
    return app


def create_public(events: Iterable[web.RouteDef]) -> web.Application:
    """What the world may reach: PBX hosts, CRM callbacks, administrators."""
    app = web.Application(middlewares=[gate], client_max_size=BODY_LIMIT)
    app.add_routes(events)
    app.add_routes(redirect.public_routes())
    app.add_routes(webhooks.routes)
    app.add_routes(makecall.routes)
    app.add_routes(status.public_routes)
    shell.add_to(app)
    app.add_routes(api.public_routes())
    return app


def create_internal(events: Iterable[web.RouteDef]) -> web.Application:
    """What only this machine may reach: the same intake, the gateway, caches and statistics."""
    app = web.Application(middlewares=[errors], client_max_size=BODY_LIMIT)
    app.add_routes(events)
    app.add_routes(redirect.internal_routes())
    app.add_routes(gateway.routes)
    app.add_routes(cache.routes)
    app.add_routes(makecall.routes)
    app.add_routes(traces.routes)
    app.add_routes(deliveries.routes)
    app.add_routes(doctor.routes)
    app.add_routes(api.internal_routes())
    app.add_routes(status.internal_routes)
    return app
