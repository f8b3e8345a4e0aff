"""What is right and wrong with a tenant's RetailCRM account: key, scopes, module, extensions, a test event."""

import time
from collections.abc import Collection, Mapping
from typing import Any

from vochi_integrations.domain import Reason
from vochi_integrations.errors import DeliveryError
from vochi_integrations.integrations.findings import Finding, Verdict
from vochi_integrations.integrations.retailcrm.client import Reply, RetailCrmClient
from vochi_integrations.integrations.retailcrm.config import RetailCrmConfig

MODULE = "vochi-telephony"
MAKE_CALL = "/retailcrm/make-call"
SCOPES = frozenset({"integration_read", "integration_write", "telephony_read", "telephony_write", "user_read"})
NOBODY = "+375000000000"
NEW_KEY = "Создайте в CRM ключ API с правами на телефонию, интеграции и пользователей и сохраните его здесь."
REGISTER = "Нажмите «Сохранить и зарегистрировать»."
FIXES = {
    Reason.BAD_KEY: NEW_KEY,
    Reason.NO_ACCOUNT: "Проверьте адрес CRM: по нему нет аккаунта.",
    Reason.TELEPHONY_OFF: REGISTER,
    Reason.CRM_UNREACHABLE: "Проверьте адрес CRM и доступ к ней с этого сервера; CRM может быть временно недоступна.",
}


async def examine(client: RetailCrmClient, config: RetailCrmConfig, public_url: str) -> list[Finding]:
    """Ask the account; what cannot be known without the key is skipped when the key is refused."""
    key = await client.get(config, "/api/credentials", {})
    found = [_of_key(key)]
    if key.error is not None:
        return [*found, *(_skipped(check, title) for check, title in LATER)]
    found.append(_of_scopes(key.answer))
    module = await client.get(config, f"/api/v5/integration-modules/{MODULE}", {})
    found += _of_module(module, config, public_url)
    found.append(await _of_test_event(client, config))
    return found


LATER = (
    ("crm_scopes", "Права ключа"),
    ("crm_module", "Модуль телефонии в CRM"),
    ("crm_make_call", "Звонок по клику"),
    ("crm_client_id", "Пароль CRM для звонка по клику"),
    ("crm_codes", "Добавочные в CRM"),
    ("crm_event", "Тестовое событие"),
)


def _skipped(check: str, title: str) -> Finding:
    return Finding(check=check, title=title, verdict="skipped", said="не проверялось: ключ не принят")


def _of_key(reply: Reply) -> Finding:
    if reply.error is not None:
        return _failed("crm_key", "Ключ API", reply.error)
    return _finding("crm_key", "Ключ API", "ok", f"принят за {reply.elapsed_ms:.0f} мс")


def _of_scopes(answer: object) -> Finding:
    given = answer.get("scopes") if isinstance(answer, Mapping) else None
    if not isinstance(given, list):
        return _finding("crm_scopes", "Права ключа", "warning", "CRM не сообщает прав ключа")
    missing = sorted(SCOPES - {str(scope) for scope in given})
    if missing:
        return _finding("crm_scopes", "Права ключа", "bad", f"не хватает: {', '.join(missing)}", NEW_KEY)
    return _finding("crm_scopes", "Права ключа", "ok", "достаточны")


def _of_module(reply: Reply, config: RetailCrmConfig, public_url: str) -> list[Finding]:
    title = "Модуль телефонии в CRM"
    module = reply.answer.get("integrationModule") if isinstance(reply.answer, Mapping) else None
    if reply.status == 404 or (reply.error is None and not isinstance(module, Mapping)):
        return [_finding("crm_module", title, "bad", "не зарегистрирован", REGISTER)]
    if reply.error is not None or not isinstance(module, Mapping):
        return [_failed("crm_module", title, reply.error)]
    telephony = _telephony(module)
    active = module.get("active") is True and module.get("freeze") is not True
    return [
        _finding("crm_module", title, "ok", "включён") if active
        else _finding("crm_module", title, "bad", "выключен или заморожен", REGISTER),
        _of_make_call(telephony.get("makeCallUrl"), public_url),
        _of_client_id(module.get("clientId"), config),
        _of_codes(telephony.get("additionalCodes"), config.users),
    ]  # fmt: skip


def _telephony(module: Mapping[str, Any]) -> Mapping[str, Any]:
    integrations = module.get("integrations")
    telephony = integrations.get("telephony") if isinstance(integrations, Mapping) else None
    return telephony if isinstance(telephony, Mapping) else {}


def _of_make_call(url: object, public_url: str) -> Finding:
    title, ours = "Звонок по клику", public_url + MAKE_CALL
    if not url:
        return _finding("crm_make_call", title, "bad", "в CRM не задан адрес звонка", REGISTER)
    if url != ours:
        return _finding("crm_make_call", title, "bad", "CRM звонит не через эту службу", f"{REGISTER} Адрес: {ours}")
    return _finding("crm_make_call", title, "ok", "CRM звонит через эту службу")


def _of_client_id(given: object, config: RetailCrmConfig) -> Finding:
    """The CRM proves itself by the client id of the registration (design decision 8)."""
    title, ours = "Пароль CRM для звонка по клику", config.client_id.reveal()
    if not ours:
        said = "вместо него служит номер предприятия: его легко угадать"
        return _finding("crm_client_id", title, "warning", said, REGISTER)
    if given != ours:
        return _finding("crm_client_id", title, "bad", "в CRM не тот, что здесь", REGISTER)
    return _finding("crm_client_id", title, "ok", "совпадает")


def _of_codes(codes: object, users: Mapping[str, str]) -> Finding:
    title = "Добавочные в CRM"
    rows = codes if isinstance(codes, list) else []
    theirs = {str(row.get("code")): str(row.get("userId")) for row in rows if isinstance(row, Mapping)}
    differing = sorted(code for code in theirs.keys() | users.keys() if theirs.get(code) != users.get(code))
    if differing and users:
        said = f"в CRM и здесь назначены по-разному: {_listed(differing)}"
        return _finding("crm_codes", title, "warning", said, "Откройте «Сотрудники» и нажмите «Синхронизировать».")
    return _finding("crm_codes", title, "ok", f"назначены: {len(theirs)}")


async def _of_test_event(client: RetailCrmClient, config: RetailCrmConfig) -> Finding:
    """Send the end of a call that never was: CRM and key do all they do for a real one, and no card appears."""
    event = {
        "phone": NOBODY,
        "type": "hangup",
        "hangupStatus": "cancel",
        "codes": sorted(config.users)[:1] or ["0"],
        "callExternalId": f"vochi-doctor-{time.time():.0f}",
    }
    reply = await client.call_event(config, event)
    if reply.error is not None:
        return _failed("crm_event", "Тестовое событие", reply.error)
    unknown = reply.answer.get("notExistCodes") if isinstance(reply.answer, Mapping) else None
    if unknown and config.users:
        said = f"CRM не знает добавочного {_listed([str(code) for code in unknown])}"
        return _finding("crm_event", "Тестовое событие", "bad", said, "Откройте «Сотрудники» и синхронизируйте.")
    return _finding("crm_event", "Тестовое событие", "ok", f"принято за {reply.elapsed_ms:.0f} мс")


def _failed(check: str, title: str, error: DeliveryError | None) -> Finding:
    if error is None:
        return _finding(check, title, "bad", "CRM ответила непонятно", FIXES[Reason.CRM_UNREACHABLE])
    fix = next((text for reason, text in FIXES.items() if reason == error.reason), "Посмотрите ответ CRM в журнале.")
    return _finding(check, title, "bad", str(error), fix)


def _finding(check: str, title: str, verdict: Verdict, said: str, fix: str = "") -> Finding:
    return Finding(check=check, title=title, verdict=verdict, said=said, fix=fix)


def _listed(items: Collection[str], most: int = 10) -> str:
    shown = ", ".join(list(items)[:most])
    return f"{shown} и ещё {len(items) - most}" if len(items) > most else shown
