"""A tenant's RetailCRM account in more detail than its check: the module, the codes, a test event."""

import time
from collections.abc import Collection, Mapping

from vochi_integrations.errors import DeliveryError
from vochi_integrations.integrations.base import Administration, Said, Step
from vochi_integrations.integrations.findings import Finding, Verdict
from vochi_integrations.integrations.retailcrm.client import Reply, RetailCrmClient
from vochi_integrations.integrations.retailcrm.config import RetailCrmConfig
from vochi_integrations.integrations.retailcrm.extensions import read_codes, telephony_of
from vochi_integrations.integrations.retailcrm.registration import MODULE_PATH
from vochi_integrations.integrations.retailcrm.words import explain
from vochi_integrations.messages import deferred, say

MAKE_CALL = "/retailcrm/make-call"
NOBODY = "+375000000000"
REGISTER = deferred("Нажмите «Сохранить и зарегистрировать».")
VERDICTS: Mapping[str, Verdict] = {"ok": "ok", "problem": "bad", "unknown": "skipped"}
LATER = (
    ("crm_module", deferred("Модуль телефонии в CRM")),
    ("crm_make_call", deferred("Звонок по клику")),
    ("crm_client_id", deferred("Пароль CRM для звонка по клику")),
    ("crm_codes", deferred("Добавочные в CRM")),
    ("crm_event", deferred("Тестовое событие")),
)


async def examine(
    administration: Administration, client: RetailCrmClient, config: RetailCrmConfig, public_url: str
) -> list[Finding]:
    """Make the check of the connection, then look closer; what cannot be known without the key is skipped."""
    checkup = await administration.check(config)
    found = [_of_step(step) for step in checkup.steps if step.name != "module"]
    if any(finding.verdict == "bad" for finding in found if finding.check != "crm_scopes"):
        return [*found, *(_skipped(check, title) for check, title in LATER)]
    module = await client.get(config, MODULE_PATH, {})
    found += _of_module(module, config, public_url)
    found.append(await _of_test_event(client, config))
    return found


def _of_step(step: Step) -> Finding:
    fix = _words(step.advice) if step.advice else ""
    return _finding(f"crm_{step.name}", _words(step.title), VERDICTS[step.status], _words(step.message), fix)


def _words(said: Said) -> str:
    return say(said.text).format_map(said.values)


def _skipped(check: str, title: str) -> Finding:
    return Finding(
        check=check, title=say(title), verdict="skipped", said=say("не проверялось: CRM не отвечает на ключ")
    )


def _of_module(reply: Reply, config: RetailCrmConfig, public_url: str) -> list[Finding]:
    title = say("Модуль телефонии в CRM")
    module = reply.answer.get("integrationModule") if isinstance(reply.answer, Mapping) else None
    if reply.status == 404 or (reply.error is None and not isinstance(module, Mapping)):
        return [_finding("crm_module", title, "bad", say("не зарегистрирован"), say(REGISTER))]
    if reply.error is not None or not isinstance(module, Mapping):
        return [_failed("crm_module", title, reply.error)]
    telephony = telephony_of(module)
    active = module.get("active") is True and module.get("freeze") is not True
    return [
        _finding("crm_module", title, "ok", say("включён")) if active
        else _finding("crm_module", title, "bad", say("выключен или заморожен"), say(REGISTER)),
        _of_make_call(telephony.get("makeCallUrl"), public_url),
        _of_client_id(module.get("clientId"), config),
        _of_codes(read_codes(module), config.users),
    ]  # fmt: skip


def _of_make_call(url: object, public_url: str) -> Finding:
    title, ours = say("Звонок по клику"), public_url + MAKE_CALL
    if not url:
        return _finding("crm_make_call", title, "bad", say("в CRM не задан адрес звонка"), say(REGISTER))
    if url != ours:
        return _finding("crm_make_call", title, "bad", say("CRM звонит не через эту службу"), f"{say(REGISTER)} {ours}")
    return _finding("crm_make_call", title, "ok", say("CRM звонит через эту службу"))


def _of_client_id(given: object, config: RetailCrmConfig) -> Finding:
    """The CRM proves itself by the client id of the registration (design decision 8)."""
    title, ours = say("Пароль CRM для звонка по клику"), config.client_id.reveal()
    if not ours:
        said = say("вместо него служит номер предприятия: его легко угадать")
        return _finding("crm_client_id", title, "warning", said, say(REGISTER))
    if given != ours:
        return _finding("crm_client_id", title, "bad", say("в CRM не тот, что здесь"), say(REGISTER))
    return _finding("crm_client_id", title, "ok", say("совпадает"))


def _of_codes(codes: Mapping[str, str], users: Mapping[str, str]) -> Finding:
    """Compare who has which extension there and here; `codes` are by user, as the CRM has them."""
    title, theirs = say("Добавочные в CRM"), {code: user for user, code in codes.items()}
    differing = sorted(code for code in theirs.keys() | users.keys() if theirs.get(code) != users.get(code))
    if differing and users:
        said = say("в CRM и здесь назначены по-разному: {listed}").format(listed=_listed(differing))
        return _finding(
            "crm_codes", title, "warning", said, say("Откройте «Сотрудники» и нажмите «Отправить номера в CRM».")
        )
    return _finding("crm_codes", title, "ok", say("назначены: {count}").format(count=len(theirs)))


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
        return _failed("crm_event", say("Тестовое событие"), reply.error)
    unknown = reply.answer.get("notExistCodes") if isinstance(reply.answer, Mapping) else None
    if unknown and config.users:
        said = say("CRM не знает добавочного {listed}").format(listed=_listed([str(code) for code in unknown]))
        return _finding(
            "crm_event", say("Тестовое событие"), "bad", said, say("Откройте «Сотрудники» и синхронизируйте.")
        )
    return _finding(
        "crm_event",
        say("Тестовое событие"),
        "ok",
        say("принято за {milliseconds} мс").format(milliseconds=round(reply.elapsed_ms)),
    )


def _failed(check: str, title: str, error: DeliveryError | None) -> Finding:
    if error is None:
        return _finding(
            check, title, "bad", say("CRM ответила непонятно"), say("Повторите позже; ответ CRM — в журнале.")
        )
    said = explain(error)
    return _finding(check, title, "bad", _words(said.what), _words(said.advice))


def _finding(check: str, title: str, verdict: Verdict, said: str, fix: str = "") -> Finding:
    return Finding(check=check, title=title, verdict=verdict, said=said, fix=fix)


def _listed(items: Collection[str], most: int = 10) -> str:
    shown = ", ".join(list(items)[:most])
    return f"{shown} " + say("и ещё {count}").format(count=len(items) - most) if len(items) > most else shown
