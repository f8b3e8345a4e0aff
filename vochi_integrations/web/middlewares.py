"""Errors become JSON; what nobody expected is logged once and shown to nobody."""

from contextlib import suppress

import structlog
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.typedefs import Handler

from vochi_integrations.db import UNAVAILABLE
from vochi_integrations.errors import BadRequestError, JournalError, UnknownEnterpriseError
from vochi_integrations.keys import FIGURES
from vochi_integrations.web.answers import NO_DATABASE, error_answer

UNREADABLE = (400, "bad_request", "the body cannot be read: check its headers and its form")
TOLD: dict[type[Exception] | tuple[type[Exception], ...], tuple[int, str, str]] = {
    BadRequestError: (400, "bad_request", ""),
    UnknownEnterpriseError: (404, "unknown_enterprise", ""),
    JournalError: (503, "not_durable", ""),
    (BadHttpMessage, web.RequestPayloadError): UNREADABLE,
    UNAVAILABLE: NO_DATABASE,
}
EXPECTED = (
    BadRequestError,
    UnknownEnterpriseError,
    JournalError,
    BadHttpMessage,
    web.RequestPayloadError,
    *UNAVAILABLE,
)
KNOWN = {
    404: ("not_found", "there is nothing at this address"),
    405: ("method_not_allowed", "this address does not take this method"),
    413: ("body_too_large", "the body is larger than 64 KiB"),
}

log = structlog.get_logger()


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _answer(error)
    except EXPECTED as error:
        status, code, message = next(row for kind, row in TOLD.items() if isinstance(error, kind))
        return error_answer(status, code, message or str(error))
    except Exception:
        log.exception("request failed", method=request.method, path=request.path)
        return error_answer(500, "internal_error", "an error of ours; it is in the log")


def _answer(error: web.HTTPException) -> web.Response:
    code, message = KNOWN.get(error.status, ("bad_request", error.reason))
    answer = error_answer(error.status, code, message)
    if isinstance(error, web.HTTPMethodNotAllowed):
        answer.headers["Allow"] = error.headers["Allow"]
    return answer


def _count(request: web.BaseRequest, status: int) -> None:
    """Count a refusal where the daemon counts; a request too broken for a route has no application."""
    with suppress(AssertionError):  # aiohttp's own way to say that there is none
        if isinstance(request, web.Request) and FIGURES in request.app:
            request.app[FIGURES].refused[status] += 1


class AccessLogger(AbstractAccessLogger):
    """One line for a request that was refused or failed; never its query, where secrets may be."""

    @property
    def enabled(self) -> bool:
        return True

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        if response.status >= 400:
            _count(request, response.status)
            log.warning(
                "request refused",
                method=request.method,
                path=request.path,
                status=response.status,
                seconds=round(time, 4),
            )
