"""What may be written into a CRM's configuration by an administrator, key by key."""

from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers

from vochi_integrations.errors import BadRequestError
from vochi_integrations.integrations.base import Integration
from vochi_integrations.logs import MASK

OURS = frozenset({"user_extensions", "unpushed_extensions", "client_id", "token_id", "registered_at"})
LONGEST = 1_000
EVENTS = frozenset({"in", "out", "hangup", "history"})

Check = Callable[[Any], str]


def read_patch(body: Mapping[str, Any], integration: Integration) -> dict[str, Any]:
    """Return the keys to be saved; what only operations of their own may change is left out.

    Raises BadRequestError naming the key whose value cannot be used.
    """
    patch = {key: value for key, value in body.items() if key not in OURS}
    for key, value in patch.items():
        complaint = CHECKS[key](value) if key in CHECKS else ""
        if complaint:
            raise BadRequestError(f"{key} {complaint}")
    if "domain" in patch:
        patch["domain"] = patch["domain"].strip()
        _check_domain(patch["domain"], integration)
    return patch


def _check_domain(domain: str, integration: Integration) -> None:
    problem = integration.read_config({"domain": domain, "api_key": "any"}).problem
    if problem:
        raise BadRequestError(problem)


def _flag(value: object) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _line(value: object) -> str:
    if not isinstance(value, str):
        return "must be a string"
    return "" if value.isprintable() and len(value) <= LONGEST else f"must be one line of at most {LONGEST} characters"


def _key(value: object) -> str:
    """Let a key pass; null, "" and the mask mean that it stays as it is."""
    return "" if value is None or (isinstance(value, str) and value.startswith(MASK)) else _line(value)


def _zone(value: object) -> str:
    try:
        known = value is None or (isinstance(value, str) and ZoneInfo(value))
    except (ValueError, LookupError, OSError):
        known = False
    return "" if known else "must be the name of a time zone, for example Europe/Minsk"


def _region(value: object) -> str:
    known = isinstance(value, str) and value.strip().upper() in phonenumbers.SUPPORTED_REGIONS
    return "" if value is None or known else "must be a country's two letters, for example BY"


def _owner(value: object) -> str:
    return "" if value in (None, "first", "last") else 'must be "first" or "last"'


def _events(value: object) -> str:
    flags = isinstance(value, dict) and all(key in EVENTS and isinstance(flag, bool) for key, flag in value.items())
    return "" if value is None or flags else f"must be an object of true and false: {', '.join(sorted(EVENTS))}"


def _optional_flag(value: object) -> str:
    return "" if value is None else _flag(value)


def _optional_id(value: object) -> str:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return "" if value is None or is_number else _line(value)


CHECKS: Mapping[str, Check] = {
    "enabled": _flag,
    "domain": _line,
    "api_key": _key,
    "timezone": _zone,
    "region": _region,
    "record_owner": _owner,
    "events": _events,
    "record_link": _optional_flag,
    "smart_redirect": _optional_flag,
    "missed_user": _optional_id,
    "missed_extension": _optional_id,
}
