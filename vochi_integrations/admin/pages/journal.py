"""«Журнал»: the latest deliveries, what became of them, and failed records sent again."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import orjson
import phonenumbers
import structlog
from aiohttp import web

from vochi_integrations.admin.area import ROOT
from vochi_integrations.admin.flash import add_flash
from vochi_integrations.admin.i18n import deferred, gettext, ngettext
from vochi_integrations.admin.latest import Latest, Sought, find_latest, read_sought, replayable
from vochi_integrations.admin.pages.parts import form_of, show, why_not, zone_of
from vochi_integrations.admin.render import page_url, to_page
from vochi_integrations.admin.sessions import VIEWER
from vochi_integrations.db import Row, queries
from vochi_integrations.keys import DATABASE, DISPATCHER, SETTINGS, TRACER
from vochi_integrations.letters import COUNTED, read_order, replay

routes = web.RouteTableDef()
log = structlog.get_logger()
ANSWER_SHOWN = 2_000
RESULTS = (
    ("", deferred("Любой")),
    ("done", deferred("Доставлено")),
    ("waiting", deferred("Ждёт отправки")),
    ("skipped", deferred("Не отправлялось")),
    ("failed", deferred("Не доставлено")),
)
STATES: Mapping[str, tuple[str, str]] = {
    "done": ("good", deferred("доставлено")),
    "pending": ("warn", deferred("ждёт отправки")),
    "sending": ("warn", deferred("отправляется")),
    "skipped": ("", deferred("не отправлялось")),
    "expired": ("", deferred("опоздало")),
    "failed": ("bad", deferred("не доставлено")),
}
KINDS = {
    "popup": deferred("карточка звонка"),
    "popup_over": deferred("закрытие карточки"),
    "record": deferred("запись в историю"),
}
DIRECTIONS = {"in": deferred("входящий"), "out": deferred("исходящий")}
CALL_TYPES = {"0": "in", "1": "out"}


@routes.get(f"{ROOT}journal")
async def show_journal(request: web.Request) -> web.Response:
    number, zone, sought = request[VIEWER].enterprise, zone_of(request), read_sought(request.query)
    database = request.app[DATABASE]
    latest = await find_latest(database, request.app[TRACER], number, sought, zone)
    failed = await database.pool.fetchval(queries()["count_deliveries"], None, _failed_of(number), COUNTED)
    context = {
        "sought": sought,
        "kept": {name: value for name, value in msgspec.structs.asdict(sought).items() if value and name != "after"},
        "results": RESULTS,
        "failed": failed,
        "rows": [shown_row(row, latest, zone) for row in latest.rows],
        "next": latest.next,
    }
    return show(request, "admin/journal.html", context)


@routes.post(f"{ROOT}journal/replay")
async def replay_failed(request: web.Request) -> web.Response:
    """Send one failed record again, the form's `id`, or all of them."""
    viewer, form = request[VIEWER], await form_of(request)
    chosen = {"ids": [int(form["id"])]} if form.get("id", "").isdecimal() else {}
    order = read_order({"enterprise": viewer.enterprise, **chosen})
    outcome = await replay(request.app[DATABASE], order, request.app[SETTINGS].delivery)
    if outcome.replayed:
        log.info("deliveries replayed", enterprise=viewer.enterprise, replayed=outcome.replayed, by=viewer.source)
        request.app[DISPATCHER].wake()
    kept = {name: value for name, value in request.query.items() if name in Sought.__struct_fields__}
    response = to_page(page_url(viewer.enterprise, "journal", **kept))
    if outcome.replayed:
        said = ngettext("Отправляется снова: %(num)s запись", "Отправляются снова: %(num)s записей", outcome.replayed)
        add_flash(request, response, "success", said % {"num": outcome.replayed})
    else:
        add_flash(request, response, "info", gettext("Отправлять нечего: запись уже доставлена или ждёт отправки."))
    return response


def _failed_of(number: str) -> dict[str, str]:
    return {"enterprise": number, "class": "history", "status": "failed"}


def shown_row(row: Row, latest: Latest, zone: ZoneInfo) -> dict[str, Any]:
    """Return a delivery in words."""
    payload = row["payload"] if isinstance(row["payload"], dict) else {}
    caller = latest.callers.get(row["call"])
    (tone, result), what = STATES[row["status"]], KINDS[row["kind"]]
    moment = datetime.fromtimestamp(row["event_at"], zone)
    direction = payload.get("type") if payload.get("type") in DIRECTIONS else _direction(caller)
    return {
        "id": row["id"],
        "call": row["call"],
        "iso": moment.isoformat(timespec="seconds"),
        "time": f"{moment:%H:%M:%S}",
        "day": f"{moment:%d.%m.%Y}",
        "phone": readable_phone(str(payload.get("phone") or (caller["phone"] if caller else "") or "")),
        "direction": gettext(DIRECTIONS.get(direction or "", "")),
        "codes": ", ".join(map(str, payload.get("codes") or filter(None, [payload.get("code")]))),
        "what": gettext(what),
        "tone": tone,
        "result": gettext(result),
        "why": _why(row),
        "answer": _answer(row),
        "can_replay": replayable(row),
    }


def _direction(caller: Row | None) -> str | None:
    return CALL_TYPES.get(str(caller["call_type"])) if caller else None


def _why(row: Row) -> str:
    """Say why it did not go, or how many attempts it took."""
    reason = row["reason"] if row["status"] != "done" else None
    said = [gettext(why_not(reason))] if reason else []
    if row["attempts"] > 1:
        said.append(ngettext("%(num)s попытка", "попыток: %(num)s", row["attempts"]) % {"num": row["attempts"]})
    return ", ".join(said)


def _answer(row: Row) -> str:
    """Return what the CRM said when it was no plain success."""
    if row["response"] is None or row["status"] == "done":
        return ""
    told = row["response"] if isinstance(row["response"], str) else orjson.dumps(row["response"]).decode()
    status = f"HTTP {row['response_status']}\n" if row["response_status"] else ""
    return (status + told)[:ANSWER_SHOWN]


def readable_phone(text: str) -> str:
    """Write a number the way people read it: +375 29 000-00-01."""
    digits = text.removeprefix("+")
    if not digits.isdecimal() or len(digits) < 10:
        return text
    try:
        parsed = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return text
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
