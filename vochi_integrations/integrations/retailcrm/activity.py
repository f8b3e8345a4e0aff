"""RetailCRM's notice of our module's state: frozen, switched off, moved (facts: retailcrm_api §7)."""

from collections.abc import Mapping

from vochi_integrations.errors import BadRequestError
from vochi_integrations.events import decoded
from vochi_integrations.integrations.retailcrm.config import RetailCrmConfig, read_domain


def read_activity(given: Mapping[str, object], config: RetailCrmConfig, *, allow_insecure: bool) -> dict[str, object]:
    """Return the settings that change. Raises BadRequestError.

    A new address gets the API key, so only who has a secret client id may name one.
    """
    activity = decoded(given.get("activity"))
    if not isinstance(activity, dict):
        raise BadRequestError("activity must be a JSON object")
    active, freeze = activity.get("active"), activity.get("freeze", False)
    if not isinstance(active, bool) or not isinstance(freeze, bool):
        raise BadRequestError("activity.active and activity.freeze must be true or false")
    changes: dict[str, object] = {"enabled": active and not freeze}
    address = given.get("systemUrl")
    if address:
        origin, problem = read_domain(address, allow_insecure=allow_insecure)
        if problem:
            raise BadRequestError(problem.replace("domain", "systemUrl"))
        if origin != config.url and not config.client_id and not allow_insecure:
            raise BadRequestError("register the module again before its account moves")
        changes["domain"] = origin
    return changes
