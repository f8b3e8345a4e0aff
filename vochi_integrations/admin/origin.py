"""Proof that a request comes from a page of ours (contract, Admin API and sign-in)."""

from collections.abc import Mapping
from urllib.parse import urlsplit

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def is_ours(headers: Mapping[str, str], own: frozenset[str]) -> bool:
    """Tell whether a browser says that a page of one of the origins `own` has sent this.

    `Origin` decides where it says anything, then `Sec-Fetch-Site`, then `Referer`; without any it is not proven.
    """
    origin = headers.get("Origin", "null")
    if origin != "null":
        return origin.lower() in own
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return origin_of(headers.get("Referer", "")) in own


def origin_of(url: str) -> str:
    """Return `scheme://host[:port]` of a URL as browsers write it, "" when it is none.

    Browsers write no backslash: what has one means one host to them and another to `urlsplit`.
    """
    if "\\" in url:
        return ""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, default) else "")
