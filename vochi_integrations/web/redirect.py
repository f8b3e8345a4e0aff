"""Smart redirect over HTTP: the dialplan's question, and our own services' (facts: asterisk_hosts §5)."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import web

from vochi_integrations.domain import Enterprise
from vochi_integrations.errors import BadRequestError
from vochi_integrations.events import UNIQUE_ID_SIZE, read_json, read_token
from vochi_integrations.keys import REDIRECTOR, SETTINGS, STORE
from vochi_integrations.pbx.commands import CHANNEL
from vochi_integrations.pbx.redirect import SAFE, Decision, open_question, question_of, read_phone
from vochi_integrations.pbx.redirector import UNDECIDED
from vochi_integrations.web.answers import error_answer, json_answer

MARGIN = 0.1
MOST_MARGIN = 0.08
TENANT_SHARE = 0.3

log = structlog.get_logger()


class Budget:
    """The time a waiting dialplan gives us: from the request's head to the answer, what the loop needs included."""

    def __init__(self, seconds: float) -> None:
        self._began = time.perf_counter()
        now = asyncio.get_running_loop().time()
        self.deadline = now + seconds - min(MOST_MARGIN, seconds * MARGIN)
        self.tenant_deadline = now + seconds * TENANT_SHARE

    @property
    def elapsed_ms(self) -> float:
        return round((time.perf_counter() - self._began) * 1000, 2)


async def get_customer_data(request: web.Request) -> web.Response:
    """Answer a dialplan: always 200, and nothing that it could cut wrongly, whatever happens here."""
    budget = _budget(request)
    try:
        answer = await _dialplan_answer(request, budget)
    except TimeoutError:
        log.warning("smart redirect", source="timeout", ms=budget.elapsed_ms)
        answer = SAFE
    except (web.HTTPException, web.RequestPayloadError, BadRequestError):
        log.warning("smart redirect", source="bad_request", ms=budget.elapsed_ms)
        answer = SAFE
    except Exception:
        log.exception("smart redirect", source="error", ms=budget.elapsed_ms)
        answer = SAFE
    response = web.Response(body=answer, content_type="application/json")
    if not request.content.is_eof():
        response.force_close()
    return response


async def _dialplan_answer(request: web.Request, budget: Budget) -> bytes:
    async with asyncio.timeout_at(budget.deadline):
        body = read_json(await request.read())
    enterprise = await _by_token(request, body, budget)
    if enterprise is None:
        log.info("smart redirect", source="unknown_token", ms=budget.elapsed_ms)
        return SAFE
    question = question_of(enterprise, body.get("Phone"), _text(body.get("TrunkId")))
    redirector = request.app[REDIRECTOR]
    decision = await redirector.decide(enterprise, question, budget.deadline)
    call = _text(body.get("UniqueId"))[:UNIQUE_ID_SIZE]
    redirector.record(enterprise, question, decision, call=call, elapsed_ms=budget.elapsed_ms)
    return decision.body


async def _by_token(request: web.Request, body: Mapping[str, Any], budget: Budget) -> Enterprise | None:
    """Find the dialplan's enterprise; when the database is slow, as it was last known."""
    token = body.get("Token")
    token = read_token(request.headers.get("Token", "") if token is None else token)
    store = request.app[STORE]
    try:
        async with asyncio.timeout_at(budget.tenant_deadline):
            return (store.fresh(token) or await store.by_token(token)) if token else None
    except TimeoutError:
        return store.current.by_token.get(token)


async def smart_redirect(request: web.Request) -> web.Response:
    """Say who is responsible for a caller, within the budget."""
    budget = _budget(request)
    try:
        async with asyncio.timeout_at(budget.deadline):
            body = read_json(await request.read())
    except TimeoutError:
        return json_answer(_answer(Decision(source="timeout"), budget.elapsed_ms))
    phone, channel = read_phone(_text(body.get("phone"))), _channel(body)
    enterprise = await _by_number(request, read_token(body.get("enterprise_number")), budget)
    if enterprise is None:
        return error_answer(404, "unknown_enterprise", "there is no enterprise with this number")
    question = open_question(enterprise, phone)
    redirector = request.app[REDIRECTOR]
    decision = await redirector.decide(enterprise, question, budget.deadline)
    call, elapsed_ms = _text(body.get("unique_id"))[:UNIQUE_ID_SIZE], budget.elapsed_ms
    redirector.record(enterprise, question, decision, call=call, elapsed_ms=elapsed_ms)
    if channel and decision.extension:
        redirector.move(enterprise, channel, decision.extension, call)
    return json_answer(_answer(decision, elapsed_ms))


async def _by_number(request: web.Request, number: str, budget: Budget) -> Enterprise | None:
    store = request.app[STORE]
    try:
        async with asyncio.timeout_at(budget.tenant_deadline):
            return await store.by_number(number)
    except TimeoutError:
        return store.current.by_number.get(number)


def _answer(decision: Decision, elapsed_ms: float) -> dict[str, object]:
    """Return the contract's answer: nobody is `none`, `timeout` or `error`."""
    manager = decision.manager
    has_answer = decision.extension or decision.source in UNDECIDED
    return {
        "extension": decision.extension or None,
        "manager_id": int(manager) if manager.isascii() and manager.isdecimal() else manager or None,
        "source": decision.source if has_answer else "none",
        "elapsed_ms": elapsed_ms,
    }


def _channel(body: Mapping[str, Any]) -> str:
    """Return the channel to move, "" when none is named. Raises BadRequestError for what no channel is called."""
    channel = body.get("channel")
    if channel in (None, ""):
        return ""
    if not isinstance(channel, str) or not CHANNEL.fullmatch(channel):
        raise BadRequestError("channel must be a channel's name, e.g. SIP/0001363-00000004")
    return channel


def _text(value: object) -> str:
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _budget(request: web.Request) -> Budget:
    return Budget(request.app[SETTINGS].smart_redirect.budget_ms / 1000)


def public_routes() -> list[web.RouteDef]:
    path = "/api/callevent/getcustomerdata"
    return [web.post(path + slash, get_customer_data) for slash in ("", "/")]


def internal_routes() -> list[web.RouteDef]:
    return [*public_routes(), web.post("/api/smart-redirect", smart_redirect)]
