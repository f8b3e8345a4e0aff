"""The back door for tests, demo and benchmarks: switches, what was received, the CRM's call button."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

import msgspec
import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, web
from yarl import URL

from vochi_integrations.emulators.retailcrm.account import Account
from vochi_integrations.emulators.retailcrm.crm import CRM, Crm
from vochi_integrations.emulators.retailcrm.module import telephony_of

routes = web.RouteTableDef()
CLICK_TIMEOUT = ClientTimeout(total=10)


class Click(msgspec.Struct, forbid_unknown_fields=True):
    account: str
    userId: int  # noqa: N815 - the CRM's own name
    phone: str


def answer(fields: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(fields), status=status, content_type="application/json")


def refusal(why: object) -> web.Response:
    return answer({"error": str(why)}, 400)


@routes.get("/_control")
async def read_switches(request: web.Request) -> web.Response:
    return answer(switches_of(request.app[CRM]))


def switches_of(crm: Crm) -> dict[str, Any]:
    accounts = {name: msgspec.to_builtins(account.switches) for name, account in crm.named.items()}
    return {"all": msgspec.to_builtins(crm.switches), "accounts": accounts}


@routes.post("/_control")
async def set_switches(request: web.Request) -> web.Response:
    try:
        changes = msgspec.json.decode(await request.read(), type=dict[str, Any])
        request.app[CRM].switch(changes.pop("account", None), **changes)
    except KeyError as unknown:
        return refusal(f"no account {unknown}")
    except (msgspec.MsgspecError, TypeError) as wrong:
        return refusal(wrong)
    return answer(switches_of(request.app[CRM]))


@routes.get("/_state")
async def read_state(request: web.Request) -> web.Response:
    named, with_requests = request.app[CRM].named, "requests" in request.query
    wanted = request.query.get("account")
    if wanted is not None and wanted not in named:
        return refusal(f"no account '{wanted}'")
    chosen = named if wanted is None else {wanted: named[wanted]}
    states = {name: state_of(account, with_requests=with_requests) for name, account in chosen.items()}
    return answer({"accounts": states})


def state_of(account: Account, *, with_requests: bool) -> Any:
    state = {
        "totals": account.totals,
        "events": list(account.events),
        "calls": list(account.calls.values()),
        "popups": list(account.screens),
        "modules": account.modules,
        **({"requests": list(account.requests)} if with_requests else {}),
    }
    return msgspec.to_builtins(state)


@routes.delete("/_state")
async def clear_state(request: web.Request) -> web.Response:
    try:
        request.app[CRM].clear(request.query.get("account"))
    except KeyError as unknown:
        return refusal(f"no account {unknown}")
    return answer({"cleared": True})


@routes.post("/_click")
async def click(request: web.Request) -> web.Response:
    """A manager presses the phone icon: the CRM asks the module for a call (facts: retailcrm_api §7)."""
    try:
        clicked = msgspec.json.decode(await request.read(), type=Click)
        account = request.app[CRM].named[clicked.account]
        url = make_call_url(account, clicked)
    except KeyError as unknown:
        return refusal(f"no account {unknown}")
    except (msgspec.MsgspecError, ValueError) as wrong:
        return refusal(wrong)
    return await ask(url)


def make_call_url(account: Account, clicked: Click) -> URL:
    """The address the CRM would call; `ValueError` says why there is none. Only this machine is ever called."""
    module = account.telephony()
    target = (telephony_of(module) or {}).get("makeCallUrl") if module else None
    if module is None or not target:
        raise ValueError("no active module has a makeCallUrl")
    if not is_loopback(URL(target)):
        raise ValueError("makeCallUrl is not on this machine")
    return URL(target).update_query(call_parameters(account, module, clicked))


def call_parameters(account: Account, module: Mapping[str, Any], clicked: Click) -> dict[str, str]:
    parameters = {
        "clientId": module.get("clientId"),
        "code": account.code_of(clicked.userId),
        "phone": clicked.phone,
        "userId": str(clicked.userId),
    }
    return {name: value for name, value in parameters.items() if value}


def is_loopback(url: URL) -> bool:
    try:
        return ip_address(url.host or "").is_loopback
    except ValueError:
        return url.host == "localhost"


async def ask(url: URL) -> web.Response:
    try:
        async with (
            ClientSession(timeout=CLICK_TIMEOUT, cookie_jar=DummyCookieJar()) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            return answer({"status": response.status, "body": await response.text(errors="replace")})
    except (ClientError, TimeoutError) as failure:
        return answer({"status": None, "body": type(failure).__name__}, 502)
