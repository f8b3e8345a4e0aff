"""«Сотрудники»: who has which extension, saved by row or all at once, tried with a test card, compared with the CRM."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from vochi_integrations.admin.area import ROOT, is_fragment
from vochi_integrations.admin.flash import Kind, add_flash
from vochi_integrations.admin.i18n import deferred
from vochi_integrations.admin.operations import staff as operations
from vochi_integrations.admin.operations.desk import Desk, NotConnectedError
from vochi_integrations.admin.operations.staff import Saved, Staff
from vochi_integrations.admin.pages.parts import desk_here, form_of, said, show
from vochi_integrations.admin.render import page_url, to_page
from vochi_integrations.admin.roster import Note, Person, Roster, Rosters, names_of, roster_of, saved
from vochi_integrations.errors import BadRequestError, DeliveryError
from vochi_integrations.integrations.base import Said

routes = web.RouteTableDef()
ROSTERS = web.AppKey("rosters", Rosters)
CONNECT_FIRST = Note("warn", deferred("Сначала подключите CRM"), deferred("Это делается на странице «Подключение»."))
PAIR = ("was-", "ext-")


@routes.get(f"{ROOT}managers")
async def show_managers(request: web.Request) -> web.Response:
    """Show the page; the list comes after it, for the CRM may take its time, or with it when `load` asks for that."""
    roster, desk = None, desk_here(request)
    if "load" in request.query or await _known(request, desk) is not None:
        roster = _with_all_options(await _roster(request), request.query.get("edit", ""))
    asked = request.query.get("extension", "").split(",")
    wanted = ", ".join(number for number in asked if number.isdecimal())
    return show(request, "admin/managers.html", {"staff": roster, "wanted": wanted})


@routes.get(f"{ROOT}managers/list")
async def show_list(request: web.Request) -> web.Response:
    roster = await _roster(request)
    if "fresh" in request.query and roster.is_whole:
        roster = roster.with_notes(Note("good", deferred("Список менеджеров обновлен")))
    return show(request, "admin/_staff.html", {"staff": roster})


async def _roster(request: web.Request) -> Roster:
    """Return the list; read from the CRM when that was some time ago, or `fresh` asks for it."""
    desk = desk_here(request)
    try:
        staff = await _staff(request, desk, fresh="fresh" in request.query)
    except NotConnectedError:
        return Roster(notes=[CONNECT_FIRST], is_whole=False)
    except DeliveryError as error:
        why = desk.crm.explain(error)
        known = request.app[ROSTERS].get(desk.number)
        only_ours = Staff(
            employees=known.employees if known else (),
            ours=await operations.extensions(desk),
            theirs={},
            differences=(),
            imported={},
            is_suspicious=False,
        )
        there = Note("bad", why.what, why.advice)
        return replace(roster_of(only_ours, await desk.internal_phones()), notes=[there], is_whole=False)
    return roster_of(staff, await desk.internal_phones())


async def _staff(request: web.Request, desk: Desk, *, fresh: bool) -> Staff:
    await desk.usable()
    known = None if fresh else await _known(request, desk)
    if known is None:
        known = await operations.load(desk)
        request.app[ROSTERS].put(desk.number, replace(known, imported={}))
    return known


async def _known(request: web.Request, desk: Desk) -> Staff | None:
    """Return what the CRM said a while ago, None when our map has changed since: the CRM may have been told of it."""
    known = request.app[ROSTERS].get(desk.number)
    if known is None or known.ours != await operations.extensions(desk):
        return None
    return known


def _with_all_options(roster: Roster, user: str) -> Roster:
    """Give one row all extensions, for a browser without scripts."""
    people = [replace(person, options=roster.numbers) if person.user == user else person for person in roster.people]
    return replace(roster, people=people)


@routes.post(f"{ROOT}managers/save")
async def save(request: web.Request) -> web.Response:
    """Save the rows that were changed, or one of them: those whose choice is not what the form showed first."""
    desk, form = desk_here(request), await form_of(request)
    patch = changed(form)
    if not patch:
        return await _answer(request, desk, Note("", deferred("Ничего не изменилось.")))
    twice = [number for number, count in Counter(filter(None, patch.values())).items() if count > 1]
    if twice:
        text = Said(deferred("Номер {number} выбран у двух сотрудников: оставьте его у одного."), {"number": twice[0]})
        return await _answer(request, desk, Note("bad", deferred("Не сохранено"), text))
    before = await operations.extensions(desk)
    try:
        done = await operations.save(desk, patch)
    except NotConnectedError:
        return await _answer(request, desk, CONNECT_FIRST)
    except BadRequestError:
        advice = deferred("Такого номера на АТС уже нет. Нажмите «Обновить» и выберите другой.")
        return await _answer(request, desk, Note("bad", deferred("Не сохранено"), advice))
    overtaken = {user: before.get(user, "") for user in patch if before.get(user, "") != form[f"was-{user}"]}
    return await _saved(request, desk, done, patch, overtaken)


def changed(form: Mapping[str, str]) -> dict[str, str | None]:
    """Return what a form changes; `only` narrows it to one row."""
    users = [name.removeprefix("ext-") for name in form if name.startswith("ext-")]
    wanted = [user for user in users if form.get("only", user) == user]
    return {user: form[f"ext-{user}"] or None for user in wanted if form[f"ext-{user}"] != form.get(f"was-{user}")}


async def _saved(
    request: web.Request,
    desk: Desk,
    done: Saved,
    patch: Mapping[str, str | None],
    overtaken: Mapping[str, str],
) -> web.Response:
    """Show the rows that changed, whoever's number went where."""
    known = request.app[ROSTERS].get(desk.number)
    if known is None:
        return await _answer(request, desk, Note("good", deferred("Сохранено")))
    now = saved(known, done.extensions, pushed=done.error is None)
    request.app[ROSTERS].put(desk.number, now)
    roster = roster_of(now, await desk.internal_phones())
    names = names_of(known)
    told = _told(done, patch, overtaken, names)
    rows = [replace(person, saved=told[person.user], tone="good") for person in roster.people if person.user in told]
    if done.error is not None:
        why = desk.crm.explain(done.error)
        title = deferred("Сохранено и уже действует, но CRM об этом ещё не знает")
        roster = roster.with_notes(Note("warn", title, why.what))
    return await _answer(request, desk, *roster.notes, rows=rows, roster=roster)


def _told(
    done: Saved, patch: Mapping[str, str | None], overtaken: Mapping[str, str], names: Mapping[str, str]
) -> dict[str, Said]:
    """Say of each row what has happened to it."""
    taken = {number: names.get(user, user) for number, user in done.taken_from.items()}
    told: dict[str, Said] = {}
    for user, number in patch.items():
        values = {"number": number, "name": taken.get(number or ""), "before": overtaken.get(user)}
        text = deferred("Сохранено")
        if number in taken:
            text = deferred("Сохранено. Номер {number} был у сотрудника {name}.")
        elif overtaken.get(user):
            text = deferred("Сохранено вместо номера {before}, который только что назначил другой администратор.")
        told[user] = Said(text, values)
    winners = {number: names.get(user, user) for user, number in patch.items()}
    for number, loser in done.taken_from.items():
        if loser not in patch:
            values = {"number": number, "name": winners[number]}
            told[loser] = Said(deferred("Номер {number} теперь у сотрудника {name}."), values)
    return told


async def _answer(
    request: web.Request,
    desk: Desk,
    *notes: Note,
    rows: list[Person] | None = None,
    roster: Roster | None = None,
) -> web.Response:
    """Answer a script with what changed, and a browser without one with the page."""
    if not is_fragment(request):
        response = to_page(page_url(desk.number, "managers", load="1"))
        first = notes[0] if notes else Note("good", deferred("Сохранено"))
        kinds: Mapping[str, Kind] = {"good": "success", "warn": "warning", "bad": "error"}
        text = " ".join(filter(None, (said(first.title), said(first.text))))
        add_flash(request, response, kinds.get(first.tone, "info"), text)
        return response
    shown = roster or Roster()
    context = {"staff": replace(shown, people=rows or [], notes=list(notes)), "has_numbers": roster is not None}
    return show(request, "admin/_saved.html", context)


@routes.post(f"{ROOT}managers/sync")
async def sync(request: web.Request) -> web.Response:
    """Give the CRM our extensions, take those only it has."""
    desk = desk_here(request)
    try:
        await operations.sync(desk)
    except NotConnectedError:
        note = CONNECT_FIRST
    except DeliveryError as error:
        why = desk.crm.explain(error)
        note = Note("bad", deferred("CRM не приняла номера"), Said("{what} {advice}", _spoken(why.what, why.advice)))
    else:
        request.app[ROSTERS].forget(desk.number)
        note = Note("good", deferred("Номера здесь и в CRM одинаковы"))
    if not is_fragment(request):
        return await _answer(request, desk, note)
    roster = await _roster(request)
    return show(request, "admin/_staff.html", {"staff": roster.with_notes(note)})


def _spoken(what: Said, advice: Said) -> dict[str, Any]:
    return {"what": said(what), "advice": said(advice)}


@routes.post(f"{ROOT}managers/test")
async def test(request: web.Request) -> web.Response:
    """Show a test card at the manager `user` names, and tell whether the CRM took it."""
    desk = desk_here(request)
    note = await _tested(desk, request.query.get("user", ""))
    if not is_fragment(request):
        return await _answer(request, desk, note)
    return show(request, "admin/_tested.html", {"note": note})


async def _tested(desk: Desk, user: str) -> Note:
    failed = deferred("Карточка не показана")
    try:
        shown = await operations.test_popup(desk, user, "")
    except NotConnectedError:
        return CONNECT_FIRST
    except BadRequestError:
        return Note("bad", failed, deferred("У сотрудника нет номера: выберите и сохраните его."))
    except DeliveryError as error:
        why = desk.crm.explain(error)
        return Note("bad", failed, Said("{what} {advice}", _spoken(why.what, why.advice)))
    if shown.error is not None:
        why = desk.crm.explain(shown.error)
        return Note("bad", failed, Said("{what} {advice}", _spoken(why.what, why.advice)))
    text = deferred("CRM приняла её для номера {number}. Не видно? Пусть сотрудник обновит страницу CRM.")
    return Note("good", deferred("Карточка показана"), Said(text, {"number": shown.extension}))
