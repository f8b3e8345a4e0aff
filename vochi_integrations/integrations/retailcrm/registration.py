"""Our module as RetailCRM stores it: `integration-modules/{code}/edit` (facts: retailcrm_api §5). Pure.

An edit replaces what is there: a field left out may be gone, `additionalCodes` among them. So every edit sends the
whole module, made of what the CRM has and of what is ours.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from vochi_integrations.integrations.base import Registration
from vochi_integrations.integrations.extensions import merged
from vochi_integrations.integrations.retailcrm.extensions import read_codes, telephony_of, write_codes
from vochi_integrations.logs import MASK

CODE = "vochi-telephony"
MODULE_PATH = f"/api/v5/integration-modules/{CODE}"
EDIT_PATH = f"{MODULE_PATH}/edit"
FIELD = "integrationModule"
NAME = "Vochi-CRM"
KEPT = ("name", "logo", "baseUrl", "integrationCode", "availableCountries", "clientId", "accountUrl", "actions")
KEPT_OF_TELEPHONY = (
    "makeCallUrl",
    "changeUserStatusUrl",
    "allowEdit",
    "inputEventSupported",
    "outputEventSupported",
    "hangupEventSupported",
    "externalPhones",
)
SECRET_FIELDS = ("clientId", "accountUrl")


def registered(
    theirs: Mapping[str, Any], wanted: Registration, public_url: str, sites: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the module as a registration writes it; `theirs` is what the CRM has, empty when nothing.

    `sites` are the account's shops: the only line of a company belongs to its only shop, more is not known.
    """
    telephony = {
        "makeCallUrl": f"{public_url}/retailcrm/make-call",
        "changeUserStatusUrl": f"{public_url}/retailcrm/status",
        "inputEventSupported": True,
        "outputEventSupported": True,
        "hangupEventSupported": True,
        "allowEdit": False,
        "additionalCodes": write_codes(merged(wanted.extensions, read_codes(theirs))),
        "externalPhones": _lines(theirs, wanted.lines, sites),
    }
    return {
        **_identity(public_url),
        **_kept(theirs, ("availableCountries",)),
        "active": wanted.enabled,
        "clientId": wanted.client_id.reveal(),
        "accountUrl": wanted.account_url.reveal(),
        "actions": {"activity": "/retailcrm/activity"},
        "integrations": {"telephony": telephony},
    }


def with_extensions(theirs: Mapping[str, Any], extensions: Mapping[str, str | None], public_url: str) -> dict[str, Any]:
    """Return the CRM's module with our extensions in it, and nothing else changed."""
    codes = write_codes(merged(extensions, read_codes(theirs)))
    telephony = {**_kept(telephony_of(theirs), KEPT_OF_TELEPHONY), "additionalCodes": codes}
    return {
        **_identity(public_url),
        **_kept(theirs, KEPT),
        "active": theirs.get("active") is True,
        "integrations": {"telephony": telephony},
    }


def switched_off(theirs: Mapping[str, Any], public_url: str) -> dict[str, Any]:
    """Return the CRM's module, inactive; it keeps its extensions for the day it is registered again."""
    return {**with_extensions(theirs, {}, public_url), "active": False}


def without_actions(module: Mapping[str, Any], complaint: str) -> dict[str, Any] | None:
    """Return the module without `actions` when it is those the CRM finds fault with, else None.

    They only bring us news of the account's own switch, and accounts are known that refused them.
    """
    if "actions" not in module or "actions:" not in complaint:
        return None
    return {key: value for key, value in module.items() if key != "actions"}


def for_the_journal(module: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy without what proves anybody's identity."""
    return {key: MASK if key in SECRET_FIELDS else value for key, value in module.items()}


def _identity(public_url: str) -> dict[str, Any]:
    return {
        "code": CODE,
        "integrationCode": CODE,
        "name": NAME,
        "logo": f"{public_url}/static/vochi_logo.svg",
        "baseUrl": public_url,
    }


def _kept(theirs: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return what the CRM has of these; PHP writes an empty object as an empty list, which it does not take back."""
    return {name: theirs[name] for name in names if theirs.get(name) not in (None, "", [])}


def _lines(theirs: Mapping[str, Any], lines: Sequence[str], sites: Sequence[str]) -> list[Any]:
    known = telephony_of(theirs).get("externalPhones")
    if isinstance(known, list) and known:
        return known
    if len(lines) == 1 and len(sites) == 1:
        return [{"siteCode": sites[0], "externalPhone": lines[0]}]
    return []
