"""What an administrator does with RetailCRM (`integrations.base.Administration`)."""

import asyncio
import time
from collections.abc import Awaitable, Hashable, Mapping
from typing import Any
from weakref import WeakValueDictionary

import aiohttp

from vochi_integrations import clock
from vochi_integrations.domain import Reason
from vochi_integrations.errors import DeliveryError, PermanentDeliveryError
from vochi_integrations.integrations.base import Answer, Checkup, Employee, Explanation, Registration, Taken
from vochi_integrations.integrations.retailcrm import check, managers, words
from vochi_integrations.integrations.retailcrm import registration as module_of
from vochi_integrations.integrations.retailcrm.client import Reply, RetailCrmClient
from vochi_integrations.integrations.retailcrm.config import RetailCrmConfig
from vochi_integrations.integrations.retailcrm.extensions import read_codes
from vochi_integrations.integrations.retailcrm.paced import PacedClient
from vochi_integrations.integrations.retailcrm.registration import EDIT_PATH, FIELD, MODULE_PATH
from vochi_integrations.integrations.retailcrm.settings import checked
from vochi_integrations.settings import Settings

TEST_PHONE = "+375290000000"
Module = Mapping[str, Any]


class RetailCrmAdministration:
    """Requests of the administrator's page have a timeout of their own, and never a lane's place."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self._public_url = settings.public_url
        self._allow_insecure = settings.crm.allow_insecure_urls
        self._plain = RetailCrmClient(session, settings.crm.request_timeout)
        self._client = PacedClient(self._plain)
        self._edits: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def checked(self, patch: Mapping[str, Any]) -> dict[str, Any]:
        return checked(patch, allow_insecure=self._allow_insecure)

    async def check(self, config: RetailCrmConfig) -> Checkup:
        return await check.check(self._client, config, self._public_url)

    async def register(self, config: RetailCrmConfig, wanted: Registration, taken: Taken) -> Answer:
        request: dict[str, object] = {"code": module_of.CODE, "active": wanted.enabled}
        return await _answered("register_module", request, self._register(config, wanted, request, taken))

    def _only_edit(self, config: RetailCrmConfig) -> asyncio.Lock:
        """Return the account's lock: between reading its module and writing it back nobody else of us writes."""
        return self._edits.setdefault((config.url, config.api_key), asyncio.Lock())

    async def _register(
        self, config: RetailCrmConfig, wanted: Registration, request: dict[str, object], taken: Taken
    ) -> Reply:
        async with self._only_edit(config):
            theirs = await self._module(config) or {}
            sites = await self._sites(config) if len(wanted.lines) == 1 else []
            module = module_of.registered(theirs, wanted, self._public_url, sites)
            request.update(module_of.for_the_journal(module))
            reply = await self._write_registration(config, module)
            await taken()
        return reply

    async def _write_registration(self, config: RetailCrmConfig, module: Module) -> Reply:
        """Write the module; an edit whose answer was lost may have arrived, which a look at the module tells."""
        try:
            return await self._edit_without_what_is_refused(config, module)
        except DeliveryError as error:
            if error.reason == Reason.CRM_UNREACHABLE and await self._has_arrived(config, module):
                return Reply(started_at=clock.now(), status=200, answer={"success": True})
            raise

    async def _edit_without_what_is_refused(self, config: RetailCrmConfig, module: Module) -> Reply:
        try:
            return await self._edit(config, module)
        except PermanentDeliveryError as error:
            lesser = module_of.without_actions(module, str(error))
            if lesser is None:
                raise
            return await self._edit(config, lesser)

    async def _has_arrived(self, config: RetailCrmConfig, module: Module) -> bool:
        try:
            theirs = await self._module(config)
        except DeliveryError:
            return False
        return theirs is not None and theirs.get("clientId") == module["clientId"]

    async def deactivate(self, config: RetailCrmConfig) -> Answer:
        request: dict[str, object] = {"code": module_of.CODE, "active": False}
        return await _answered("delete_module", request, self._deactivate(config))

    async def _deactivate(self, config: RetailCrmConfig) -> Reply:
        async with self._only_edit(config):
            theirs = await self._module(config)
            if theirs is None:
                return Reply(started_at=clock.now(), status=404)
            return await self._edit(config, module_of.switched_off(theirs, self._public_url))

    async def push_extensions(self, config: RetailCrmConfig, extensions: Mapping[str, str | None]) -> Answer:
        request: dict[str, object] = {"code": module_of.CODE, "extensions": dict(extensions)}
        return await _answered("save_extensions", request, self._push(config, extensions))

    async def _push(self, config: RetailCrmConfig, extensions: Mapping[str, str | None]) -> Reply:
        async with self._only_edit(config):
            theirs = await self._module(config)
            if theirs is None:
                raise PermanentDeliveryError(Reason.TELEPHONY_OFF, "the module is not registered")
            return await self._edit(config, module_of.with_extensions(theirs, extensions, self._public_url))

    async def employees(self, config: RetailCrmConfig) -> list[Employee]:
        return await managers.read_employees(self._client, config)

    async def extensions(self, config: RetailCrmConfig) -> dict[str, str]:
        return read_codes(await self._module(config) or {})

    async def show_test(self, config: RetailCrmConfig, extension: str, call: str) -> Answer:
        return await self._event(config, {"type": "in"} | _test_call(extension, call))

    async def close_test(self, config: RetailCrmConfig, extension: str, call: str) -> Answer:
        return await self._event(
            config, {"type": "hangup", "hangupStatus": "no answered", **_test_call(extension, call)}
        )

    async def _event(self, config: RetailCrmConfig, event: Mapping[str, object]) -> Answer:
        return await _answered(f"call_event:{event['type']}", event, self._send_event(config, event))

    async def _send_event(self, config: RetailCrmConfig, event: Mapping[str, object]) -> Reply:
        if config.problem:
            raise PermanentDeliveryError(Reason.NOT_CONFIGURED, config.problem)
        reply = await self._plain.call_event(config, event)
        answer = reply.answer if isinstance(reply.answer, Mapping) else {}
        if reply.error is None and answer.get("notExistCodes"):
            message = "the CRM does not know this extension"
            reply.error = PermanentDeliveryError(Reason.NO_MAPPING, message, status=reply.status, answer=answer)
        return reply

    def explain(self, error: DeliveryError) -> Explanation:
        return words.explain(error)

    async def _module(self, config: RetailCrmConfig) -> Module | None:
        """Return our module as the CRM has it, None when it has none."""
        try:
            heard = await self._client.get(config, MODULE_PATH)
        except PermanentDeliveryError as error:
            if error.status == 404:
                return None
            raise
        module = heard.answer.get("integrationModule")
        return module if isinstance(module, Mapping) else None

    async def _sites(self, config: RetailCrmConfig) -> list[str]:
        try:
            sites = (await self._client.get(config, "/api/credentials")).answer.get("sitesAvailable")
        except DeliveryError:
            return []
        return [site for site in sites if isinstance(site, str)] if isinstance(sites, list) else []

    async def _edit(self, config: RetailCrmConfig, module: Module) -> Reply:
        return (await self._client.post(config, EDIT_PATH, FIELD, module)).reply


def _test_call(extension: str, call: str) -> dict[str, object]:
    return {"phone": TEST_PHONE, "codes": [extension], "callExternalId": call}


async def _answered(event_type: str, request: Mapping[str, object], work: Awaitable[Reply]) -> Answer:
    """Do some work and say what came of it; a failure of the CRM is part of the answer."""
    started_at, began = clock.now(), time.perf_counter()
    try:
        reply = await work
    except DeliveryError as error:
        reply = Reply(started_at=started_at, status=error.status, answer=error.answer, error=error)
    return Answer(
        event_type=event_type,
        request=request,
        response=reply.answer,
        http_status=reply.status,
        error=reply.error,
        started_at=started_at,
        elapsed_ms=round((time.perf_counter() - began) * 1000, 2),
    )
