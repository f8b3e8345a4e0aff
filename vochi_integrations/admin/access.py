"""Who may do what under `/retailcrm-admin/`: a session of that enterprise, and for changes proof of origin."""

from collections.abc import Sequence
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Handler

from vochi_integrations.admin import area, signin
from vochi_integrations.admin.origin import SAFE, is_ours
from vochi_integrations.admin.peer import own_origins
from vochi_integrations.admin.problems import as_pages, problem
from vochi_integrations.admin.sessions import VIEWER, Viewer, own_viewers, provider_viewers
from vochi_integrations.keys import DATABASE, SETTINGS
from vochi_integrations.web.middlewares import errors

__all__ = ["VIEWER", "Viewer", "enterprise_of", "gate"]

PROVIDER_COOKIE = "session_token"
COOKIES_READ = 8


@web.middleware
async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Be the public listener's one middleware: a host's event passes with a glance at its route."""
    if not area.is_for_admin(request):
        return await errors(request, handler)
    return await as_pages(request, partial(errors, handler=partial(guard, handler=handler)))


async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request of the administrator's area through, signed in and of our own pages, with `request[VIEWER]` set."""
    if not area.needs_viewer(request):
        return await handler(request)
    if area.is_root(request) and (answer := await signin.by_token(request)) is not None:
        return answer
    wanted = enterprise_of(request)
    known = await _viewers(request, wanted)
    viewer = next((viewer for viewer in known if viewer.allowed and wanted in (None, viewer.enterprise)), None)
    if viewer is None:
        return _refusal(known, wanted)
    if request.method not in SAFE and not area.is_root(request) and not is_ours(request.headers, own_origins(request)):
        return problem("cross_origin")
    request[VIEWER] = viewer
    return await handler(request)


async def still_allowed(request: web.Request) -> bool:
    """Tell whether whoever began a long answer may still have it: the session may have ended meanwhile."""
    number = request[VIEWER].enterprise
    return any(viewer.allowed and viewer.enterprise == number for viewer in await _viewers(request, number))


def enterprise_of(request: web.Request) -> str | None:
    """Return the number of the enterprise that is asked for: in the API's path, else in the query."""
    return request.match_info.get("n") or request.query.get("enterprise_number") or None


async def _viewers(request: web.Request, wanted: str | None) -> list[Viewer]:
    """Return whoever the cookies speak for; the provider's is read only when ours do not open the door."""
    app = request.app
    cookies = signin.own_cookies(request, wanted)[:COOKIES_READ]
    own = await own_viewers(app[DATABASE], app[SETTINGS].auth, cookies)
    if any(wanted in (None, viewer.enterprise) for viewer in own):
        return own
    return own + await provider_viewers(app[DATABASE], request.cookies.get(PROVIDER_COOKIE, ""))


def _refusal(known: Sequence[Viewer], wanted: str | None) -> web.Response:
    if not known:
        return problem("not_signed_in")
    if any(wanted in (None, viewer.enterprise) for viewer in known):
        return problem("not_an_administrator")
    return problem("other_enterprise")
