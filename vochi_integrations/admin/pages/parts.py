"""What the administrator's pages share: words, forms, the company they are about."""

from collections.abc import Mapping
from typing import Any, cast
from zoneinfo import ZoneInfo

from aiohttp import web

from vochi_integrations.admin.i18n import gettext
from vochi_integrations.admin.operations.desk import CRM, Desk, desk_of
from vochi_integrations.admin.render import render
from vochi_integrations.admin.sessions import VIEWER
from vochi_integrations.domain import Reason
from vochi_integrations.integrations.base import Said
from vochi_integrations.integrations.retailcrm.config import RetailCrmConfig
from vochi_integrations.keys import SETTINGS, STORE
from vochi_integrations.ops.verdicts import WHY
from vochi_integrations.web.bodies import read_form

WHYS = frozenset(WHY)


def said(text: Said | str) -> str:
    """Return a sentence in the language of the request."""
    if isinstance(text, Said):
        return gettext(text.text).format_map(text.values)
    return gettext(text)


def show(request: web.Request, template: str, context: Mapping[str, Any]) -> web.Response:
    """Render a page, or a part of one, whose sentences may be `Said`."""
    return render(request, template, {"said": said, **context})


async def form_of(request: web.Request) -> dict[str, str]:
    """Return the texts of a form; of several of one name the last counts."""
    form = await read_form(request)
    return {name: value for name, value in form.items() if isinstance(value, str)}


def desk_here(request: web.Request) -> Desk:
    """Return the viewer's place at their enterprise."""
    viewer = request[VIEWER]
    return desk_of(request.app, viewer.enterprise, viewer.name)


def config_of(request: web.Request) -> RetailCrmConfig | None:
    """Return the company's configuration as the daemon uses it, None when there is none."""
    enterprise = request.app[STORE].current.by_number.get(request[VIEWER].enterprise)
    return cast("RetailCrmConfig | None", enterprise.integrations.get(CRM)) if enterprise else None


def why_not(reason: str) -> str:
    """Return what a reason code means, the code itself when nobody has said."""
    return WHY[Reason(reason)] if reason in WHYS else reason


def zone_of(request: web.Request) -> ZoneInfo:
    """Return the company's time zone."""
    config = config_of(request)
    return config.zone if config else ZoneInfo(request.app[SETTINGS].retailcrm.timezone)
