"""«Кому попадёт звонок»: a number in; who would get its call, where that is known from, in how many milliseconds."""

from aiohttp import web

from vochi_integrations.admin.area import ROOT, is_fragment
from vochi_integrations.admin.i18n import gettext as _
from vochi_integrations.admin.operations.preview import Preview, who_gets
from vochi_integrations.admin.render import render
from vochi_integrations.admin.sessions import VIEWER
from vochi_integrations.domain import Enterprise
from vochi_integrations.errors import BadRequestError
from vochi_integrations.keys import STORE
from vochi_integrations.ops.redirects import SOURCES

routes = web.RouteTableDef()


@routes.get(f"{ROOT}diagnostics/who-gets")
async def ask(request: web.Request) -> web.Response:
    """Answer in the page that asks, or in one of its own for a browser without scripts."""
    phone, trunk = request.query.get("phone", "").strip(), request.query.get("trunk", "")
    answer, wrong = None, ""
    try:
        answer = await who_gets(request.app, request[VIEWER].enterprise, phone, trunk)
    except BadRequestError:
        wrong = _("Введите номер телефона: 3–15 цифр, можно с плюсом.")
    enterprise = request.app[STORE].current.by_number.get(request[VIEWER].enterprise)
    context = form_of(enterprise, phone, trunk) | {"answer": answer, "wrong": wrong, "why": _why(answer)}
    return render(request, "admin/_who_gets.html" if is_fragment(request) else "admin/who_gets.html", context)


def form_of(enterprise: Enterprise | None, phone: str = "", trunk: str = "") -> dict[str, object]:
    """Return what the form shows: the number, the line, and the lines to choose from."""
    lines = enterprise.directory.lines if enterprise else {}
    named = [(line, f"{line} ({number})" if number else line) for line, number in sorted(lines.items())]
    choices = [("", _("Любая")), *named]
    return {"phone": phone, "trunk": trunk, "choices": choices, "answer": None, "wrong": "", "why": ""}


def _why(answer: Preview | None) -> str:
    known = SOURCES.get(answer.source) if answer else None
    return _(known) if known else ""
