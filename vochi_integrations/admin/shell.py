"""What every page of the administrator's area stands on, put together."""

from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import web

from vochi_integrations.admin import assets, headers, i18n
from vochi_integrations.admin.attempts import Attempts
from vochi_integrations.admin.links import GUESSABLE
from vochi_integrations.admin.live import Live
from vochi_integrations.admin.pages import access, calls, connection, diagnostics, journal, managers, settings, who_gets
from vochi_integrations.admin.pages.managers import ROSTERS
from vochi_integrations.admin.render import add_templates
from vochi_integrations.admin.roster import Rosters
from vochi_integrations.admin.sessions import jwt_secret
from vochi_integrations.admin.signin import ATTEMPTS
from vochi_integrations.db import Database
from vochi_integrations.keys import JWT_SECRET
from vochi_integrations.settings import Settings

log = structlog.get_logger()

PAGES = (
    access.routes,
    connection.routes,
    managers.routes,
    settings.routes,
    journal.routes,
    calls.routes,
    diagnostics.routes,
    who_gets.routes,
)


async def parts(database: Database, settings: Settings) -> Mapping[web.AppKey[Any], object]:
    """Return what the pages' handlers find in their application."""
    i18n.load_languages()
    assets.assets()
    secret = await jwt_secret(database, settings.auth)
    if len(secret.reveal()) < GUESSABLE:
        log.warning("auth.jwt_secret is short: whoever guesses it signs in everywhere", characters_advised=GUESSABLE)
    return {
        JWT_SECRET: secret,
        ATTEMPTS: Attempts(settings.auth.attempts),
        calls.LIVE: Live(),
        ROSTERS: Rosters(),
    }


def add_to(app: web.Application) -> None:
    """Add the pages, what they load, and the headers they are sent with."""
    add_templates(app)
    app.on_shutdown.append(_stop_streams)
    app.on_response_prepare.append(headers.add_headers)
    app.add_routes(assets.routes)
    for routes in PAGES:
        app.add_routes(routes)


async def _stop_streams(app: web.Application) -> None:
    await app[calls.LIVE].stop()
