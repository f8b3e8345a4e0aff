"""Who is at the other end when a reverse proxy on this machine may stand between."""

import ipaddress

from aiohttp import web

from vochi_integrations.admin.origin import origin_of
from vochi_integrations.keys import SETTINGS


def address_of(request: web.Request) -> str:
    """Return the client's address: what a proxy on this machine says of it, else the peer's own."""
    peer = request.remote or ""
    if not _is_loopback(peer):
        return peer
    told = request.headers.getall("X-Forwarded-For", [])
    last = ",".join(told).rpartition(",")[2].strip()
    return last if _is_address(last) else peer


def own_origins(request: web.Request) -> frozenset[str]:
    """Return the origins at which this very request can have reached us; where https is ours, plain http is not."""
    host = request.headers.get("Host", "").lower()
    asked = {origin_of(f"{scheme}://{host}") for scheme in ("http", "https")}
    public = origin_of(request.app[SETTINGS].public_url.lower())
    plain = public.replace("https://", "http://", 1) if is_secure(request) else ""
    return frozenset(asked - {plain} | {public}) - {""}


def is_secure(request: web.Request) -> bool:
    """Tell whether browsers reach us over https only."""
    return request.app[SETTINGS].public_url.startswith("https://")


def _is_loopback(address: str) -> bool:
    return _is_address(address) and ipaddress.ip_address(address).is_loopback


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
