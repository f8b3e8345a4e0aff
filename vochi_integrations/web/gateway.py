"""The gateway: events that our own call services pass on (design 4.2, user_spec_ru: Integration Gateway)."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from vochi_integrations import clock
from vochi_integrations.domain import Origin
from vochi_integrations.errors import BadRequestError
from vochi_integrations.events import KINDS, check_unique_id, read_event, read_json, read_token, read_unique_id
from vochi_integrations.keys import JOURNAL, STORE
from vochi_integrations.web.answers import error_answer, json_answer

DISPATCHED = frozenset({"dial", "hangup"})

routes = web.RouteTableDef()


@routes.post("/dispatch/call-event")
@routes.post("/dispatch/call-event/")
@routes.post("/internal/retailcrm/call-event")
async def dispatch(request: web.Request) -> web.Response:
    """Take one event with its token in the body; a repeat is told apart."""
    received_at = round(clock.now(), 6)
    body = read_json(await request.read())
    enterprise = await request.app[STORE].by_token_or_secret(read_token(body.get("token")))
    if enterprise is None:
        return error_answer(404, "unknown_token", "no enterprise has this token")
    kind = _choice(body, "event_type", DISPATCHED)
    raw = _object(body, "raw")
    unique_id = check_unique_id(body.get("uniqueId"), "uniqueId")
    origin: Origin = "download" if body.get("origin") == "download" else "live"
    event = read_event(
        kind,
        unique_id,
        raw,
        enterprise.directory,
        received_at=received_at,
        origin=origin,
        record_url=_record_url(body),
    )
    receipt = await request.app[JOURNAL].append(event, enterprise)
    return json_answer({"status": "ignored", "reason": "duplicate"} if receipt.duplicate else {"success": True})


@routes.post("/api/events")
async def events(request: web.Request) -> web.Response:
    """Take one event of an enterprise by its number; `download` is a recovered hangup: a record, never a pop-up."""
    received_at = round(clock.now(), 6)
    body = read_json(await request.read())
    kind = _choice(body, "event_type", KINDS | {"download"})
    payload = _object(body, "payload")
    enterprise = await request.app[STORE].by_number(read_token(body.get("enterprise_number")))
    if enterprise is None:
        return error_answer(404, "unknown_enterprise", "there is no enterprise with this number")
    origin: Origin = "download" if kind == "download" else "live"
    kind = "hangup" if kind == "download" else kind
    unique_id = read_unique_id(kind, payload)
    event = read_event(kind, unique_id, payload, enterprise.directory, received_at=received_at, origin=origin)
    await request.app[JOURNAL].append(event, enterprise)
    return json_answer({"status": "ok"})


def _choice(body: Mapping[str, Any], name: str, allowed: frozenset[str]) -> str:
    value = body.get(name)
    if not isinstance(value, str) or value not in allowed:
        raise BadRequestError(f"{name} must be one of: {', '.join(sorted(allowed))}")
    return value


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if not isinstance(value, dict):
        raise BadRequestError(f"{name} must be an object: the event as the host sent it")
    return value


def _record_url(body: Mapping[str, Any]) -> str:
    value = body.get("record_url")
    if value is not None and not isinstance(value, str):
        raise BadRequestError("record_url must be a string")
    return value or ""
