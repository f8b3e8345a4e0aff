"""Signing in with a link's token, and signing out (contract, Admin API and sign-in)."""

import structlog
from aiohttp import web

from vochi_integrations.admin import area
from vochi_integrations.admin.attempts import Attempts
from vochi_integrations.admin.links import NUMBER, BadTokenError, Claims, OtherTokenError, read_token
from vochi_integrations.admin.peer import address_of, is_secure
from vochi_integrations.admin.problems import problem
from vochi_integrations.admin.sessions import Source, begin, end, hashed, source_of_token
from vochi_integrations.keys import DATABASE, JWT_SECRET, SETTINGS
from vochi_integrations.web.bodies import read_form

COOKIE = "vochi_admin_"
ATTEMPTS = web.AppKey("attempts", Attempts)

log = structlog.get_logger()


async def by_token(request: web.Request) -> web.Response | None:
    """Exchange the token of a link for a session and go to the same address without it; None when there is no token.

    RetailCRM posts `clientId` and whatever else beside it; that proves nothing and is not looked at.
    """
    given = await _given(request)
    token, asked = given.get("token", ""), given.get("enterprise_number", "")
    if not token or request.method not in {"GET", "POST"}:
        return None
    number = asked if NUMBER.fullmatch(asked) else ""
    address = address_of(request)
    if wait := request.app[ATTEMPTS].wait(address, number):
        return _refused("too_many_attempts", number, address, wait)
    try:
        claims, source = await _checked(request.app, token, asked)
    except BadTokenError as error:
        request.app[ATTEMPTS].fail(address, number)
        return _refused(error.code, number, address)
    cookie = await _begin(request, claims, source)
    log.info("signed in", enterprise=claims.enterprise, source=source)
    return _signed_in(request, claims, cookie)


def _refused(code: str, number: str, address: str, wait: float = 0.0) -> web.Response:
    log.warning("sign-in refused", enterprise=number, address=address, reason=code)
    return problem(code, retry_after=wait)


async def _given(request: web.Request) -> dict[str, str]:
    """Return the texts of the query, and of the form of a POST; the query beats the form."""
    found = {name: value for name, value in request.query.items() if value}
    if request.method != "POST":
        return found
    form = await read_form(request)
    return {name: value for name, value in form.items() if isinstance(value, str)} | found


async def _checked(app: web.Application, token: str, asked: str) -> tuple[Claims, Source]:
    """Return what a token says and what stands behind it. Raises BadTokenError."""
    claims = read_token(token, app[JWT_SECRET])
    if asked and claims.enterprise != asked:
        raise OtherTokenError("the token is another enterprise's")
    source = await source_of_token(app[DATABASE], claims.enterprise, claims.token_id)
    if source is None:
        raise BadTokenError("the token was revoked")
    return claims, source


async def _begin(request: web.Request, claims: Claims, source: Source) -> str:
    """Begin a session in place of the one this browser may have; return its cookie's value."""
    app, number = request.app, claims.enterprise
    before = request.cookies.get(COOKIE + number)
    if before:
        await end(app[DATABASE], number, [hashed(before)])
    agent = _printable(request.headers.get("User-Agent", ""))
    seen = {"address": address_of(request), "agent": agent}
    return await begin(app[DATABASE], app[SETTINGS].auth, number, source, claims.token_id, **seen)


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


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable()).encode(errors="ignore").decode()


def own_cookies(request: web.Request, wanted: str | None) -> list[str]:
    """Return our session cookies, that of the wanted enterprise first; there is one for each signed in to."""
    found = {name: value for name, value in request.cookies.items() if name.startswith(COOKIE) and value}
    return sorted(found.values(), key=lambda value: value != found.get(f"{COOKIE}{wanted}"))


def forget_cookie(request: web.Request, response: web.Response, number: str) -> None:
    response.del_cookie(COOKIE + number, path=area.PREFIX, httponly=True, samesite="Lax", secure=is_secure(request))
