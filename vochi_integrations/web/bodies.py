"""Reading a request's body."""

from aiohttp import web


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
