"""The doctor and the support bundle over HTTP, for this machine only."""

import msgspec
from aiohttp import hdrs, web

from vochi_integrations.keys import DATABASE, INTEGRATIONS, SETTINGS, SPOOL, STORE, TELEPHONY, WATCH
from vochi_integrations.ops.bundle import bundle, file_name
from vochi_integrations.ops.doctor import checks, is_well
from vochi_integrations.ops.patient import Live, Patient
from vochi_integrations.ops.pbx_checks import pbx_checks
from vochi_integrations.web.answers import json_answer
from vochi_integrations.web.status import health_of, statistics

routes = web.RouteTableDef()


def patient_of(app: web.Application) -> Patient:
    """Return this daemon as the doctor examines it."""

    async def live() -> Live:
        status, reasons = health_of(app)
        return Live(
            status=status,
            reasons=reasons,
            listening=app[STORE].listening,
            spooled=len(app[SPOOL]),
            alerts=[reading.text for reading, _ in app[WATCH].firing() if not reading.enterprise],
        )

    return Patient(
        settings=app[SETTINGS],
        database=app[DATABASE],
        integrations=app[INTEGRATIONS],
        enterprises=app[STORE].current.by_number,
        live=live,
    )


@routes.get("/api/doctor")
async def doctor(request: web.Request) -> web.Response:
    """Run every check, of one `enterprise` too when it is named."""
    more = pbx_checks(request.app[TELEPHONY].control)
    found = await checks(patient_of(request.app), request.query.get("enterprise"), more)
    return json_answer({"ok": is_well(found), "findings": [msgspec.to_builtins(finding) for finding in found]})


@routes.get("/api/support-bundle")
async def support_bundle(request: web.Request) -> web.Response:
    """Make the archive for support, of one `enterprise` or of all."""
    number = request.query.get("enterprise")
    more = pbx_checks(request.app[TELEPHONY].control)
    data = await bundle(patient_of(request.app), number, stats=statistics(request.app), more=more)
    disposition = f'attachment; filename="{file_name(number)}"'
    return web.Response(body=data, content_type="application/zip", headers={hdrs.CONTENT_DISPOSITION: disposition})
