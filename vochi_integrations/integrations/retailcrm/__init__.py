"""RetailCRM (Simla), API v5: pop-ups by call/event, records by calls/upload."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, cast

import aiohttp

from vochi_integrations.cipher import Cipher
from vochi_integrations.domain import Delivery, Effect, Enterprise
from vochi_integrations.integrations.base import Administration, Answer, Inquiry
from vochi_integrations.integrations.findings import Finding
from vochi_integrations.integrations.retailcrm import responsible
from vochi_integrations.integrations.retailcrm.activity import read_activity
from vochi_integrations.integrations.retailcrm.administration import RetailCrmAdministration
from vochi_integrations.integrations.retailcrm.client import Reply, RetailCrmClient
from vochi_integrations.integrations.retailcrm.config import RetailCrmConfig, read_config
from vochi_integrations.integrations.retailcrm.examine import examine
from vochi_integrations.integrations.retailcrm.mapping import NAME, customer_phone, plan
from vochi_integrations.keepsake import kept
from vochi_integrations.settings import Settings


class RetailCrmIntegration:
    """What the daemon knows of RetailCRM (`integrations.base.Integration`)."""

    name = NAME
    batch_size = 50

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._cipher = Cipher(settings.secrets.keys)
        self._client = RetailCrmClient(session, settings.delivery.timeout)
        self.administration: Administration = RetailCrmAdministration(settings, session)

    def read_config(self, raw: Mapping[str, Any]) -> RetailCrmConfig:
        return read_config(raw, self._settings, self._cipher)

    def account(self, enterprise: Enterprise) -> Hashable:
        config = _config(enterprise)
        return config.url, config.api_key

    def plan(self, effect: Effect, enterprise: Enterprise) -> list[Delivery]:
        return plan(effect, enterprise, _config(enterprise))

    def extension_of(self, enterprise: Enterprise, user: str) -> str | None:
        return _config(enterprise).extensions.get(user)

    def read_activity(self, enterprise: Enterprise, given: Mapping[str, object]) -> dict[str, object]:
        return read_activity(given, _config(enterprise), allow_insecure=self._settings.crm.allow_insecure_urls)

    async def send(self, deliveries: Sequence[Delivery], enterprise: Enterprise) -> list[Answer]:
        config = _config(enterprise)
        payloads = [delivery.payload for delivery in deliveries]
        if deliveries[0].kind == "record":
            reply = await self._client.upload_calls(config, payloads)
            response = kept(reply.answer)  # once for all: what is kept is cheap to keep again
            return [_answer("calls_upload", payload, reply, response) for payload in payloads]
        reply = await self._client.call_event(config, payloads[0])
        return [_answer(f"call_event:{payloads[0]['type']}", payloads[0], reply, kept(reply.answer))]

    def phone_of(self, enterprise: Enterprise, phone: str, trunk: str) -> str:
        return customer_phone(phone, "in", trunk, enterprise, _config(enterprise))

    def routes_callers(self, enterprise: Enterprise) -> bool:
        return _config(enterprise).smart_redirect

    async def ask(self, phone: str, enterprise: Enterprise) -> Inquiry:
        return await responsible.ask(self._client, _config(enterprise), phone)

    def user_of(self, enterprise: Enterprise, extension: str) -> str | None:
        return _config(enterprise).users.get(extension)

    async def examine(self, enterprise: Enterprise) -> list[Finding]:
        """Look at the account (`integrations.findings.Examinable`)."""
        config, public_url = _config(enterprise), self._settings.public_url
        return await examine(self.administration, self._client, config, public_url)


def _config(enterprise: Enterprise) -> RetailCrmConfig:
    return cast("RetailCrmConfig", enterprise.integrations[NAME])


def _answer(event_type: str, request: Mapping[str, object], reply: Reply, response: object) -> Answer:
    return Answer(
        event_type=event_type,
        request=request,
        response=response,
        http_status=reply.status,
        error=reply.error,
        started_at=reply.started_at,
        elapsed_ms=reply.elapsed_ms,
    )
