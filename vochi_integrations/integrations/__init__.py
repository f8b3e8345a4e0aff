"""The registry: the only place that names a CRM."""

from collections.abc import Mapping
from typing import Any

import aiohttp

from vochi_integrations.events import decoded
from vochi_integrations.integrations.base import Integration
from vochi_integrations.integrations.retailcrm import RetailCrmIntegration
from vochi_integrations.settings import Settings

ADMINISTERED = RetailCrmIntegration.name  # the CRM the administrator's pages are about
NAMES = (RetailCrmIntegration.name,)


def create_integrations(settings: Settings, session: aiohttp.ClientSession) -> dict[str, Integration]:
    """Return every CRM this daemon can deliver to, by the name of its key in `integrations_config`."""
    known: list[Integration] = [RetailCrmIntegration(settings, session)]
    return {integration.name: integration for integration in known}


def read_configs(integrations: Mapping[str, Integration], config: Mapping[str, Any]) -> dict[str, object]:
    """Read the part of each known CRM that a tenant's `integrations_config` has."""
    parts = {name: decoded(config.get(name)) for name in integrations}
    return {name: integrations[name].read_config(part) for name, part in parts.items() if isinstance(part, dict)}
