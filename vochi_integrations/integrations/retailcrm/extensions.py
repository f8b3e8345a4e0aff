"""The module's `additionalCodes`: which user has which extension (facts: retailcrm_api §5). Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from vochi_integrations.integrations.extensions import held


def read_codes(module: Mapping[str, Any]) -> dict[str, str]:
    """Return extensions by user id, from the root or from `integrations.telephony`; ids are numbers or strings."""
    rows = _rows(module.get("additionalCodes")) or _rows(telephony_of(module).get("additionalCodes"))
    pairs = ((_text(row.get("userId")), _text(row.get("code"))) for row in rows)
    return held({user: code for user, code in pairs if user and code})


def telephony_of(module: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the telephony part; PHP writes an empty object as an empty list."""
    integrations = module.get("integrations")
    telephony = integrations.get("telephony") if isinstance(integrations, Mapping) else None
    return telephony if isinstance(telephony, Mapping) else {}


def write_codes(extensions: Mapping[str, str]) -> list[dict[str, object]]:
    """Return `additionalCodes`; what is no id of a CRM user is left out."""
    return [{"userId": int(user), "code": code} for user, code in extensions.items() if is_user_id(user)]


def is_user_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < len(text) < 10


def _rows(value: object) -> Iterable[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
