"""What the pages load: style, scripts, icons. In memory, compressed once, cached by browsers."""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from aiohttp import web
from msgspec import Struct

from vochi_integrations.paths import folder

FOR_EVER = "public, max-age=31536000, immutable"
FOR_AN_HOUR = "public, max-age=3600"
SCRIPTLESS = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
WORTH_COMPRESSING = 1024

routes = web.RouteTableDef()


class Asset(Struct, frozen=True):
    """A file with its gzip (None when it would gain nothing), and the version that names its content."""

    body: bytes
    compressed: bytes | None
    content_type: str
    version: str


@cache
def assets() -> Mapping[str, Asset]:
    """Return the files of `templates/static` by name."""
    return {file.name: _read(file) for file in sorted((folder("templates") / "static").iterdir()) if file.is_file()}


def _read(file: Path) -> Asset:
    body = file.read_bytes()
    compressed = gzip.compress(body, 9, mtime=0) if len(body) >= WORTH_COMPRESSING else None
    version = hashlib.sha256(body).hexdigest()[:12]
    return Asset(body, compressed, mimetypes.guess_type(file.name)[0] or "application/octet-stream", version)


def static(name: str) -> str:
    """Return the address of a file; it changes with the content. Raises KeyError for no such file."""
    return f"/static/{name}?v={assets()[name].version}"


@routes.get("/static/{name}")
async def serve(request: web.Request) -> web.Response:
    return _answer(request, request.match_info["name"])


@routes.get("/favicon.ico")
async def favicon(request: web.Request) -> web.Response:
    return _answer(request, "favicon.svg")


def _answer(request: web.Request, name: str) -> web.Response:
    asset = assets().get(name)
    if asset is None:
        raise web.HTTPNotFound
    etag = f'"{asset.version}"'
    headers = {
        "Cache-Control": FOR_EVER if request.query.get("v") == asset.version else FOR_AN_HOUR,
        "ETag": etag,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": SCRIPTLESS,
    }
    if etag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    if asset.compressed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return web.Response(body=asset.compressed, content_type=asset.content_type, headers=headers)
    return web.Response(body=asset.body, content_type=asset.content_type, headers=headers)
