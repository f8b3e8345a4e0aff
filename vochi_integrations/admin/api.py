"""The administrator's JSON API: `/api/` on the internal listener, `/retailcrm-admin/api/` for the signed in.

What each route takes and answers is in `openapi/` beside this file.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from vochi_integrations.admin import openapi
from vochi_integrations.admin.forms import Form, id_field, object_field, read_body, typed_flag
from vochi_integrations.admin.i18n import deferred, gettext
from vochi_integrations.admin.operations import connect, preview, staff
from vochi_integrations.admin.operations.desk import Desk, NotConnectedError, desk_of
from vochi_integrations.admin.sessions import VIEWER, keep
from vochi_integrations.domain import Reason
from vochi_integrations.errors import BadRequestError, DeliveryError, UnknownEnterpriseError
from vochi_integrations.integrations.base import Administration, Employee, Said, Step
from vochi_integrations.integrations.extensions import Difference
from vochi_integrations.web.answers import NUMBER, error_answer, json_answer

CONNECTION = ("domain", "api_key", "enabled")
REMOVED = deferred("Интеграция удалена")
REMOVED_HERE = deferred("Интеграция удалена у нас, но модуль в RetailCRM остался включённым. Выключите его там сами.")
OWN_FAULTS: Mapping[str, str] = {Reason.NOT_CONFIGURED: "not_configured", Reason.PRIVATE_ADDRESS: "bad_request"}

Answering = Callable[[web.Request, Desk], Awaitable[object]]


async def show_config(_request: web.Request, desk: Desk) -> object:
    return {"enterprise_number": desk.number, "config": await connect.show(desk)}


async def save_config(request: web.Request, desk: Desk) -> object:
    body = await read_body(request)
    if "config" in body:
        nested = object_field(body, "config")
        body = Form(nested) if isinstance(body, Form) else nested
    config = await connect.save(desk, typed_flag(body, "enabled"))
    return {"enterprise_number": desk.number, "config": config}


async def remove_config(request: web.Request, desk: Desk) -> object:
    viewer = request.get(VIEWER)
    removal = await connect.remove(desk, viewer.session if viewer is not None else b"")
    if removal.error is None:
        return {"success": True, "message": gettext(REMOVED)}
    return {"success": True, "message": gettext(REMOVED_HERE), **_failure(removal.error, desk.crm)}


async def check(request: web.Request, desk: Desk) -> object:
    body = typed_flag(await read_body(request, optional=True), "enabled")
    checkup = await connect.check(desk, {name: body[name] for name in CONNECTION if body.get(name) is not None})
    steps = [_step(step) for step in checkup.steps]
    return {"success": checkup.is_healthy, "account": checkup.account, "steps": steps}


async def register(request: web.Request, desk: Desk) -> object:
    body = typed_flag(await read_body(request), "enabled")
    answer = await connect.register(desk, {name: body[name] for name in CONNECTION if name in body})
    viewer = request.get(VIEWER)
    if viewer is not None:
        await keep(desk.database, viewer, answer.token_id)
    return {"success": True, "result": answer.result}


async def managers(_request: web.Request, desk: Desk) -> object:
    found = await staff.load(desk)
    extensions = found.extensions
    users = [_user(employee, extensions.get(employee.id), found.theirs) for employee in found.employees]
    return {
        "success": True,
        "users": users,
        "total": len(users),
        "imported_extensions": found.imported,
        "differences": [_difference(item) for item in found.differences],
        "mass_disappearance": found.is_suspicious,
    }


async def internal_phones(_request: web.Request, desk: Desk) -> object:
    phones = [dict(row) for row in await staff.phones(desk)]
    return {"success": True, "phones": phones, "total": len(phones)}


async def user_extensions(_request: web.Request, desk: Desk) -> object:
    found = await staff.extensions(desk)
    return {"success": True, "user_extensions": found, "total": len(found)}


async def save_extensions(request: web.Request, desk: Desk) -> object:
    saved = await staff.save(desk, object_field(await read_body(request), "extensions"))
    assignments = [{"userId": int(user), "code": code} for user, code in saved.extensions.items() if user.isdecimal()]
    answer = {
        "success": True,
        "saved_extensions": saved.extensions,
        "assignments": assignments,
        "taken_from": saved.taken_from,
        "synced": saved.error is None,
    }
    return answer if saved.error is None else answer | _failure(saved.error, desk.crm)


async def sync_extensions(_request: web.Request, desk: Desk) -> object:
    synced = await staff.sync(desk)
    return {
        "success": True,
        "synced_extensions": synced.extensions,
        "local_extensions": synced.before,
        "imported_extensions": synced.imported,
        "differences": [_difference(item) for item in synced.differences],
        "mass_disappearance": synced.is_suspicious,
    }


async def test_call(request: web.Request, desk: Desk) -> object:
    body = await read_body(request)
    user, extension = id_field(body, "userId"), id_field(body, "code")
    if not user and not extension:
        raise BadRequestError("userId is missing")
    shown = await staff.test_popup(desk, user, extension)
    if shown.error is not None:
        return {"success": False, "code": shown.extension, **_failure(shown.error, desk.crm)}
    return {"success": True, "code": shown.extension, "closed": shown.left_open is None}


async def who_gets(request: web.Request, desk: Desk) -> object:
    """Say who would get a call from `phone`, on the line `trunk` if one is named (design 4.2, smart redirect)."""
    phone, trunk = request.query.get("phone", ""), request.query.get("trunk", "")
    return msgspec.to_builtins(await preview.who_gets(request.app, desk.number, phone, trunk))


ROUTES: tuple[tuple[str, str, Answering], ...] = (
    ("GET", "config", show_config),
    ("PUT", "config", save_config),
    ("DELETE", "config", remove_config),
    ("POST", "register", register),
    ("GET", "managers", managers),
    ("GET", "internal-phones", internal_phones),
    ("GET", "user-extensions", user_extensions),
    ("GET", "who-gets", who_gets),
    ("POST", "save-extensions", save_extensions),
    ("POST", "sync-extensions", sync_extensions),
    ("POST", "test-call", test_call),
)


def internal_routes() -> list[web.RouteDef]:
    """The routes without a login, and their description."""
    return [*_routes("/api"), web.get("/api/openapi.json", openapi.show)]


def public_routes() -> list[web.RouteDef]:
    """The same for the signed in, with the name that older pages know."""
    prefix = "/retailcrm-admin/api"
    return [*_routes(prefix), web.post(f"{prefix}/refresh-managers/{NUMBER}", partial(answer, managers))]


def _routes(prefix: str) -> list[web.RouteDef]:
    routes = [web.route(verb, f"{prefix}/{name}/{NUMBER}", partial(answer, run)) for verb, name, run in ROUTES]
    return [*routes, web.post(f"{prefix}/config/{NUMBER}/test", partial(answer, check))]


async def answer(run: Answering, request: web.Request) -> web.Response:
    """Run a handler for the enterprise in the path; say what went wrong in the API's words."""
    viewer = request.get(VIEWER)
    desk = desk_of(request.app, request.match_info["n"], viewer.name if viewer is not None else "api")
    try:
        return json_answer(await run(request, desk))
    except UnknownEnterpriseError:
        return error_answer(404, "unknown_enterprise", "there is no enterprise with this number")
    except NotConnectedError as error:
        return error_answer(404, "not_configured", str(error))
    except DeliveryError as error:
        status, code = _code_of(error)
        return json_answer({**_failure(error, desk.crm), "error": code, "message": str(error)}, status)


def _code_of(error: DeliveryError) -> tuple[int, str]:
    if error.reason == Reason.CRM_UNREACHABLE:
        return 502, "crm_unreachable"
    return 400, OWN_FAULTS.get(error.reason, "crm_rejected")


def _failure(error: DeliveryError, crm: Administration) -> dict[str, object]:
    """Return a CRM's failure for a person: its own text, what that means, what to do."""
    said = crm.explain(error)
    return {
        "error": str(error),
        "reason": error.reason,
        "explanation": spoken(said.what),
        "advice": spoken(said.advice),
    }


def spoken(said: Said) -> str:
    """Return a sentence in the request's language."""
    return gettext(said.text).format_map(said.values)


def _step(step: Step) -> Mapping[str, object]:
    return {
        "name": step.name,
        "title": spoken(step.title),
        "status": step.status,
        "message": spoken(step.message),
        "advice": spoken(step.advice) if step.advice else None,
    }


def _user(employee: Employee, extension: str | None, theirs: Mapping[str, str]) -> dict[str, object]:
    return {
        "id": _number(employee.id),
        "firstName": employee.first_name,
        "lastName": employee.last_name,
        "email": employee.email,
        "groups": [msgspec.to_builtins(group) for group in employee.groups],
        "active": employee.is_active,
        "status": employee.status,
        "extension": extension,
        "crm_extension": theirs.get(employee.id),
    }


def _difference(item: Difference) -> dict[str, Any]:
    return {"userId": _number(item.user), "ours": item.ours, "theirs": item.theirs, "kind": item.kind}


def _number(user: str) -> int | str:
    return int(user) if user.isascii() and user.isdecimal() else user
