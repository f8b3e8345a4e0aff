"""A tenant's RetailCRM settings: `integrations_config.retailcrm`, read tolerantly (contract, Set-up)."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from vochi_integrations.addresses import is_public
from vochi_integrations.cipher import Cipher
from vochi_integrations.errors import UndecryptableError
from vochi_integrations.events import decoded
from vochi_integrations.settings import RetailCrm, Secret, Settings

PLAIN = Cipher()
NAME = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?", re.ASCII | re.IGNORECASE)
NUMERIC = re.compile(r"(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)\.?$", re.ASCII | re.IGNORECASE)


class Sent(Struct, frozen=True):
    """Which events the company wants in its CRM: pop-ups of calls in and out, their closing, records."""

    popup_in: bool = True
    popup_out: bool = True
    hangup: bool = True
    history: bool = True


class RetailCrmConfig(Struct, frozen=True, kw_only=True):
    """`extensions` maps a CRM user id to an extension, `users` the other way; `url` is the account's origin.

    `missed_extension` and `missed_user` are who a missed call belongs to, "" for nobody. `client_id` proves the CRM's
    own requests, `token_id` is in the link that signs an administrator in; "" before the registration. `problem` says
    why nothing can be sent, "" when it can.
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
    record_link: bool = True
    smart_redirect: bool = True
    events: Sent = Sent()
    missed_extension: str = ""
    missed_user: str = ""
    client_id: Secret = field(default_factory=Secret)
    token_id: Secret = field(default_factory=Secret)
    problem: str = ""


def read_config(raw: Mapping[str, Any], settings: Settings, cipher: Cipher = PLAIN) -> RetailCrmConfig:
    """Read what the tenant has set; wrong values fall back to the daemon's settings, or become `problem`."""
    url, wrong_domain = read_domain(raw.get("domain"), allow_insecure=settings.crm.allow_insecure_urls)
    api_key, wrong_key = _read_key(raw.get("api_key"), cipher)
    extensions = _read_extensions(raw.get("user_extensions"))
    defaults = settings.retailcrm
    return RetailCrmConfig(
        enabled=raw.get("enabled") is True,
        url=url,
        api_key=Secret(api_key),
        extensions=extensions,
        users={extension: user for user, extension in reversed(extensions.items())},
        region=_read_region(raw.get("region"), defaults),
        zone=_read_zone(raw.get("timezone"), defaults),
        record_owner="last" if raw.get("record_owner", settings.calls.record_owner) == "last" else "first",
        record_url=defaults.record_url,
        record_link=raw.get("record_link") is not False,
        smart_redirect=raw.get("smart_redirect") is not False,
        events=_read_events(raw.get("events")),
        missed_extension=_read_text(raw.get("missed_extension")),
        missed_user=_read_text(raw.get("missed_user")),
        client_id=Secret(_read_text(raw.get("client_id"))),
        token_id=Secret(_read_text(raw.get("token_id"))),
        problem=wrong_domain or wrong_key,
    )


def _read_key(value: object, cipher: Cipher) -> tuple[str, str]:
    """Return (key, "") or ("", what is wrong); a key is stored plain or encrypted."""
    stored = value.strip() if isinstance(value, str) else ""
    if not stored:
        return "", "api_key is not set"
    try:
        key = cipher.decrypt(stored).strip()
    except UndecryptableError as error:
        return "", f"api_key cannot be read: {error}; enter it again"
    return (key, "") if key.isprintable() else ("", "api_key has characters that no key has")


def _read_text(value: object) -> str:
    """Read an id: numbers are as good as texts."""
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _read_events(value: object) -> Sent:
    """Everything is sent but what is false."""
    flags = decoded(value)
    off = {name for name, flag in flags.items() if flag is False} if isinstance(flags, dict) else set()
    return Sent("in" not in off, "out" not in off, "hangup" not in off, "history" not in off)


def read_domain(value: object, *, allow_insecure: bool) -> tuple[str, str]:
    """Return (origin, "") or ("", what is wrong). A bare host means https (contract, Set-up; design decision 13)."""
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        return "", "domain is not set"
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = _ascii(parts.hostname or ""), parts.port
    except ValueError:
        return "", "domain is not an address"
    if not _is_host(host) or parts.username is not None or parts.scheme not in ("https", "http"):
        return "", "domain must look like demo.retailcrm.ru"
    if not allow_insecure and (parts.scheme != "https" or not _is_public(host)):
        return "", "domain must be a public https address"
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else ""), ""


def _ascii(host: str) -> str:
    """Return a host as it is looked up, "" when it cannot be; other alphabets' digits become plain ones."""
    try:
        return host if ":" in host else host.encode("idna").decode()
    except UnicodeError:
        return ""


def _is_host(host: str) -> bool:
    """Tell whether this is an address or a name; a name of numbers only is an address written to deceive."""
    return _is_address(host) or bool(NAME.fullmatch(host) and not NUMERIC.search(host))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_public(host: str) -> bool:
    name = host.rstrip(".")
    if name == "localhost" or name.endswith((".localhost", ".local", ".internal")):
        return False
    return is_public(host) if _is_address(host) else "." in name


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
