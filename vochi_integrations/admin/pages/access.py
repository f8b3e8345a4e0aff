"""Who is signed in to an enterprise's pages, and the door out."""

import binascii

from aiohttp import web

from vochi_integrations.admin.area import PREFIX, ROOT, SIGN_OUT
from vochi_integrations.admin.flash import add_flash
from vochi_integrations.admin.i18n import gettext as _
from vochi_integrations.admin.render import page_url, render, to_page
from vochi_integrations.admin.sessions import NAMES, TIMEOUT, VIEWER, end
from vochi_integrations.admin.signin import forget_cookie
from vochi_integrations.keys import DATABASE, SETTINGS
from vochi_integrations.web.bodies import read_form

routes = web.RouteTableDef()


@routes.post(PREFIX)
@routes.post(ROOT)
async def sign_in(request: web.Request) -> web.Response:
    """RetailCRM posts its link. The guard has answered when there was a token; without one a session is enough."""
    return to_page(page_url(request[VIEWER].enterprise, ""))


@routes.get(f"{ROOT}access")
async def show(request: web.Request) -> web.Response:
    viewer = request[VIEWER]
    idle = request.app[SETTINGS].auth.idle_seconds
    rows = await request.app[DATABASE].fetch("list_admin_sessions", viewer.enterprise, idle, timeout=TIMEOUT)
    sessions = [
        dict(row) | {"id": row["id"].hex(), "name": NAMES[row["source"]], "current": row["id"] == viewer.session}
        for row in rows
    ]
    return render(request, "admin/access.html", {"sessions": sessions})


@routes.post(f"{ROOT}access/end")
async def end_sessions(request: web.Request) -> web.Response:
    """End the session named by the form's `id`, or with `id=others` all but this one."""
    viewer, form = request[VIEWER], await read_form(request)
    named = str(form.get("id", ""))
    if named == "others":
        rows = await request.app[DATABASE].fetch("list_admin_sessions", viewer.enterprise, 1e9, timeout=TIMEOUT)
        ids = [row["id"] for row in rows if row["id"] != viewer.session]
    else:
        ids = [_id(named)]
    ended = await end(request.app[DATABASE], viewer.enterprise, ids)
    response = to_page(page_url(viewer.enterprise, "access"))
    add_flash(request, response, "success" if ended else "info", _("Сеанс завершён") if ended else _("Сеанса уже нет"))
    return response


@routes.post(SIGN_OUT)
async def sign_out(request: web.Request) -> web.Response:
    viewer = request[VIEWER]
    if viewer.session:
        await end(request.app[DATABASE], viewer.enterprise, [viewer.session])
    response = render(request, "admin/signed_out.html", {"viewer": None, "tabs": []})
    forget_cookie(request, response, viewer.enterprise)
    return response


def _id(text: str) -> bytes:
    try:
        return binascii.unhexlify(text)
    except ValueError:
        return b""
