"""What handlers find in their application."""

from collections.abc import Mapping

from aiohttp import web
from msgspec import Struct
from prometheus_client import CollectorRegistry

from vochi_integrations.cipher import Cipher
from vochi_integrations.configs import ConfigStore
from vochi_integrations.db import Database
from vochi_integrations.dispatcher import Dispatcher
from vochi_integrations.figures import Figures
from vochi_integrations.integrations.base import Integration
from vochi_integrations.journal import Journal
from vochi_integrations.ops.trace import Tracer
from vochi_integrations.ops.watch import Watch
from vochi_integrations.outbox import Outbox
from vochi_integrations.pbx.clients import ClientIds
from vochi_integrations.pbx.redirector import Redirector
from vochi_integrations.pbx.telephony import Telephony
from vochi_integrations.settings import Secret, Settings
from vochi_integrations.snapshot import SnapshotStore
from vochi_integrations.spool import Spool


class Uptime(Struct, frozen=True):
    """When the daemon started, by the monotonic clock in seconds."""

    started_at: float


SETTINGS = web.AppKey("settings", Settings)
DATABASE = web.AppKey("database", Database)
STORE = web.AppKey("store", SnapshotStore)
SPOOL = web.AppKey("spool", Spool)
JOURNAL = web.AppKey("journal", Journal)
DISPATCHER = web.AppKey("dispatcher", Dispatcher)
OUTBOX = web.AppKey("outbox", Outbox)
REDIRECTOR = web.AppKey("redirector", Redirector)
TRACER = web.AppKey("tracer", Tracer)
FIGURES = web.AppKey("figures", Figures)
METRICS = web.AppKey("metrics", CollectorRegistry)
WATCH = web.AppKey("watch", Watch)
UPTIME = web.AppKey("uptime", Uptime)
JWT_SECRET = web.AppKey("jwt_secret", Secret)
CIPHER = web.AppKey("cipher", Cipher)
CONFIGS = web.AppKey("configs", ConfigStore)
INTEGRATIONS: web.AppKey[Mapping[str, Integration]] = web.AppKey("integrations")
TELEPHONY = web.AppKey("telephony", Telephony)
RETAILCRM_CLIENTS = web.AppKey("retailcrm_clients", ClientIds)
