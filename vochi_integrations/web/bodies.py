"""Reading a request's body."""

from collections.abc import Mapping

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from vochi_integrations.errors import BadRequestError


async def read_body(request: web.Request) -> bytes:
    """Return the body; without waiting when all of it came with the head, as a host's event does.

    Raises what `request.read` does: HTTPRequestEntityTooLarge over the application's `client_max_size`, and the
    parser's errors.
    """
    content = request.content
    if not content.is_eof():
        return await request.read()
    data = content.read_nowait()
    if len(data) > request.client_max_size:
        raise web.HTTPRequestEntityTooLarge(max_size=request.client_max_size, actual_size=len(data))
    return data


async def read_form(request: web.Request) -> Mapping[str, str | bytes | bytearray | web.FileField]:
    """Return the fields of a form, of either kind. Raises BadRequestError for a body that is none."""
    try:
        return await request.post()
    except (ValueError, LookupError, AssertionError, BadHttpMessage):
        raise BadRequestError("the form cannot be read") from None
