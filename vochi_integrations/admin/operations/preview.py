"""Who would get a call: the question a waiting dialplan asks, asked by a person."""

import asyncio
import time

from aiohttp import web
from msgspec import Struct

from vochi_integrations.errors import UnknownEnterpriseError
from vochi_integrations.keys import REDIRECTOR, SETTINGS, STORE
from vochi_integrations.pbx.redirect import open_question, question_of, read_phone


class Preview(Struct, frozen=True, kw_only=True):
    """Who would get a call now, where that is known from, and in how many milliseconds.

    `source` is the CRM's name, `last_call`, `first_call`; or why nobody: `none`, `timeout`, `error`, `off`, `line_off`,
    `enterprise_inactive`. `cached` when nobody had to be asked. `context` and `name` are what the dialplan of a line
    would be answered.
    """

    extension: str | None
    manager_id: str | None
    source: str
    cached: bool
    context: str | None
    name: str
    elapsed_ms: float


async def who_gets(app: web.Application, number: str, phone: str, trunk: str = "") -> Preview:
    """Decide as for a call from `phone`: on the line `trunk` by its settings, without one by the CRM and our history.

    Raises UnknownEnterpriseError, BadRequestError. Nothing is redirected and nothing is kept but the CRM's answer.
    """
    began = time.perf_counter()
    deadline = asyncio.get_running_loop().time() + app[SETTINGS].smart_redirect.budget_ms / 1000
    enterprise = await app[STORE].by_number(number)
    if enterprise is None:
        raise UnknownEnterpriseError(f"there is no enterprise {number}")
    caller = read_phone(phone)
    question = question_of(enterprise, caller, trunk) if trunk else open_question(enterprise, caller)
    decision = await app[REDIRECTOR].decide(enterprise, question, deadline)
    return Preview(
        extension=decision.extension or None,
        manager_id=decision.manager or None,
        source=decision.source,
        cached=decision.cached,
        context=decision.context,
        name=decision.name,
        elapsed_ms=round((time.perf_counter() - began) * 1000, 2),
    )
