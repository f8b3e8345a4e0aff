"""The page that shows an account live: every manager's screen, the call history, the switches."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

import aiohttp_jinja2
import msgspec
import orjson
from aiohttp import web

from vochi_integrations.emulators.retailcrm.account import Account, Call
from vochi_integrations.emulators.retailcrm.crm import CRM
from vochi_integrations.emulators.retailcrm.labels import LABELS
from vochi_integrations.emulators.retailcrm.people import User, digits
from vochi_integrations.emulators.retailcrm.screens import Popup
from vochi_integrations.emulators.retailcrm.switches import Fault

routes = web.RouteTableDef()
HISTORY = 50
CLOSED_SHOWN = 6.0
BETWEEN_UPDATES = 0.05
HEARTBEAT = 15.0
POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:"


CHOICES = {
    "fault": ("fault", (None, *Fault)),
    "latency_ms": ("latency", (0, 300, 1000, 5000)),
    "flap_seconds": ("flap", (0, 5, 15)),
    "rate_limit": ("limit", (True, False)),
    "one_bad_call": ("one_bad", ("400", "460")),
}


@routes.get("/")
async def show(request: web.Request) -> web.Response:
    account, language = account_of(request), "en" if request.query.get("lang") == "en" else "ru"
    label = LABELS[language]
    context = {
        "account": account.name,
        "accounts": list(request.app[CRM].named),
        "label": label,
        "lang": language,
        "state": orjson.dumps(state_of(account)).decode(),
        "switches": [switch_of(name, label) for name in CHOICES],
    }
    response = aiohttp_jinja2.render_template("emulator.html", request, context)
    response.headers.update({"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})
    return response


def switch_of(name: str, label: Mapping[str, str]) -> dict[str, Any]:
    title, values = CHOICES[name]
    return {"name": name, "label": title, "choices": [(value, worded(name, value, label)) for value in values]}


def worded(name: str, value: Any, label: Mapping[str, str]) -> str:
    if name == "latency_ms" and value:
        return f"{value} {label['ms']}"
    if name == "flap_seconds" and value:
        return f"{value} {label['s']}"
    if isinstance(value, bool):
        return label["on" if value else "off"]
    return label.get(value, value) if value else label["none"]


def account_of(request: web.Request) -> Account:
    named = request.app[CRM].named
    wanted = request.query.get("account", next(iter(named)))
    if wanted not in named:
        raise web.HTTPNotFound
    return named[wanted]


@routes.get("/_stream")
async def stream(request: web.Request) -> web.StreamResponse:
    """Server-sent events: the whole state at once, and again after each change, so that a lost one never matters."""
    crm, account = request.app[CRM], account_of(request)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    with listening(account) as news, suppress(ConnectionError):
        while not crm.stopping.is_set():
            news.clear()
            await response.write(b"data: " + orjson.dumps(state_of(account)) + b"\n\n")
            await crm.pause(BETWEEN_UPDATES)
            await first_of(news)
    return response


@contextmanager
def listening(account: Account) -> Iterator[asyncio.Event]:
    news = asyncio.Event()
    account.listeners.add(news)
    try:
        yield news
    finally:
        account.listeners.discard(news)


async def first_of(news: asyncio.Event) -> None:
    """Wait for news, but not so long that a browser which has left goes unnoticed."""
    with suppress(TimeoutError):
        async with asyncio.timeout(HEARTBEAT):
            await news.wait()


def state_of(account: Account) -> dict[str, Any]:
    now = time.time()
    return {
        "now": now,
        "account": account.name,
        "totals": msgspec.to_builtins(account.totals),
        "switches": msgspec.to_builtins(account.switches),
        "callable": can_call(account),
        "managers": [screen_of(account, user) for user in managers(account)],
        "popups": [card_of(account, popup) for popup in account.screens if is_shown(popup, now)],
        "calls": [row_of(account, call) for call in islice(reversed(account.calls.values()), HISTORY)],
    }


def can_call(account: Account) -> bool:
    module = account.telephony()
    return bool(module and module["integrations"]["telephony"].get("makeCallUrl"))


def managers(account: Account) -> list[User]:
    """Who has a screen: active managers, those with an extension first."""
    coded = set(account.codes.values())
    shown = [user for user in account.users.values() if user.active and (user.is_manager or user.id in coded)]
    return sorted(shown, key=lambda user: user.id not in coded)


def screen_of(account: Account, user: User) -> dict[str, Any]:
    return {"id": user.id, "name": user.name, "code": account.code_of(user.id), "status": user.status}


def is_shown(popup: Popup, now: float) -> bool:
    return popup.closed_at is None or now - popup.closed_at < CLOSED_SHOWN


def card_of(account: Account, popup: Popup) -> dict[str, Any]:
    return {**msgspec.to_builtins(popup), "customer": customer_name(account, popup.phone)}


def row_of(account: Account, stored: Call) -> dict[str, Any]:
    call, manager = stored.call, account.manager_of(stored.call)
    return {
        "id": stored.id,
        "date": call["date"],
        "type": call["type"],
        "phone": call["phone"],
        "customer": customer_name(account, call["phone"]),
        "manager": manager.name if manager else None,
        "code": call.get("code"),
        "result": call["result"],
        "talk": call.get("duration"),
        "wait": call.get("durationWaiting"),
        "record": call.get("recordUrl"),
        "uploads": stored.uploads,
    }


def customer_name(account: Account, phone: str) -> str | None:
    customer = account.customers.get(digits(phone))
    return customer.name if customer else None
