"""The page «Звонки»: find a call, see what became of it and why, send a failed record again."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import structlog
from aiohttp import web

from vochi_integrations import clock
from vochi_integrations.admin import access, live
from vochi_integrations.admin.area import API, ROOT
from vochi_integrations.admin.flash import add_flash
from vochi_integrations.admin.i18n import gettext as _
from vochi_integrations.admin.moments import clock as clock_of
from vochi_integrations.admin.moments import day as day_of
from vochi_integrations.admin.moments import milliseconds, span
from vochi_integrations.admin.pages.links import action_page
from vochi_integrations.admin.problems import problem
from vochi_integrations.admin.render import page_url, render, render_part, to_page
from vochi_integrations.admin.sessions import VIEWER
from vochi_integrations.domain import Directory
from vochi_integrations.keys import DATABASE, DISPATCHER, SETTINGS, STORE, TRACER
from vochi_integrations.letters import Order, replay
from vochi_integrations.ops.clicks import judge_click
from vochi_integrations.ops.search import EVER, Wanted, read_search
from vochi_integrations.ops.summary import Summary, summarize
from vochi_integrations.ops.timeline import Entry, timeline
from vochi_integrations.ops.trace import CALLS, Hits, TracedCall
from vochi_integrations.ops.verdicts import Verdict, judge
from vochi_integrations.web import traces
from vochi_integrations.web.answers import NUMBER
from vochi_integrations.web.bodies import read_form

HERE = f"{ROOT}calls"
CALL = "{call:[^/]{1,64}}"
LIVE = web.AppKey("live", live.Live)
QUERY_SIZE = 100

routes = web.RouteTableDef()
routes.get(f"{API}trace/{NUMBER}")(traces.show)
log = structlog.get_logger()


class Shown(NamedTuple):
    """A line of the list: a call, or a click that led to none."""

    began_at: float
    verdict: Verdict
    summary: Summary | None = None
    click: Mapping[str, Any] | None = None


@routes.get(HERE)
async def show(request: web.Request) -> web.Response:
    """List the latest calls, or those that `q` finds, before the moment `before` when an earlier page is asked for."""
    number, tracer = request[VIEWER].enterprise, request.app[TRACER]
    text = request.query.get("q", "").strip()[:QUERY_SIZE]
    wanted = _bounded(read_search(text, _directory(request).zone, clock.now()), request.query.get("before", ""))
    hits = await tracer.find(number, wanted, CALLS + 1)
    before = _end_of_page(hits)
    listed = [line async for line in _lines(request, hits, before)]
    return render(
        request,
        "admin/calls.html",
        {
            **_helpers(request),
            "q": text,
            "found": sorted(listed, key=lambda line: line.began_at, reverse=True),
            "before": f"{before:.6f}" if before else "",
            "is_cut": hits.is_cut,
            "narrowed": bool(text),
        },
    )


def _end_of_page(hits: Hits) -> float:
    """Return the moment of the last line that a page has room for, 0.0 when it has room for all."""
    moments = sorted([*(item.at for item in hits.calls), *(row["clicked_at"] for row in hits.clicks)], reverse=True)
    return moments[CALLS - 1] if len(moments) > CALLS else 0.0


async def _lines(request: web.Request, hits: Hits, since: float) -> AsyncIterator[Shown]:
    directory, calls = _directory(request), [item.call for item in hits.calls if item.at >= since]
    async for call in request.app[TRACER].calls(request[VIEWER].enterprise, calls):
        summary = summarize(call.call, call.events, directory)
        yield Shown(summary.began_at, _judged(call), summary)
    for row in hits.clicks:
        if row["clicked_at"] >= since:
            yield Shown(row["clicked_at"], judge_click(row, _), click=row)


def _bounded(wanted: Wanted, before: str) -> Wanted:
    try:
        return wanted._replace(until=min(wanted.until, float(before or EVER)))
    except ValueError:
        return wanted


@routes.get(f"{HERE}/{CALL}")
async def show_call(request: web.Request) -> web.Response:
    call = await request.app[TRACER].call(request[VIEWER].enterprise, request.match_info["call"])
    if call is None:
        return problem("not_found")
    skew = await _skew(request, call)
    context = {"here": HERE, "again_ms": live.AGAIN_MS, **_helpers(request), **_detail(request, call, skew)}
    return render(request, "admin/call.html", context)


@routes.get(f"{HERE}/{CALL}/live")
async def follow(request: web.Request) -> web.StreamResponse:
    """Send the part of the page that changes, again and again while the call runs."""
    number, name = request[VIEWER].enterprise, request.match_info["call"]
    skew = await _skew(request, await request.app[TRACER].call(number, name))

    async def look() -> tuple[str, bool]:
        call = await request.app[TRACER].call(number, name)
        if call is None:
            return "", True
        detail = _detail(request, call, skew)
        part = render_part(request, "admin/_call.html", {**_helpers(request), **detail})
        return part, not detail["is_live"]

    async def allowed() -> bool:
        return await access.still_allowed(request)

    return await request.app[LIVE].follow(request, look, allowed)


@routes.post(f"{HERE}/{CALL}/replay")
async def send_again(request: web.Request) -> web.Response:
    """Send the failed record named by the form's `id` again, if it is of this enterprise."""
    number, call = request[VIEWER].enterprise, request.match_info["call"]
    named = str((await read_form(request)).get("id", ""))
    if not (named.isascii() and named.isdecimal() and len(named) <= 18):
        return problem("bad_request")
    order = Order({"class": "history", "enterprise": number}, [int(named)])
    outcome = await replay(request.app[DATABASE], order, request.app[SETTINGS].delivery)
    response = to_page(_call_url(number, call))
    if outcome.replayed:
        request.app[DISPATCHER].wake()
        log.info(
            "deliveries replayed", enterprise=number, call=call, replayed=outcome.replayed, by=request[VIEWER].name
        )
        add_flash(request, response, "success", _("Запись отправляется снова"))
    else:
        add_flash(request, response, "info", _("Отправлять снова нечего: запись уже доставлена или отправляется"))
    return response


def _detail(request: web.Request, call: TracedCall, skew: float) -> dict[str, Any]:
    directory = _directory(request)
    summary = summarize(call.call, call.events, directory)
    entries = timeline(call, directory, _, skew=skew)
    waits = any(row["status"] in ("pending", "sending") for row in call.deliveries)
    return {
        "call": summary,
        "verdict": _judged(call),
        "entries": entries,
        "skew": skew,
        "replayable": next((entry.delivery for entry in entries if entry.delivery), 0),
        "is_live": summary.is_live or waits,
    }


async def _skew(request: web.Request, call: TracedCall | None) -> float:
    """Return what the PBX's clock was wrong by when the call was, as `Tracer.skew`."""
    at = call.events[0]["received_at"] if call and call.events else EVER
    return await request.app[TRACER].skew(request[VIEWER].enterprise, at)


def _judged(call: TracedCall) -> Verdict:
    return judge(call.events, call.deliveries, _)


def _helpers(request: web.Request) -> dict[str, Any]:
    """What the templates of calls write times and links with."""
    number, zone, now = request[VIEWER].enterprise, _directory(request).zone, clock.now()
    return {
        "action_url": lambda action, call: _action_url(number, action, call),
        "call_url": lambda call: _call_url(number, call),
        "clock": lambda entry: clock_of(entry.at if isinstance(entry, Entry) else entry, zone),
        "day": lambda epoch: day_of(epoch, zone, now),
        "exact": lambda epoch: clock_of(epoch, zone, exact=True),
        "milliseconds": milliseconds,
        "span": span,
    }


def _action_url(number: str, action: Any, call: str) -> str:
    """Return where what a verdict advises is done; a replay is done on the call's own page."""
    if action.page == "replay":
        return _call_url(number, call)
    named = {"extension": ",".join(action.extensions)} if action.extensions else {}
    return page_url(number, action_page(action.page), **named)


def _call_url(number: str, call: str) -> str:
    return page_url(number, f"calls/{quote(call, safe='')}")


def _directory(request: web.Request) -> Directory:
    known = request.app[STORE].current.by_number.get(request[VIEWER].enterprise)
    return known.directory if known else Directory()
