"""How a company's connection stands, from what is known here: no CRM is asked."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from msgspec import Struct

from vochi_integrations.admin.i18n import deferred
from vochi_integrations.admin.operations.desk import CRM, Desk
from vochi_integrations.admin.pages.parts import config_of, said, why_not
from vochi_integrations.integrations.base import Said
from vochi_integrations.keys import DISPATCHER

WRONG: Mapping[str, tuple[str, str]] = {
    "domain is not set": (deferred("Адрес домена не указан."), deferred("Например: demo.retailcrm.ru")),
    "domain is not an address": (deferred("Это не адрес."), deferred("Например: demo.retailcrm.ru")),
    "domain must look like demo.retailcrm.ru": (deferred("Это не адрес."), deferred("Например: demo.retailcrm.ru")),
    "domain must be a public https address": (
        deferred("Такой адрес не открывается из интернета."),
        deferred("Укажите адрес, по которому RetailCRM открывается в браузере: он начинается с https://"),
    ),
    "api_key is not set": (
        deferred("Ключ не указан."),
        deferred("Скопируйте его в RetailCRM: Настройки → Интеграция → Ключи доступа к API."),
    ),
    "api_key has characters that no key has": (
        deferred("В ключе есть лишние знаки."),
        deferred("Скопируйте его в RetailCRM ещё раз: Настройки → Интеграция → Ключи доступа к API."),
    ),
}
UNREADABLE = (
    deferred("Сохранённый ключ не удаётся прочитать."),
    deferred("Скопируйте ключ в RetailCRM ещё раз и сохраните его здесь."),
)
NOBODY_YET = deferred("Осталось назначить внутренние номера на странице «Сотрудники».")


class State(Struct, frozen=True, kw_only=True):
    """What a company is told about its connection. `by_number` warns of the client id that anybody could guess."""

    tone: str
    title: Said
    text: Said
    by_number: bool = False


def standing(request: web.Request, desk: Desk, stored: Mapping[str, Any]) -> State:
    """Say how the connection is; `stored` is the configuration, masked, {} when there is none."""
    config = config_of(request)
    if not stored or config is None:
        advice = deferred("Укажите адрес и ключ: подключение займёт пару минут.")
        return _told("", deferred("CRM ещё не подключена"), advice)
    by_number = config.enabled and not config.client_id
    if config.problem:
        unknown = UNREADABLE if config.problem.startswith("api_key cannot be read") else (config.problem, "")
        what, advice = WRONG.get(config.problem, unknown)
        return State(tone="bad", title=Said(what), text=Said(advice))
    if not config.enabled:
        advice = deferred("Звонки не отправляются в CRM. Включите «Активен?» и сохраните.")
        return _told("warn", deferred("Интеграция выключена"), advice)
    failing = _failing(request, desk.number)
    if failing is not None:
        title = Said(deferred("CRM сейчас не принимает звонки"))
        return State(tone="bad", title=title, text=failing, by_number=by_number)
    host = config.url.partition("://")[2]
    text = deferred("Сотрудников с внутренним номером: {count}.") if config.extensions else NOBODY_YET
    given = Said(text, {"count": len(config.extensions)})
    title = Said(deferred("Подключено к {host}"), {"host": host})
    return State(tone="good", title=title, text=given, by_number=by_number)


def _told(tone: str, title: str, text: str) -> State:
    return State(tone=tone, title=Said(title), text=Said(text))


def _failing(request: web.Request, number: str) -> Said | None:
    """Say why the CRM is not asked at the moment, None when it is."""
    for lane in request.app[DISPATCHER].unwell():
        if (lane.enterprise, lane.integration) == (number, CRM) and lane.breaker != "closed":
            return Said("{why}.", {"why": said(why_not(lane.reason or "")).capitalize()})
    return None
