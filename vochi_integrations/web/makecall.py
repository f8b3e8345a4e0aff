"""Click-to-call for our own services: the old PBX control service's route (facts: asterisk_hosts §4)."""

import hmac
import time

from aiohttp import web

from vochi_integrations.domain import Enterprise
from vochi_integrations.errors import BadRequestError, PbxError
from vochi_integrations.keys import STORE, TELEPHONY
from vochi_integrations.pbx.commands import read_extension, read_phone
from vochi_integrations.pbx.following import Click
from vochi_integrations.web.answers import json_answer
from vochi_integrations.web.parameters import read_parameters, text_of, way_of

SOURCE = "asterisk"

routes = web.RouteTableDef()


@routes.get("/api/makecallexternal", allow_head=False)
async def makecallexternal(request: web.Request) -> web.Response:
    """Ring `code`, then dial `phone`; `clientId` is the enterprise's secret."""
    began = time.perf_counter()
    given = await read_parameters(request)
    enterprise = await _owner(request, (text_of(given, "clientId") or "").strip())
    if enterprise is None:
        return _refused(401, "invalid_client", "Invalid clientId")
    try:
        click = _read_click(given, enterprise)
    except BadRequestError as error:
        return _refused(400, "bad_request", str(error))
    click.way = await way_of(request)
    try:
        await request.app[TELEPHONY].clicks.call(enterprise, click)
    except PbxError as error:
        detail = str(error) if error.reason == "no_address" else f"Call initiation failed: {error}"
        return _refused(500, error.reason, detail)
    return json_answer(
        {
            "success": True,
            "message": f"Call initiated successfully: {click.code} -> {click.phone}",
            "enterprise": enterprise.name,
            "enterprise_number": enterprise.number,
            "from_ext": click.code,
            "to_phone": click.phone,
            "host_ip": enterprise.ip,
            "response_time_ms": round((time.perf_counter() - began) * 1000),
            "display_name": None,
        }
    )


async def _owner(request: web.Request, secret: str) -> Enterprise | None:
    if not secret:
        return None
    found = await request.app[STORE].find(lambda snapshot: snapshot.by_secret.get(secret))
    if found is None or not found.active or not hmac.compare_digest(found.secret.encode(), secret.encode()):
        return None
    return found


def _read_click(given: dict[str, object], enterprise: Enterprise) -> Click:
    phone, code = text_of(given, "phone"), text_of(given, "code")
    for name, value in (("code", code), ("phone", phone)):
        if value is None:
            raise BadRequestError(f"Missing parameter: {name}")
    return Click(
        enterprise=enterprise.number,
        source=SOURCE,
        phone=read_phone(phone or ""),
        code=read_extension(code or ""),
    )


def _refused(status: int, code: str, message: str) -> web.Response:
    """Answer with the old service's `detail` beside our own two."""
    return json_answer({"detail": message, "error": code, "message": message}, status)
