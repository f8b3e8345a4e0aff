"""Signing in with a link's token, and signing out (contract, Admin API and sign-in)."""

import structlog
from aiohttp import web

from vochi_integrations.admin import area
from vochi_integrations.admin.attempts import Attempts
from vochi_integrations.admin.links import BadTokenError, Claims, read_token
from vochi_integrations.admin.peer import address_of, is_secure
from vochi_integrations.admin.problems import problem
from vochi_integrations.admin.sessions import begin, source_of_token
from vochi_integrations.keys import DATABASE, JWT_SECRET, SETTINGS

COOKIE = "vochi_admin_"
ATTEMPTS = web.AppKey("attempts", Attempts)

log = structlog.get_logger()


async def by_token(request: web.Request) -> web.Response | None:
    """Exchange the token of a link for a session and go to the same address without it; None when there is no token.

    RetailCRM posts `clientId` and whatever else beside it; that proves nothing and is not looked at.
    """
    given = await _given(request)
    token, number = given.get("token", ""), given.get("enterprise_number", "")
    if not token:
        return None
    address = address_of(request)
    if wait := request.app[ATTEMPTS].wait(address, number):
        log.warning("sign-in refused", enterprise=number, address=address, reason="too_many_attempts")
        return problem("too_many_attempts", retry_after=wait)
    reason = await _sign_in(request, token, number)
    if isinstance(reason, web.Response):
        return reason
    request.app[ATTEMPTS].fail(address, number)
    log.warning("sign-in refused", enterprise=number, address=address, reason=reason)
    return problem(reason)


async def _given(request: web.Request) -> dict[str, str]:
    """Return the texts of the query, and of the form of a POST; the query beats the form."""
    found = dict(request.query)
    if request.method == "POST":
        form = await request.post()
        found = {name: value for name, value in form.items() if isinstance(value, str)} | found
    return found


async def _sign_in(request: web.Request, token: str, number: str) -> web.Response | str:
    """Return the redirect with the new session's cookie, or the reason why not."""
    app = request.app
    try:
        claims = read_token(token, app[JWT_SECRET])
    except BadTokenError:
        return "bad_token"
    if number and claims.enterprise != number:
        return "other_token"
    source = await source_of_token(app[DATABASE], claims.enterprise, claims.token_id)
    if source is None:
        return "bad_token"
    agent = request.headers.get("User-Agent", "")
    cookie = await begin(
        *(app[DATABASE], app[SETTINGS].auth, claims.enterprise, source, claims.token_id),
        address=address_of(request),
        agent=agent,
    )
    log.info("signed in", enterprise=claims.enterprise, source=source)
    return _signed_in(request, claims, cookie)


def _signed_in(request: web.Request, claims: Claims, cookie: str) -> web.Response:
    response = _again(request, claims.enterprise)
    response.set_cookie(
        COOKIE + claims.enterprise,
        cookie,
        max_age=int(request.app[SETTINGS].auth.session_seconds),
        path=area.PREFIX,
        httponly=True,
        samesite="Lax",
        secure=is_secure(request),
    )
    return response


def _again(request: web.Request, number: str) -> web.Response:
    """Go to the same address without the token."""
    query = request.url.query
    kept = [(name, value) for name, value in query.items() if name not in {"token", "clientId", "enterprise_number"}]
    pairs = [("enterprise_number", number), *kept] if number else kept
    return web.Response(status=303, headers={"Location": str(request.rel_url.with_query(pairs))})


def own_cookies(request: web.Request) -> list[str]:
    """Return our session cookies; there is one for each enterprise the browser has signed in to."""
    return [value for name, value in request.cookies.items() if name.startswith(COOKIE) and value]


def forget_cookie(request: web.Request, response: web.Response, number: str) -> None:
    response.del_cookie(COOKIE + number, path=area.PREFIX, httponly=True, samesite="Lax", secure=is_secure(request))
