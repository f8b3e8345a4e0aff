"""«Настройки»: what the CRM is told and how, and the history of every change with its undo."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from vochi_integrations.admin import choices, places, versions
from vochi_integrations.admin.area import ROOT
from vochi_integrations.admin.choices import SECTIONS, Choice
from vochi_integrations.admin.flash import add_flash
from vochi_integrations.admin.i18n import gettext, language
from vochi_integrations.admin.operations import staff
from vochi_integrations.admin.operations.desk import CRM, Desk
from vochi_integrations.admin.pages.managers import ROSTERS
from vochi_integrations.admin.pages.parts import desk_here, form_of, show, zone_of
from vochi_integrations.admin.render import page_url, to_page
from vochi_integrations.admin.roster import names_of
from vochi_integrations.admin.sessions import VIEWER
from vochi_integrations.configs import EXTENSIONS, Undone
from vochi_integrations.errors import BadRequestError
from vochi_integrations.integrations.extensions import held, read_ours
from vochi_integrations.keys import CONFIGS, DATABASE, SETTINGS

routes = web.RouteTableDef()
VERSIONS = 30
Options = Sequence[tuple[str, str]]


@routes.get(f"{ROOT}settings")
async def show_settings(request: web.Request) -> web.Response:
    number, zone = request[VIEWER].enterprise, zone_of(request)
    stored = await request.app[CONFIGS].get(number, CRM)
    values = choices.values_of(stored or {}, _defaults(request))
    options = await _options(request, stored or {}, values)
    changes = await request.app[CONFIGS].versions(number, CRM, VERSIONS)
    known = request.app[ROSTERS].get(number)
    names = names_of(known) if known else {}
    context = {
        "configured": stored is not None,
        "sections": [
            {"title": section.title, "choices": [_shown(choice, values, options) for choice in section.choices]}
            for section in SECTIONS
        ],
        "versions": [versions.told(version, zone, names) for version in changes],
    }
    return show(request, "admin/settings.html", context)


@routes.post(f"{ROOT}settings")
async def save_settings(request: web.Request) -> web.Response:
    """Save what differs from what the form showed."""
    viewer, form = request[VIEWER], await form_of(request)
    response = to_page(page_url(viewer.enterprise, "settings"))
    stored = await request.app[CONFIGS].get(viewer.enterprise, CRM)
    if stored is None:
        add_flash(request, response, "warning", gettext("Сначала подключите CRM"))
        return response
    options = await _options(request, stored, {"timezone": form.get("timezone", "")})
    allowed = {name: [value for value, _ in found] for name, found in options.items()}
    patch = choices.patch_of(form, allowed)
    if not patch:
        add_flash(request, response, "info", gettext("Ничего не изменилось."))
        return response
    await request.app[CONFIGS].merge(viewer.enterprise, CRM, patch, by=viewer.name, action="settings")
    add_flash(request, response, "success", gettext("Сохранено. Действует уже для следующего звонка."))
    return response


@routes.post(f"{ROOT}settings/undo")
async def undo(request: web.Request) -> web.Response:
    """Give the values that the form's `version` changed their values of before."""
    viewer, form = request[VIEWER], await form_of(request)
    response = to_page(page_url(viewer.enterprise, "settings") + "#versions")
    named = form.get("version", "")
    if not (named.isascii() and named.isdecimal() and len(named) < 19):
        raise BadRequestError("version must be the number of a change")
    before = await staff.extensions(desk_here(request))
    try:
        undone = await request.app[CONFIGS].undo(viewer.enterprise, CRM, int(named), by=viewer.name)
    except BadRequestError:
        add_flash(request, response, "error", gettext("Вернуть нечего: эти значения нужно ввести заново."))
        return response
    if any(path[0] == EXTENSIONS for path in undone.restored):
        await _tell_the_crm(desk_here(request), before, undone)
    kind, text = _what_came(undone)
    add_flash(request, response, "warning" if kind else "success", text)
    return response


async def _tell_the_crm(desk: Desk, before: Mapping[str, str], undone: Undone) -> None:
    """Give the CRM the extensions that are back; what it does not take shows as a difference on the staff's page."""
    now = held(staff.ours_of(undone.config))
    await staff.push(desk, {user: extension for user, extension in before.items() if user not in now})


def _what_came(undone: Undone) -> tuple[bool, str]:
    """Say what an undo did, and whether that needs attention."""
    if undone.not_kept:
        return True, gettext("Возвращено, кроме ключа и кодов: их нужно ввести или зарегистрировать заново.")
    if undone.touched_later:
        return True, gettext("Возвращено. Более поздние изменения тех же значений тоже отменены.")
    return False, gettext("Возвращено как было.")


def _defaults(request: web.Request) -> Mapping[str, str]:
    settings = request.app[SETTINGS]
    return {
        "record_owner": settings.calls.record_owner,
        "region": settings.retailcrm.region,
        "timezone": settings.retailcrm.timezone,
    }


def _shown(choice: Choice, values: Mapping[str, str], options: Mapping[str, Options]) -> dict[str, Any]:
    return {
        "name": choice.name,
        "label": choice.label,
        "hint": choice.hint,
        "is_switch": choice.is_switch,
        "value": values[choice.name],
        "options": options.get(choice.name, ()),
    }


async def _options(request: web.Request, stored: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Options]:
    """Return what can be chosen, by the names of the choices."""
    zone = values["timezone"] if places.is_zone(values["timezone"]) else _defaults(request)["timezone"]
    lists: dict[str, Options] = {
        "regions": places.regions(language()),
        "zones": places.zones(language(), zone),
        "extensions": await _extensions(request, stored),
    }
    found = {choice.name: lists[choice.listed] for choice in choices.CHOICES.values() if choice.listed}
    worded = {
        choice.name: [(value, gettext(text)) for value, text in choice.options]
        for choice in choices.CHOICES.values()
        if choice.options
    }
    return found | worded


async def _extensions(request: web.Request, stored: Mapping[str, Any]) -> Options:
    """Return the extensions that have a manager, with whose telephone it is."""
    given = set(held(read_ours(stored.get("user_extensions"))).values())
    rows = await request.app[DATABASE].fetch("internal_phones", request[VIEWER].enterprise)
    owners = {row["phone_number"]: row["owner"] for row in rows}
    texts = {number: f"{number} ({owners[number]})" if owners.get(number) else number for number in sorted(given)}
    return [("", gettext("ни на кого")), *texts.items()]
