"""What RetailCRM asks of us: dial for a manager, note a status, follow the module (facts: retailcrm_api §7)."""

from collections.abc import Mapping
from typing import cast

import structlog
from aiohttp import web

from vochi_integrations.domain import Enterprise
from vochi_integrations.errors import BadRequestError, PbxError
from vochi_integrations.integrations.base import Integration, IntegrationConfig
from vochi_integrations.keys import CONFIGS, INTEGRATIONS, RETAILCRM_CLIENTS, TELEPHONY
from vochi_integrations.pbx.commands import read_extension, read_phone
from vochi_integrations.pbx.following import Click
from vochi_integrations.web.answers import json_answer
from vochi_integrations.web.parameters import read_parameters, text_of, way_of

CRM = "retailcrm"
SHOWN = 64

routes = web.RouteTableDef()
log = structlog.get_logger()


@routes.get("/retailcrm/make-call", allow_head=False)
@routes.post("/retailcrm/make-call")
async def make_call(request: web.Request) -> web.Response:
    """Answer OK when the PBX has taken the command, in plain words what is wrong otherwise (contract, PBX)."""
    given = await read_parameters(request)
    enterprise = await _client(request, given)
    if enterprise is None:
        return web.Response(status=401, text="Invalid clientId")
    try:
        click = read_click(given, enterprise, request.app[INTEGRATIONS][CRM])
    except BadRequestError as error:
        return web.Response(status=400, text=str(error))
    click.way = await way_of(request)
    if not _config(enterprise).enabled:
        return web.Response(status=403, text="The integration is switched off")
    try:
        await request.app[TELEPHONY].clicks.call(enterprise, click)
    except PbxError as error:
        return web.Response(status=502, text=str(error))
    return web.Response(text="OK")


def read_click(given: Mapping[str, object], enterprise: Enterprise, integration: Integration) -> Click:
    """Read who is to talk to whom; `code` wins over `userId`. Raises BadRequestError."""
    phone, code, user = (text_of(given, name) for name in ("phone", "code", "userId"))
    if phone is None:
        raise BadRequestError("Missing parameter: phone")
    phone = read_phone(phone)
    if not code or not code.strip():
        code = _code_of(user, enterprise, integration)
    return Click(
        enterprise=enterprise.number,
        source=CRM,
        code=read_extension(code),
        phone=phone,
        user=(user or "")[:SHOWN].replace("\x00", ""),
        external_phone=(text_of(given, "externalPhone") or "")[:SHOWN].replace("\x00", ""),
    )


def _code_of(user: str | None, enterprise: Enterprise, integration: Integration) -> str:
    user = (user or "").strip()
    if not user:
        raise BadRequestError("Missing parameter: userId")
    code = integration.extension_of(enterprise, user)
    if code is None:
        shown = "".join(char for char in user[:SHOWN] if char.isprintable())
        raise BadRequestError(f"No extension configured for user {shown}")
    return code


@routes.get("/retailcrm/status", allow_head=False)
@routes.post("/retailcrm/status")
async def status(request: web.Request) -> web.Response:
    """Take a manager's change of status; it is kept in the journal of the enterprise."""
    given = await read_parameters(request)
    enterprise = await _client(request, given)
    if enterprise is None:
        return web.Response(status=401, text="Invalid clientId")
    said = {name: (text_of(given, name) or "")[:SHOWN].replace("\x00", "") for name in ("userId", "code", "status")}
    request.app[TELEPHONY].follower.note_status(enterprise.number, CRM, dict(said))
    return web.Response(text="OK")


@routes.post("/retailcrm/activity")
async def activity(request: web.Request) -> web.Response:
    """Switch the integration with the module, and follow the account to a new address."""
    given = await read_parameters(request)
    enterprise = await _client(request, given)
    if enterprise is None:
        return _refused(401, "Invalid clientId")
    try:
        changes = request.app[INTEGRATIONS][CRM].read_activity(enterprise, given)
    except BadRequestError as error:
        return _refused(400, str(error))
    await request.app[CONFIGS].merge(enterprise.number, CRM, changes, by=CRM, action="activity")
    log.info("module activity", enterprise=enterprise.number, **changes)
    return json_answer({"success": True})


def _refused(status: int, message: str) -> web.Response:
    return json_answer({"success": False, "errorMsg": message}, status)


async def _client(request: web.Request, given: Mapping[str, object]) -> Enterprise | None:
    return await request.app[RETAILCRM_CLIENTS].find(text_of(given, "clientId") or "")


def _config(enterprise: Enterprise) -> IntegrationConfig:
    return cast("IntegrationConfig", enterprise.integrations[CRM])
