"""Events from Asterisk hosts: accepted liberally, answered 200 once durable (design 4.2; contract, Intake)."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from aiohttp import web

from vochi_integrations import clock
from vochi_integrations.domain import Enterprise, Origin
from vochi_integrations.errors import BadRequestError
from vochi_integrations.events import KINDS, read_event, read_json, read_token, read_unique_id
from vochi_integrations.keys import JOURNAL, REDIRECTOR, STORE
from vochi_integrations.web.acknowledgement import acknowledged
from vochi_integrations.web.answers import error_answer

UNKNOWN_TOKEN = "no enterprise has this Token; check enterprises.name2"  # noqa: S105 - a message


async def take(kind: str, origin: Origin, request: web.Request) -> web.StreamResponse:
    """Take one event of a host."""
    received_at = round(clock.now(), 6)
    data = await request.read()
    try:
        body = read_json(data)
    except BadRequestError:
        if "Token" in request.headers and await find_enterprise(request, {}) is None:
            return error_answer(401, "unknown_token", UNKNOWN_TOKEN)
        raise
    enterprise = await find_enterprise(request, body)
    if enterprise is None:
        return error_answer(401, "unknown_token", UNKNOWN_TOKEN)
    unique_id = read_unique_id(kind, body)
    event = read_event(kind, unique_id, body, enterprise.directory, received_at=received_at, origin=origin)
    if kind == "start":
        request.app[REDIRECTOR].prefetch(enterprise, event)
    await request.app[JOURNAL].append(event, enterprise)
    return acknowledged(request)


async def find_enterprise(request: web.Request, body: Mapping[str, Any]) -> Enterprise | None:
    """Find a host's enterprise: the body's Token wins over the header's (contract, Intake)."""
    token = body.get("Token")
    token = read_token(request.headers.get("Token", "") if token is None else token)
    if not token:
        return None
    store = request.app[STORE]
    return store.fresh(token) or await store.by_token(token)


def routes() -> list[web.RouteDef]:
    """Every event route, with and without a trailing slash; `download` brings a recovered hangup."""
    handlers = {kind: partial(take, kind, "live") for kind in sorted(KINDS)}
    handlers["download"] = partial(take, "hangup", "download")
    return [web.post(f"/{name}{slash}", handler) for name, handler in handlers.items() for slash in ("", "/")]
