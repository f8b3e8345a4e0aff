"""«Подключение»: the CRM's address and key, the check, the registration, the removal."""

from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import web
from msgspec.structs import replace

from vochi_integrations.admin.area import PREFIX, ROOT
from vochi_integrations.admin.flash import add_flash
from vochi_integrations.admin.i18n import deferred, gettext
from vochi_integrations.admin.operations import connect, staff
from vochi_integrations.admin.operations.desk import Desk, NotConnectedError
from vochi_integrations.admin.pages.parts import desk_here, form_of, said, show
from vochi_integrations.admin.pages.standing import WRONG, standing
from vochi_integrations.admin.pages.steps import Steps
from vochi_integrations.admin.render import page_url, to_page
from vochi_integrations.admin.sessions import VIEWER, keep
from vochi_integrations.errors import BadRequestError, DeliveryError
from vochi_integrations.integrations.base import Said
from vochi_integrations.keys import DATABASE

routes = web.RouteTableDef()
log = structlog.get_logger()
SCOPES: Mapping[str, str] = {
    "telephony_write": deferred("показывать карточки и записывать звонки"),
    "telephony_read": deferred("узнавать ответственного за клиента"),
    "integration_write": deferred("зарегистрировать модуль телефонии"),
    "integration_read": deferred("сверять номера сотрудников"),
    "user_read": deferred("видеть список сотрудников"),
}
REGISTERED_NEXT = "module"
NOT_SAVED_YET = deferred("Проверка ничего не сохраняет: нажмите «Сохранить и зарегистрировать».")
NOT_SAVED = deferred("То, что было сохранено раньше, действует по-прежнему.")


@routes.get(PREFIX)
@routes.get(ROOT)
async def show_connection(request: web.Request) -> web.Response:
    return show(request, "admin/connection.html", {**await _context(request), "outcome": ""})


@routes.get(f"{ROOT}connection/state")
async def show_state(request: web.Request) -> web.Response:
    """Show what a registration has changed on the page, and nothing else of it."""
    return show(request, "admin/_connected.html", await _context(request))


@routes.post(f"{ROOT}connection/check")
async def check(request: web.Request) -> web.StreamResponse:
    """Look at the connection as the form has it; nothing is saved."""
    desk, fields = desk_here(request), _fields(await form_of(request))
    steps = await _begin(request, fields)
    if await _checked(steps, desk, fields, advise=True):
        await steps.tell("done", deferred("Всё готово к регистрации."), NOT_SAVED_YET)
    return await steps.end()


@routes.post(f"{ROOT}connection/register")
async def register(request: web.Request) -> web.StreamResponse:
    """Check, save, register, read the staff. What does not work is not saved over what does."""
    desk, fields = desk_here(request), _fields(await form_of(request))
    steps = await _begin(request, fields)
    if not fields["enabled"]:
        await _switch_off(steps, desk, fields)
    elif not await _checked(steps, desk, fields):
        await steps.tell("failed", deferred("Не сохранено"), NOT_SAVED)
    elif await _registered(steps, request, desk, fields):
        await _staff_read(steps, desk)
    await steps.connected()
    return await steps.end()


async def _begin(request: web.Request, fields: Mapping[str, Any]) -> Steps:
    context = await _context(request)
    typed = {"domain": fields["domain"], "enabled": fields["enabled"]}
    return await Steps.begin(request, "admin/connection.html", context | {"form": {**context["form"], **typed}})


async def _checked(steps: Steps, desk: Desk, fields: Mapping[str, Any], *, advise: bool = False) -> bool:
    """Tell what the check finds, and what to do about what is in order too when `advise`; say whether all is."""
    await steps.now(deferred("Проверяем подключение…"))
    try:
        checkup = await connect.check(desk, fields)
    except BadRequestError as error:
        await _told_wrong(steps, error)
        return False
    for step in checkup.steps:
        if advise or step.status == "problem":
            await steps.found(step)
        elif step.name != REGISTERED_NEXT:
            await steps.found(replace(step, advice=None))
    return checkup.is_healthy


async def _told_wrong(steps: Steps, error: BadRequestError) -> None:
    key, _, complaint = str(error).partition(": ")
    what, advice = WRONG.get(f"{key} {complaint}".strip(), (deferred("Такое значение не подходит."), ""))
    title = "API Key" if key.startswith("api_key") else deferred("Адрес домена")
    await steps.tell("failed", title, what, advice)


async def _registered(steps: Steps, request: web.Request, desk: Desk, fields: Mapping[str, Any]) -> bool:
    await steps.now(deferred("Сохраняем и регистрируем модуль в RetailCRM…"))
    try:
        made = await connect.register(desk, fields)
    except BadRequestError as error:
        await _told_wrong(steps, error)
        return False
    except DeliveryError as error:
        await steps.tell("done", deferred("Сохранено"))
        await steps.failed(deferred("Регистрация в RetailCRM"), desk.crm.explain(error))
        return False
    await keep(request.app[DATABASE], request[VIEWER], made.token_id)
    log.info("crm registered", enterprise=desk.number, by=request[VIEWER].source)
    await steps.tell("done", deferred("Сохранено"))
    await steps.tell("done", deferred("Регистрация в RetailCRM"), deferred("Модуль «Vochi-CRM» включён."))
    return True


async def _switch_off(steps: Steps, desk: Desk, fields: Mapping[str, Any]) -> None:
    """Stop sending whatever the CRM says about it."""
    await steps.now(deferred("Выключаем…"))
    try:
        await connect.register(desk, fields)
    except BadRequestError as error:
        await _told_wrong(steps, error)
        return
    except DeliveryError as error:
        await steps.tell("done", deferred("Сохранено"), deferred("Звонки больше не отправляются в CRM."))
        await steps.failed(deferred("Модуль в RetailCRM остался включённым"), desk.crm.explain(error))
        return
    await steps.tell("done", deferred("Сохранено"), deferred("Звонки больше не отправляются в CRM."))


async def _staff_read(steps: Steps, desk: Desk) -> None:
    await steps.now(deferred("Загружаем сотрудников…"))
    try:
        found = await staff.load(desk)
    except DeliveryError as error:
        await steps.failed(deferred("Список сотрудников"), desk.crm.explain(error))
        return
    counts = {"people": len(found.employees), "given": len(found.extensions)}
    text = deferred("Сотрудников в CRM: {people}, с внутренним номером: {given}.")
    link = (page_url(desk.number, "managers"), deferred("Назначить номера сотрудникам"))
    await steps.tell("done", deferred("Список сотрудников"), Said(text, counts), link=link)


@routes.post(f"{ROOT}connection/remove")
async def remove(request: web.Request) -> web.Response:
    desk = desk_here(request)
    response = to_page(page_url(desk.number, ""))
    try:
        removal = await connect.remove(desk, request[VIEWER].session)
    except NotConnectedError:
        add_flash(request, response, "info", gettext("Интеграции уже нет."))
        return response
    log.info("crm removed", enterprise=desk.number, by=request[VIEWER].source)
    if removal.error is None:
        add_flash(request, response, "success", gettext("Интеграция удалена"))
    else:
        why = desk.crm.explain(removal.error)
        text = gettext("Интеграция удалена, но модуль в RetailCRM остался включённым: выключите его там.")
        add_flash(request, response, "warning", f"{text} {said(why.what)}")
    return response


def _fields(form: Mapping[str, str]) -> dict[str, Any]:
    """Return what the form says; a switch that is off sends nothing."""
    return {
        "domain": form.get("domain", "").strip(),
        "api_key": form.get("api_key", "").strip(),
        "enabled": form.get("enabled") in ("on", "true"),
    }


async def _context(request: web.Request) -> dict[str, Any]:
    desk = desk_here(request)
    stored = await connect.show(desk)
    form = {
        "exists": bool(stored),
        "domain": str(stored.get("domain") or ""),
        "masked_key": str(stored.get("api_key") or ""),
        "enabled": stored.get("enabled") is True or not stored,
    }
    return {"form": form, "scopes": list(SCOPES.items()), "state": standing(request, desk, stored)}
