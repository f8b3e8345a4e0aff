"""The CRMs under contract: one line each in `SUBJECTS`, and what the suite must know of a CRM to test it."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import aiohttp
from msgspec import Struct

from vochi_integrations.domain import Enterprise
from vochi_integrations.integrations import create_integrations
from vochi_integrations.integrations.base import Integration
from vochi_integrations.settings import Settings, load

TIMEOUT = 0.3
NUMBER = "0367"


class Subject(Struct, frozen=True, kw_only=True):
    """One CRM.

    `config` makes a tenant's usable configuration for an account at an origin, with the extensions 150 and 151;
    `secrets` are in it. `success` is the CRM's answer when all is well, `refusal` when it finds fault with a request.
    """

    name: str
    config: Callable[[str], dict[str, Any]]
    secrets: tuple[str, ...]
    success: bytes
    refusal: bytes


def retailcrm_config(origin: str) -> dict[str, Any]:
    users = {"1": "150", "2": "151"}
    return {"enabled": True, "domain": origin, "api_key": "retailcrm-secret-key", "user_extensions": users}


RETAILCRM = Subject(
    name="retailcrm",
    config=retailcrm_config,
    secrets=("retailcrm-secret-key",),
    success=b'{"success":true}',
    refusal=b'{"success":false,"errorMsg":"Errors in the entity format","errors":{"phone":"This value is not valid."}}',
)
SUBJECTS = {subject.name: subject for subject in (RETAILCRM,)}


def settings() -> Settings:
    return load(None, {"VOCHI_CRM__ALLOW_INSECURE_URLS": "true", "VOCHI_DELIVERY__TIMEOUT": str(TIMEOUT)})


def registry(session: aiohttp.ClientSession | None = None) -> Mapping[str, Integration]:
    """Return what the daemon can deliver to; without a session it can only think."""
    return create_integrations(settings(), cast("aiohttp.ClientSession", session))


def enterprise_with(integration: Integration, config: Mapping[str, Any]) -> Enterprise:
    return Enterprise(number=NUMBER, integrations={integration.name: integration.read_config(config)})
