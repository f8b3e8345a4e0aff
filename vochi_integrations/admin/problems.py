"""What went wrong, in words for people: JSON for scripts, a page for a person."""

import math
from collections.abc import Mapping

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import Struct

from vochi_integrations.admin import area
from vochi_integrations.admin.i18n import deferred, gettext
from vochi_integrations.admin.languages import choose_language
from vochi_integrations.admin.render import render
from vochi_integrations.web.answers import error_answer


class Problem(Struct, frozen=True):
    """What a person is told: what happened, and what to do."""

    status: int
    title: str
    advice: str


FROM_THE_CRM = deferred(
    "Откройте страницу заново: из личного кабинета или в RetailCRM кнопкой «Перейти в личный кабинет»."
)
PROBLEMS: Mapping[str, Problem] = {
    "not_signed_in": Problem(401, deferred("Нужно войти"), FROM_THE_CRM),
    "bad_token": Problem(403, deferred("Неверный или истёкший токен доступа"), FROM_THE_CRM),
    "other_token": Problem(403, deferred("Токен не подходит для этого предприятия"), FROM_THE_CRM),
    "other_enterprise": Problem(
        403,
        deferred("Нет доступа к этому предприятию"),
        deferred("Вы вошли как администратор другого предприятия. Откройте его страницу или войдите заново."),
    ),
    "not_an_administrator": Problem(
        403,
        deferred("Эта страница только для администраторов"),
        deferred("Попросите администратора вашего предприятия дать вам права или сделать это за вас."),
    ),
    "cross_origin": Problem(
        403,
        deferred("Запрос пришёл с чужой страницы"),
        deferred("Ничего не изменено. Обновите страницу и повторите действие на ней."),
    ),
    "too_many_attempts": Problem(
        429, deferred("Слишком много неудачных попыток входа"), deferred("Подождите минуту и попробуйте снова.")
    ),
    "not_found": Problem(404, deferred("Такой страницы нет"), deferred("Проверьте адрес или вернитесь на главную.")),
    "method_not_allowed": Problem(
        405, deferred("Так эту страницу открыть нельзя"), deferred("Вернитесь на главную и повторите действие.")
    ),
    "body_too_large": Problem(
        413, deferred("Слишком много данных за один раз"), deferred("Сохраните изменения по частям.")
    ),
    "bad_request": Problem(400, deferred("Запрос непонятен"), deferred("Обновите страницу и повторите действие.")),
    "database_unavailable": Problem(
        503,
        deferred("База данных не отвечает"),
        deferred("Звонки при этом обрабатываются. Обновите страницу через минуту."),
    ),
    "internal_error": Problem(
        500, deferred("Ошибка на нашей стороне"), deferred("Она записана в журнал. Попробуйте снова или сообщите нам.")
    ),
}

UNWORDED = {"not_found", "method_not_allowed", "body_too_large", "database_unavailable", "internal_error"}
KEPT = ("Allow", "Retry-After")


def problem(code: str, *, retry_after: float = 0.0) -> web.Response:
    """Answer a problem as JSON; `as_pages` makes a page of it where a person looks."""
    told = PROBLEMS[code]
    answer = error_answer(told.status, code, f"{gettext(told.title)}. {gettext(told.advice)}")
    if retry_after:
        answer.headers["Retry-After"] = str(math.ceil(retry_after))
    return answer


async def as_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Choose the language, and show errors of the administrator's area as pages."""
    choice = choose_language(request)
    response = await handler(request)
    if isinstance(response, web.Response) and response.status >= 400:
        response = _worded(request, response)
    choice.remember(response)
    return response


def _worded(request: web.Request, response: web.Response) -> web.Response:
    """Make a page of an error, or for a part of a page our words of it; what is a page already stays."""
    if response.content_type != "application/json" or not isinstance(response.body, bytes):
        return response
    code = orjson.loads(response.body).get("error", "")
    if area.wants_page(request):
        told = PROBLEMS.get(code, PROBLEMS["internal_error" if response.status >= 500 else "bad_request"])
        worded = render(request, "admin/problem.html", {"problem": told, "code": code}, status=response.status)
    elif area.is_fragment(request) and code in UNWORDED:
        worded = problem(code)
    else:
        return response
    worded.headers.update({name: response.headers[name] for name in KEPT if name in response.headers})
    return worded
