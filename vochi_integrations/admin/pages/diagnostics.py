"""The page «Диагностика»: is everything well, what went wrong lately, and where it is put right."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import hdrs, web

from vochi_integrations import clock
from vochi_integrations.admin.area import ROOT
from vochi_integrations.admin.charts import Chart, Series, buckets
from vochi_integrations.admin.i18n import gettext as _
from vochi_integrations.admin.moments import ago, milliseconds
from vochi_integrations.admin.pages.links import action_page
from vochi_integrations.admin.pages.who_gets import form_of
from vochi_integrations.admin.problems import problem
from vochi_integrations.admin.render import page_url, render
from vochi_integrations.admin.sessions import VIEWER
from vochi_integrations.domain import Enterprise
from vochi_integrations.keys import DATABASE, DISPATCHER, INTEGRATIONS, STORE, TELEPHONY, TRACER
from vochi_integrations.lanes import LaneStatus
from vochi_integrations.ops.bundle import bundle_of_enterprise, file_name
from vochi_integrations.ops.clicks import why_no_click
from vochi_integrations.ops.diagnosis import (
    STRETCHES,
    Diagnosis,
    diagnose,
    lights,
    mapped_of,
    outcomes,
    unmapped_now,
)
from vochi_integrations.ops.doctor import enterprise_checks
from vochi_integrations.ops.patient import EnterpriseCheck
from vochi_integrations.ops.pbx_checks import pbx_checks
from vochi_integrations.ops.verdicts import told
from vochi_integrations.web.doctor import patient_of

HERE = f"{ROOT}diagnostics"
CRM = "retailcrm"
Rows = Sequence[Mapping[str, Any]]

routes = web.RouteTableDef()


@routes.get(HERE)
async def show(request: web.Request) -> web.Response:
    """Show the last day, or with `period=week` the last week."""
    number = request[VIEWER].enterprise
    enterprise = await request.app[STORE].by_number(number)
    if enterprise is None:
        return problem("not_found")
    period = request.query.get("period", "")
    period = period if period in STRETCHES else "day"
    tracer, integrations = request.app[TRACER], request.app[INTEGRATIONS]
    skew = await tracer.skew(number)
    async with tracer.turns:
        found = await diagnose(request.app[DATABASE], number, tuple(integrations), period, skew)
    now, lane = clock.now(), _lane(request, number)
    config = enterprise.integrations.get(CRM)
    return render(
        request,
        "admin/diagnostics.html",
        {
            **form_of(enterprise),
            "lights": lights(found, enterprise, CRM, lane, now=now, say=_),
            "lane": lane,
            "found": found,
            "unmapped": unmapped_now(found, mapped_of(config)),
            "charts": _charts(found, enterprise, period, now),
            "period": period,
            "periods": {"day": _("Сутки"), "week": _("Неделя")},
            "ago": lambda epoch: ago(now - epoch),
            "milliseconds": milliseconds,
            "told": lambda error: told(error, _),
            "why_no_click": lambda reason: why_no_click(reason, _),
            "page": lambda name: page_url(number, action_page(name)),
        },
    )


@routes.get(f"{HERE}/checks")
async def examine(request: web.Request) -> web.Response:
    """Run the doctor's checks of this enterprise; a part of the page."""
    found = await enterprise_checks(patient_of(request.app), request[VIEWER].enterprise, _of_pbx(request))
    return render(request, "admin/_findings.html", {"findings": found})


@routes.get(f"{HERE}/bundle")
async def support_bundle(request: web.Request) -> web.Response:
    """Give the archive for support, of this enterprise only."""
    number = request[VIEWER].enterprise
    data = await bundle_of_enterprise(patient_of(request.app), number, more=_of_pbx(request))
    disposition = f'attachment; filename="{file_name(number)}"'
    return web.Response(body=data, content_type="application/zip", headers={hdrs.CONTENT_DISPOSITION: disposition})


def _of_pbx(request: web.Request) -> Sequence[EnterpriseCheck]:
    return pbx_checks(request.app[TELEPHONY].control)


def _lane(request: web.Request, number: str) -> LaneStatus | None:
    """Return the state of the CRM's lane when it is not well."""
    unwell = request.app[DISPATCHER].unwell()
    return next((lane for lane in unwell if (lane.enterprise, lane.integration) == (number, CRM)), None)


def _charts(found: Diagnosis, enterprise: Enterprise, period: str, now: float) -> list[Chart]:
    seconds, bucket = STRETCHES[period]
    offset = datetime.fromtimestamp(now, UTC).astimezone(enterprise.directory.zone).utcoffset()
    at, told = buckets(outcomes(map(dict, found.deliveries)), now, seconds, bucket)
    _at, asked = buckets([dict(row) for row in found.requests], now, seconds, bucket)
    shared: dict[str, Any] = {"at": at, "offset": offset.total_seconds() if offset else 0.0}
    return [_of_deliveries(told, shared), _of_requests(asked, shared), _of_answers(asked, shared)]


def _of_deliveries(rows: Rows, shared: Mapping[str, Any]) -> Chart:
    sent, failed, unsent, waiting = (
        [row.get(name, 0) for row in rows] for name in ("sent", "failed", "unsent", "waiting")
    )
    summary = _("Отправлено: {sent}, не доставлено: {failed}, не отправлено: {unsent}, ждут: {waiting}")
    return Chart(
        title=_("Карточки и записи"),
        summary=summary.format(sent=sum(sent), failed=sum(failed), unsent=sum(unsent), waiting=sum(waiting)),
        series=[
            Series(_("Отправлено"), "good", sent),
            Series(_("Не доставлено"), "bad", failed),
            Series(_("Не отправлено"), "warn", unsent),
            Series(_("Ждут"), "soft", waiting),
        ],
        bars=True,
        **shared,
    )


def _of_requests(rows: Rows, shared: Mapping[str, Any]) -> Chart:
    errors = [row.get("errors", 0) for row in rows]
    good = [row.get("requests", 0) - row.get("errors", 0) for row in rows]
    return Chart(
        title=_("Запросы в CRM"),
        summary=_("Успешных: {good}, ошибок: {errors}").format(good=sum(good), errors=sum(errors)),
        series=[Series(_("Успешно"), "good", good), Series(_("Ошибки"), "bad", errors)],
        bars=True,
        **shared,
    )


def _of_answers(rows: Rows, shared: Mapping[str, Any]) -> Chart:
    return Chart(
        title=_("Ответ CRM, мс"),
        summary=_("Половина запросов быстрее первой линии, 95 из 100 — быстрее второй"),
        series=[
            Series(_("половина"), "accent", [row.get("median") for row in rows]),
            Series(_("95 из 100"), "warn", [row.get("slow") for row in rows]),
        ],
        **shared,
    )
