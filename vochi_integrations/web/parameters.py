"""What a caller gives, wherever it puts it: the query, a form, JSON."""

from collections.abc import Mapping
from hashlib import blake2b
from urllib.parse import parse_qsl

from aiohttp import web

from vochi_integrations.errors import BadRequestError
from vochi_integrations.events import read_json
from vochi_integrations.web.bodies import read_form

FIELDS = 100
UNREADABLE = "\x00"


async def read_parameters(request: web.Request) -> dict[str, object]:
    """Return the parameters; the body's beat the query's, of a repeated one the first counts. Never raises for them."""
    found: dict[str, object] = {}
    for name, value in request.query.items():
        found.setdefault(name, value)
    if request.method == "POST" and request.can_read_body:
        found |= await _read_body(request)
    return found


async def _read_body(request: web.Request) -> Mapping[str, object]:
    if request.content_type == "multipart/form-data":
        return await _read_multipart(request)
    data = await request.read()
    if data.lstrip()[:1] in (b"{", b"["):
        try:
            return read_json(data)
        except BadRequestError:
            return {}
    found: dict[str, object] = {}
    try:
        pairs = parse_qsl(data.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=FIELDS)
    except ValueError:
        return {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


async def _read_multipart(request: web.Request) -> Mapping[str, object]:
    try:
        fields = await read_form(request)
    except BadRequestError:
        return {}
    return {name: value for name, value in fields.items() if isinstance(value, str)}


async def way_of(request: web.Request) -> str:
    """Return what tells a request from all but its repeats: the same address and the same body."""
    asked = f"{request.method} {request.url}\n".encode(errors="surrogatepass")
    return blake2b(asked + await request.read(), digest_size=16).hexdigest()


def text_of(given: Mapping[str, object], name: str) -> str | None:
    """Return a parameter as text, None when it was not given; a list or an object is what no number looks like."""
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        return UNREADABLE
    return str(value)
