"""A tenant's RetailCRM settings: `integrations_config.retailcrm`, read tolerantly (contract, Set-up)."""

import ipaddress
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from vochi_integrations.events import decoded
from vochi_integrations.settings import RetailCrm, Secret, Settings


class RetailCrmConfig(Struct, frozen=True, kw_only=True):
    """`extensions` maps a CRM user id to an extension, `users` the other way; `url` is the account's origin.

    `problem` says why nothing can be sent, "" when it can.
    """

    enabled: bool = False
    url: str = ""
    api_key: Secret = field(default_factory=Secret)
    extensions: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict)
    region: str = "BY"
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    record_owner: Literal["first", "last"] = "first"
    record_url: str = ""
    client_id: Secret = field(default_factory=Secret)
    problem: str = ""


def read_config(raw: Mapping[str, Any], settings: Settings) -> RetailCrmConfig:
    """Read what the tenant has set; wrong values fall back to the daemon's settings, or become `problem`."""
    url, problem = read_domain(raw.get("domain"), allow_insecure=settings.crm.allow_insecure_urls)
    api_key = raw.get("api_key")
    if not problem and not (isinstance(api_key, str) and api_key.strip()):
        problem = "api_key is not set"
    elif not problem and not str(api_key).strip().isprintable():
        problem = "api_key has characters that no key has"
    extensions = _read_extensions(raw.get("user_extensions"))
    client_id = raw.get("client_id")
    defaults = settings.retailcrm
    return RetailCrmConfig(
        enabled=raw.get("enabled") is True,
        url=url,
        api_key=Secret(api_key.strip() if isinstance(api_key, str) else ""),
        extensions=extensions,
        users={extension: user for user, extension in reversed(extensions.items())},
        region=_read_region(raw.get("region"), defaults),
        zone=_read_zone(raw.get("timezone"), defaults),
        record_owner="last" if raw.get("record_owner", settings.calls.record_owner) == "last" else "first",
        record_url=defaults.record_url,
        client_id=Secret(client_id.strip() if isinstance(client_id, str) else ""),
        problem=problem,
    )


def read_domain(value: object, *, allow_insecure: bool) -> tuple[str, str]:
    """Return (origin, "") or ("", what is wrong). A bare host means https (contract, Set-up; design decision 13)."""
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        return "", "domain is not set"
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "", "domain is not an address"
    if not _is_host(host) or parts.username is not None or parts.scheme not in ("https", "http"):
        return "", "domain must look like demo.retailcrm.ru"
    if not allow_insecure and (parts.scheme != "https" or not _is_public(host)):
        return "", "domain must be a public https address"
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else ""), ""


def _is_host(host: str) -> bool:
    """Tell whether a host can be looked up at all: labels of up to 63 characters."""
    try:
        return bool(host) and bool(host.encode("idna"))
    except UnicodeError:
        return False


def _is_public(host: str) -> bool:
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host


def _read_extensions(value: object) -> dict[str, str]:
    """Keep what maps a CRM user to an extension; null means that the number was taken away."""
    value = decoded(value)
    if not isinstance(value, dict):
        return {}
    pairs = ((str(user), str(extension).strip()) for user, extension in value.items() if extension is not None)
    return {user: extension for user, extension in pairs if extension}


def _read_region(value: object, defaults: RetailCrm) -> str:
    return value.strip().upper() if isinstance(value, str) and value.strip() else defaults.region


def _read_zone(value: object, defaults: RetailCrm) -> ZoneInfo:
    try:
        return ZoneInfo(value if isinstance(value, str) and value else defaults.timezone)
    except (ValueError, LookupError, OSError):
        return ZoneInfo(defaults.timezone)
