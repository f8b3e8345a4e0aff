"""The emulator as an aiohttp application."""

from collections.abc import Iterable

import aiohttp_jinja2
from aiohttp import web
from jinja2 import FileSystemLoader, StrictUndefined

from vochi_integrations.emulators.retailcrm import api, control, page
from vochi_integrations.emulators.retailcrm.account import Account
from vochi_integrations.emulators.retailcrm.crm import CRM, Crm
from vochi_integrations.paths import folder


def create_app(accounts: Iterable[Account] = ()) -> web.Application:
    """A CRM with these accounts, or with one named `demo` whose key is `demo-key`."""
    app = web.Application()
    app[CRM] = Crm(list(accounts) or [Account()])
    app.on_shutdown.append(stop)
    templates = folder("templates")
    aiohttp_jinja2.setup(app, loader=FileSystemLoader(templates), undefined=StrictUndefined)
    api.add_routes(app)
    app.add_routes(control.routes)
    app.add_routes(page.routes)
    app.router.add_static("/static", templates / "static")
    return app


async def stop(app: web.Application) -> None:
    app[CRM].stop()
