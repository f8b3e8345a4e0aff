"""The way in: key, rate limit and scope of every request, and the table of the methods there are."""

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from aiohttp import web

from vochi_integrations.emulators.retailcrm import directory, faults, telephony
from vochi_integrations.emulators.retailcrm.account import Account, Request
from vochi_integrations.emulators.retailcrm.answers import NGINX_503, Answer, Refusal, accept, html, refuse
from vochi_integrations.emulators.retailcrm.crm import CRM, is_waiting
from vochi_integrations.emulators.retailcrm.parameters import Query, key_of, read_parameters


class Method(NamedTuple):
    verb: str
    path: str
    scope: str | None
    run: Callable[[Query], Answer]


def unknown(_query: Query) -> Answer:
    raise Refusal(404, "API method not found")


# No source maps methods to scopes; these follow the scopes' names.
METHODS = (
    Method("GET", "/api/api-versions", None, directory.api_versions),
    Method("GET", "/api/credentials", None, directory.credentials),
    Method("GET", "/api/system-info", None, directory.system_info),
    Method("POST", "/api/v5/telephony/call/event", "telephony_write", telephony.call_event),
    Method("POST", "/api/v5/telephony/calls/upload", "telephony_write", telephony.calls_upload),
    Method("GET", "/api/v5/telephony/calls", "telephony_read", telephony.calls_list),
    Method("GET", "/api/v5/telephony/manager", "telephony_read", telephony.manager),
    Method("GET", "/api/v5/integration-modules/{code}", "integration_read", directory.integration_module),
    Method("POST", "/api/v5/integration-modules/{code}/edit", "integration_write", directory.integration_module_edit),
    Method("GET", "/api/v5/users", "user_read", directory.users),
    Method("GET", "/api/v5/users/{id}", "user_read", directory.user),
    Method("POST", "/api/v5/users/{id}/status", "user_write", directory.user_status),
    Method("GET", "/api/v5/user-groups", "user_read", directory.user_groups),
    Method("GET", "/api/v5/customers", "customer_read", directory.customers),
    Method("*", "/api/{tail:.*}", None, unknown),
)


def add_routes(app: web.Application) -> None:
    for method in METHODS:
        app.router.add_route(method.verb, method.path, partial(serve, method))


async def serve(method: Method, request: web.Request) -> web.StreamResponse:
    """One request to the API: noted as it arrives, then answered as the switches have it."""
    at, tick = time.time(), time.perf_counter()
    crm = request.app[CRM]
    parameters = await read_parameters(request)
    key = key_of(request, parameters)
    account = crm.accounts.get(key or "", crm.stranger)
    noted = Request(at, tick, account.name or None, request.method, request.path)
    crm.keep(noted, account)
    query = Query(account, parameters, request.match_info, f"{request.scheme}://{request.host}", at, tick)
    response = await faults.answer(request, crm, account, partial(process, method, query, key))
    if is_waiting(request):
        noted.status = response.status
    return response


def process(method: Method, query: Query, key: str | None) -> web.Response:
    account = query.account
    try:
        admit(account, key)
        if not account.admits(query.tick, is_telephony=method.path.startswith("/api/v5/telephony/")):
            account.totals.limited += 1
            return html(NGINX_503, 503)
        require_scope(account, method.scope)
        return accept(method.run(query))
    except Refusal as refusal:
        account.totals.refused += 1
        return refuse(refusal)


def admit(account: Account, key: str | None) -> None:
    if not key:
        raise Refusal(400, '"apiKey" is missing.')
    if account.api_key != key:
        raise Refusal(403, 'Wrong "apiKey" value.')


def require_scope(account: Account, scope: str | None) -> None:
    if scope and scope not in account.scopes:
        raise Refusal(403, "Access denied.")
