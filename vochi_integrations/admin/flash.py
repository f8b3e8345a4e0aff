"""A message for the next page after a redirect, in a signed cookie that the page takes away."""

import base64
import hashlib
import hmac
from typing import Literal

import orjson
from aiohttp import web
from msgspec import Struct

from vochi_integrations.admin.area import PREFIX
from vochi_integrations.admin.peer import is_secure
from vochi_integrations.keys import JWT_SECRET

COOKIE = "vochi_flash"
SECONDS = 60
LONGEST = 1000

Kind = Literal["success", "info", "warning", "error"]


class Flash(Struct, frozen=True):
    """A message, its text already in the person's language."""

    kind: str
    text: str

    def forget(self, response: web.StreamResponse) -> None:
        response.del_cookie(COOKIE, path=PREFIX)


def add_flash(request: web.Request, response: web.StreamResponse, kind: Kind, text: str) -> None:
    """Let the next page show a message once."""
    body = base64.urlsafe_b64encode(orjson.dumps([kind, text[:LONGEST]]))
    response.set_cookie(
        COOKIE,
        f"{body.decode()}.{_signature(request, body)}",
        max_age=SECONDS,
        path=PREFIX,
        httponly=True,
        samesite="Lax",
        secure=is_secure(request),
    )


def read_flash(request: web.Request) -> Flash | None:
    """Return the message of the page before; what we have not signed is none."""
    body, _, signature = request.cookies.get(COOKIE, "").partition(".")
    if not body or not _is_signed(request, body, signature):
        return None
    kind, text = orjson.loads(base64.urlsafe_b64decode(body))
    return Flash(kind, text)


def _is_signed(request: web.Request, body: str, signature: str) -> bool:
    return body.isascii() and signature.isascii() and hmac.compare_digest(signature, _signature(request, body.encode()))


def _signature(request: web.Request, body: bytes) -> str:
    key = request.app[JWT_SECRET].reveal().encode()
    return hmac.new(key, b"flash:" + body, hashlib.sha256).hexdigest()
