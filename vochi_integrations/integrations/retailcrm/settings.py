"""What an administrator may set, checked before it is stored. Pure."""

import re
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import phonenumbers

from vochi_integrations.errors import BadRequestError
from vochi_integrations.integrations.retailcrm.config import read_domain

OURS = frozenset({"user_extensions", "unpushed_extensions", "client_id", "token_id", "registered_at"})
EVENTS = ("in", "out", "hangup", "history")
KEY_SIZE = 255
EXTENSION = re.compile(r"\d{2,6}", re.ASCII)
USER = re.compile(r"\d{1,18}", re.ASCII)


class WrongValueError(BadRequestError):
    """A value cannot be used; `key` names it, as `events.in`, and the message says what to do."""

    def __init__(self, key: str, what_to_do: str) -> None:
        super().__init__(f"{key}: {what_to_do}")
        self.key = key


def checked(patch: Mapping[str, Any], *, allow_insecure: bool = False) -> dict[str, Any]:
    """Return the settings of a patch as they are stored; None sets a key back to its default.

    What is set elsewhere (the mapping, what a registration makes) is left out, keys that nobody knows stay as they are.
    `allow_insecure` admits loopback and http addresses. Raises WrongValueError.
    """
    _check_storable(patch)
    found = {key: _checked(key, value) for key, value in patch.items() if key not in OURS}
    if "domain" in found:
        _, problem = read_domain(found["domain"], allow_insecure=allow_insecure)
        if problem:
            raise WrongValueError("domain", problem.removeprefix("domain "))
    return found


def _check_storable(patch: Mapping[str, Any]) -> None:
    try:
        text = orjson.dumps(patch)
    except orjson.JSONEncodeError:
        raise WrongValueError("config", "must be JSON in UTF-8 that is not nested deeply") from None
    if b"\\u0000" in text:
        raise WrongValueError("config", "remove the NUL character")


def _checked(key: str, value: object) -> object:
    check = CHECKS.get(key)
    if check is None or (value is None and key not in REQUIRED):
        return value
    return check(key, value)


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise WrongValueError(key, "write it as a text")
    return value.strip()


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise WrongValueError(key, "must be true or false")
    return value


def _api_key(key: str, value: object) -> str:
    text = _text(key, value)
    if len(text) > KEY_SIZE or not text.isascii() or " " in text:
        raise WrongValueError(key, "copy the key from the CRM as it is")
    return text


def _events(key: str, value: object) -> dict[str, object]:
    if not isinstance(value, Mapping) or not value.keys() <= set(EVENTS):
        raise WrongValueError(key, f"name some of {', '.join(EVENTS)}, each true or false")
    return {name: None if flag is None else _flag(f"{key}.{name}", flag) for name, flag in value.items()}


def _owner(key: str, value: object) -> str:
    if value not in ("first", "last"):
        raise WrongValueError(key, 'must be "first" or "last"')
    return str(value)


def _region(key: str, value: object) -> str:
    region = _text(key, value).upper()
    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise WrongValueError(key, "must be a country of two letters, like BY")
    return region


def _timezone(key: str, value: object) -> str:
    name = _text(key, value)
    try:
        return ZoneInfo(name).key
    except (ValueError, LookupError, OSError):
        raise WrongValueError(key, "must be a time zone, like Europe/Minsk") from None


def _id(form: re.Pattern[str], what_to_do: str) -> Callable[[str, object], str | None]:
    def check(key: str, value: object) -> str | None:
        text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else "?"
        if text and not form.fullmatch(text):
            raise WrongValueError(key, what_to_do)
        return text or None

    return check


REQUIRED = frozenset({"enabled", "domain"})
CHECKS: Mapping[str, Callable[[str, object], object]] = {
    "enabled": _flag,
    "domain": _text,
    "api_key": _api_key,
    "events": _events,
    "record_owner": _owner,
    "region": _region,
    "timezone": _timezone,
    "record_link": _flag,
    "smart_redirect": _flag,
    "missed_extension": _id(EXTENSION, "must be an extension of 2 to 6 digits, or empty"),
    "missed_user": _id(USER, "must be the id of a CRM user, or empty"),
}
