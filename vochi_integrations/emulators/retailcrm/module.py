"""The integration module as the CRM checks, stores and reads it (facts: retailcrm_api §5)."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vochi_integrations.emulators.retailcrm.validation import (
    CHOICE,
    EXTRA,
    INVALID,
    Check,
    Errors,
    complaints,
    flag,
    matching,
    phone,
    text,
    url,
)

ACTIONS = ("activity", "settings")
NOT_SVG = "Logo image must be svg"
PREFIX = "Code prefix must match integrationCode"
COUNTRY = matching(re.compile(r"[A-Z]{2}"))
RELATIVE = matching(re.compile(r"(?!//)/?[\w\-./{}?=&]+"))
TWICE = "This value is already used"


@dataclass(frozen=True, slots=True)
class Edit:
    """What an edit leaves behind: the stored module, and what of it the account does not know."""

    module: dict[str, Any]
    info: dict[str, list[Any]]


def logo(value: Any) -> str | None:
    return url(value) or (None if value.partition("?")[0].endswith(".svg") else NOT_SVG)


def actions(value: Any) -> str | None:
    if not isinstance(value, dict) or not all(name in ACTIONS for name in value):
        return CHOICE
    return next(filter(None, map(RELATIVE, value.values())), None)


def countries(value: Any) -> str | None:
    return next(filter(None, map(COUNTRY, value)), None) if isinstance(value, list) else INVALID


def user_id(value: Any) -> str | None:
    """An id as a number or as digits: official clients send both."""
    is_id = isinstance(value, (int, str)) and not isinstance(value, bool) and re.fullmatch(r"\d{1,9}", str(value))
    return None if is_id else INVALID


def rows(rules: Mapping[str, Check]) -> Check:
    """A list, may be empty, of objects that have all the fields of `rules` and no other."""

    def check(value: Any) -> str | None:
        if not isinstance(value, list):
            return INVALID
        return next((complaint for row in value for complaint in complaints(row, rules, rules).values()), None)

    return check


def additional_codes(value: Any) -> str | None:
    if complaint := rows({"userId": user_id, "code": text})(value):
        return complaint
    # Two users on one code or two codes of one user: undocumented, refused, since a card could not find its screen.
    users, codes = Counter(str(row["userId"]) for row in value), Counter(row["code"] for row in value)
    return TWICE if any(count > 1 for count in (*users.values(), *codes.values())) else None


TELEPHONY: Mapping[str, Check] = {
    "makeCallUrl": url,
    "changeUserStatusUrl": url,
    "allowEdit": flag,
    "inputEventSupported": flag,
    "outputEventSupported": flag,
    "hangupEventSupported": flag,
    "additionalCodes": additional_codes,
    "externalPhones": rows({"siteCode": text, "externalPhone": phone}),
}
MODULE: Mapping[str, Check] = {
    "code": text,
    "integrationCode": text,
    "active": flag,
    "freeze": flag,
    "native": flag,
    "name": text,
    "logo": logo,
    "clientId": text,
    "baseUrl": url,
    "actions": actions,
    "availableCountries": countries,
    "accountUrl": url,
    "integrations": lambda value: None if isinstance(value, dict) else INVALID,
}


def module_errors(module: Any, code: str) -> Errors:
    """What is wrong with the module sent for `code`; an edit needs the same fields as a creation."""
    if not isinstance(module, dict):
        return {"integrationModule": INVALID}
    errors = complaints(module, MODULE, ("code", "name", "logo", "baseUrl"))
    return code_errors(module, code) | errors | integration_errors(module.get("integrations"))


def code_errors(module: Mapping[str, Any], code: str) -> Errors:
    if module.get("code") != code:
        return {"code": INVALID}
    return {} if code.startswith(str(module.get("integrationCode", code))) else {"code": PREFIX}


def integration_errors(integrations: Any) -> Errors:
    """Only `telephony` is emulated, so any other integration is an extra field."""
    if not isinstance(integrations, dict):
        return {}
    errors = {f"integrations.{name}": EXTRA for name in integrations if name != "telephony"}
    telephony = complaints(integrations.get("telephony", {}), TELEPHONY)
    return errors | {f"integrations.telephony.{name}".rstrip("."): why for name, why in telephony.items()}


def apply(module: Mapping[str, Any], users: Collection[int], sites: Collection[str]) -> Edit:
    """Replace, not merge: what is left out is gone, `additionalCodes` too; unknown users and sites are dropped."""
    sent = module.get("integrations", {}).get("telephony")
    stored = {"integrationCode": module["code"], "active": False, "freeze": False, "native": False, **module}
    if sent is None:
        return Edit(stored, {})
    codes = [{"userId": int(row["userId"]), "code": row["code"]} for row in sent.get("additionalCodes", [])]
    lines = sent.get("externalPhones", [])
    stored["integrations"] = {
        "telephony": {
            **sent,
            "additionalCodes": [row for row in codes if row["userId"] in users],
            "externalPhones": [row for row in lines if row["siteCode"] in sites],
        }
    }
    unknown = {
        "notExistUsersIds": strangers((row["userId"] for row in codes), users),
        "notExistSiteCodes": strangers((row["siteCode"] for row in lines), sites),
    }
    return Edit(stored, {name: values for name, values in unknown.items() if values})


def strangers(named: Iterable[Any], known: Collection[Any]) -> list[Any]:
    return [name for name in named if name not in known]


def telephony_of(module: Mapping[str, Any]) -> dict[str, Any] | None:
    """The telephony part while the module is switched on, else nothing."""
    if not module["active"] or module["freeze"]:
        return None
    telephony: dict[str, Any] | None = module.get("integrations", {}).get("telephony")
    return telephony


def with_codes_at_root(module: Mapping[str, Any]) -> dict[str, Any]:
    """The module as an older account reads it back."""
    integrations = dict(module.get("integrations", {}))
    telephony = dict(integrations.get("telephony", {}))
    codes = [{"userId": str(row["userId"]), "code": row["code"]} for row in telephony.pop("additionalCodes", [])]
    return {**module, "additionalCodes": codes, "integrations": integrations | {"telephony": telephony}}
