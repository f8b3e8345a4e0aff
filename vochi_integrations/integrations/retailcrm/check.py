"""«Проверить подключение»: what a connection needs, looked at one by one (facts: retailcrm_api §1, §5)."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from vochi_integrations.domain import Reason
from vochi_integrations.errors import DeliveryError
from vochi_integrations.integrations.base import Checkup, Said, Step
from vochi_integrations.integrations.retailcrm.config import RetailCrmConfig
from vochi_integrations.integrations.retailcrm.extensions import read_codes, telephony_of
from vochi_integrations.integrations.retailcrm.paced import PacedClient
from vochi_integrations.integrations.retailcrm.registration import MODULE_PATH
from vochi_integrations.integrations.retailcrm.words import SCOPES_ADVICE, explain
from vochi_integrations.messages import deferred as _

NEEDED_SCOPES = ("integration_read", "integration_write", "telephony_read", "telephony_write", "user_read")
TITLES = {
    "address": _("Адрес RetailCRM"),
    "key": _("Ключ API"),
    "scopes": _("Права ключа"),
    "module": _("Модуль телефонии"),
    "account": _("Аккаунт"),
}
AT_THE_DOOR = (Reason.CRM_UNREACHABLE, Reason.NO_ACCOUNT, Reason.NOT_CONFIGURED, Reason.PRIVATE_ADDRESS)
NOT_LOOKED_AT = _("Не проверено из-за ошибки выше.")
NOT_TOLD = _("RetailCRM об этом не сообщает.")
REGISTER = _("Нажмите «Сохранить и зарегистрировать».")


async def check(client: PacedClient, config: RetailCrmConfig, public_url: str) -> Checkup:
    """Look at everything; a problem leaves what depends on it `unknown`. Never raises for the CRM."""
    try:
        scopes = (await client.get(config, "/api/credentials")).answer.get("scopes")
    except DeliveryError as error:
        return Checkup(steps=_not_let_in(error))
    known = {str(scope) for scope in scopes} if isinstance(scopes, list) else None
    module = await _module(client, config, known, public_url)
    account = await _account(client, config)
    named = _ok("account", "{account}", account=account) if account else _unknown("account", NOT_TOLD)
    steps = [
        _ok("address", _("Отвечает {host}."), host=urlsplit(config.url).netloc),
        _ok("key", _("RetailCRM принимает ключ.")),
        _scopes(known),
        module,
        named,
    ]
    return Checkup(steps=steps, account=account)


def _not_let_in(error: DeliveryError) -> list[Step]:
    """Say whether it is the address or the key, and that the rest is unknown."""
    at_the_door = error.reason in AT_THE_DOOR
    failed = "address" if at_the_door or error.status == 404 else "key"
    first = [] if failed == "address" else [_ok("address", _("RetailCRM отвечает."))]
    steps = [*first, _failed(failed, error)]
    return [*steps, *(_unknown(name, NOT_LOOKED_AT) for name in list(TITLES)[len(steps) :])]


def _scopes(known: set[str] | None) -> Step:
    if known is None:
        return _unknown("scopes", NOT_TOLD)
    missing = [scope for scope in NEEDED_SCOPES if scope not in known]
    if missing:
        return _problem("scopes", _("Не хватает прав: {missing}."), SCOPES_ADVICE, missing=", ".join(missing))
    return _ok("scopes", _("Все нужные права есть."))


async def _module(client: PacedClient, config: RetailCrmConfig, scopes: set[str] | None, public_url: str) -> Step:
    if scopes is not None and "integration_read" not in scopes:
        return _unknown("module", NOT_LOOKED_AT)
    try:
        module = (await client.get(config, MODULE_PATH)).answer.get("integrationModule")
    except DeliveryError as error:
        if error.status == 404:
            return _with_advice(_ok("module", _("Ещё не зарегистрирован.")), REGISTER)
        return _failed("module", error)
    return _state(module if isinstance(module, Mapping) else {}, public_url)


def _state(module: Mapping[str, Any], public_url: str) -> Step:
    """Judge a registered module. One that calls another address is a registration of an older service."""
    address = telephony_of(module).get("makeCallUrl")
    if module.get("freeze") is True:
        advice = _("Разморозьте модуль в RetailCRM: обычно он заморожен из-за оплаты.")
        return _problem("module", _("RetailCRM заморозила модуль."), advice)
    if module.get("active") is not True:
        return _with_advice(_ok("module", _("Зарегистрирован, но выключен.")), REGISTER)
    if address != f"{public_url}/retailcrm/make-call":
        return _with_advice(
            _ok("module", _("Зарегистрирован с другим адресом: звонки по клику идут мимо нас.")), REGISTER
        )
    return _ok("module", _("Зарегистрирован и включён, добавочных номеров: {count}."), count=len(read_codes(module)))


async def _account(client: PacedClient, config: RetailCrmConfig) -> str:
    """Return the host the account calls itself by, "" when it does not say."""
    try:
        url = (await client.get(config, "/api/system-info")).answer.get("publicUrl")
    except DeliveryError:
        return ""
    return urlsplit(url).netloc if isinstance(url, str) else ""


def _ok(name: str, text: str, **values: object) -> Step:
    return Step(name=name, title=Said(TITLES[name]), status="ok", message=Said(text, values))


def _unknown(name: str, text: str) -> Step:
    return Step(name=name, title=Said(TITLES[name]), status="unknown", message=Said(text))


def _problem(name: str, text: str, advice: str, **values: object) -> Step:
    message = Said(text, values)
    return Step(name=name, title=Said(TITLES[name]), status="problem", message=message, advice=Said(advice))


def _failed(name: str, error: DeliveryError) -> Step:
    said = explain(error)
    return Step(name=name, title=Said(TITLES[name]), status="problem", message=said.what, advice=said.advice)


def _with_advice(step: Step, advice: str) -> Step:
    return Step(name=step.name, title=step.title, status=step.status, message=step.message, advice=Said(advice))
