"""What the daemon is made of, put together: nothing here is open yet but the database and the HTTP session."""

import time
from collections.abc import Coroutine, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
from aiohttp import web
from msgspec import Struct

from vochi_integrations import keys
from vochi_integrations.cipher import Cipher
from vochi_integrations.closer import Closer
from vochi_integrations.configs import ConfigStore
from vochi_integrations.db import Database
from vochi_integrations.dispatcher import Dispatcher
from vochi_integrations.integrations import create_integrations, read_configs
from vochi_integrations.integrations.base import Integration
from vochi_integrations.journal import Journal
from vochi_integrations.listener import ConfigListener
from vochi_integrations.ops.metrics import create_registry
from vochi_integrations.ops.sources import Sources
from vochi_integrations.ops.trace import Tracer
from vochi_integrations.ops.watch import Watch
from vochi_integrations.outbox import Outbox
from vochi_integrations.pbx.callers import Callers
from vochi_integrations.pbx.clients import ClientIds
from vochi_integrations.pbx.history import History
from vochi_integrations.pbx.redirector import LOGGED_AS, Redirector
from vochi_integrations.pbx.telephony import Telephony
from vochi_integrations.replayer import Replayer
from vochi_integrations.retention import Retention
from vochi_integrations.router import Router
from vochi_integrations.settings import Settings
from vochi_integrations.snapshot import SnapshotStore
from vochi_integrations.web import makecall, webhooks


class Parts(Struct, frozen=True):
    """The parts by name; `assembled` knows which needs which."""

    settings: Settings
    cipher: Cipher
    database: Database
    integrations: Mapping[str, Integration]
    store: SnapshotStore
    outbox: Outbox
    dispatcher: Dispatcher
    journal: Journal
    replayer: Replayer
    listener: ConfigListener
    watch: Watch
    telephony: Telephony
    redirector: Redirector

    async def recall(self) -> None:
        """Read what earlier processes left: configurations, spooled events, held deliveries, calls in progress."""
        await self.store.load_all()
        await self.replayer.drain(at_start=True)
        await self.outbox.take_over()
        await self.journal.recall_open_calls()

    def loops(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return everything that runs for ever, by name."""
        idle_seconds = self.settings.calls.orphan_close_seconds
        sources = [*self.integrations, makecall.SOURCE, LOGGED_AS]
        return {
            "listener": self.listener.run(),
            "snapshot": self.store.keep_fresh(),
            "refresh": self.store.refresh_regularly(),
            "journal": self.journal.batcher.run(),
            "replayer": self.replayer.run(),
            "settlements": self.outbox.settlements.run(),
            "logs": self.outbox.logs.run(),
            "outbox": self.dispatcher.poll(),
            "leases": self.dispatcher.keep_leases(),
            "closer": Closer(self.database, self.journal, self.store, idle_seconds).run(),
            "watch": self.watch.run(),
            "refusals": self.watch.run_proofs(),
            **self.watch.teller.loops(),
            "retention": Retention(self.database, self.settings.retention, sources).run(),
            "clicks": self.telephony.follower.run(),
        }

    def for_handlers(self) -> dict[web.AppKey[Any], object]:
        """Return what handlers find in their application."""
        return {
            keys.SETTINGS: self.settings,
            keys.DATABASE: self.database,
            keys.STORE: self.store,
            keys.JOURNAL: self.journal,
            keys.SPOOL: self.outbox.spool,
            keys.DISPATCHER: self.dispatcher,
            keys.OUTBOX: self.outbox,
            keys.REDIRECTOR: self.redirector,
            keys.INTEGRATIONS: self.integrations,
            keys.TRACER: Tracer(self.database, self.integrations),
            keys.TELEPHONY: self.telephony,
            keys.RETAILCRM_CLIENTS: ClientIds(self.store, webhooks.CRM),
            keys.CIPHER: self.cipher,
            keys.CONFIGS: ConfigStore(self.database, self.cipher, self.store.expire),
            keys.UPTIME: keys.Uptime(self.watch.sources.started_at),
            keys.FIGURES: self.outbox.witness.figures,
            keys.WATCH: self.watch,
            keys.METRICS: create_registry(self.watch),
        }

    async def close(self) -> None:
        """After the loops have ended: end what is still under way, and the connections."""
        await self.redirector.close()
        await self.store.close()
        self.journal.close()
        self.outbox.close()


def assembled(
    settings: Settings, cipher: Cipher, database: Database, session: aiohttp.ClientSession, outbox: Outbox
) -> Parts:
    """Make every part and tell it of those it needs."""
    integrations = create_integrations(settings, session)
    zone = ZoneInfo(settings.retailcrm.timezone)
    store = SnapshotStore(database, settings.cache, zone, lambda config: read_configs(integrations, config))
    dispatcher = Dispatcher(settings.delivery, settings.breaker, outbox, integrations, store)
    store.on_change = dispatcher.on_change
    journal = Journal(
        database,
        store,
        Router(integrations, settings.delivery),
        dispatcher,
        outbox.spool,
        idle_seconds=settings.calls.orphan_close_seconds,
        witness=outbox.witness,
    )
    telephony = Telephony(settings.asterisk, database, store)
    callers = Callers(integrations, settings.breaker, dispatcher.window)
    return Parts(
        settings=settings,
        cipher=cipher,
        database=database,
        integrations=integrations,
        store=store,
        outbox=outbox,
        dispatcher=dispatcher,
        journal=journal,
        replayer=Replayer(outbox.spool, journal, outbox),
        listener=ConfigListener(database.dsn, store, settings.cache.heartbeat),
        watch=Watch(settings, Sources(store, database, journal, dispatcher, outbox, time.monotonic())),
        telephony=telephony,
        redirector=Redirector(callers, History(database), outbox, telephony.control),
    )
