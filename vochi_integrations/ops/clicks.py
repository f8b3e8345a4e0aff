"""What became of a click on a number in the CRM, in words, with what to press. Pure."""

from collections.abc import Mapping
from typing import Any

from vochi_integrations.messages import deferred
from vochi_integrations.ops.verdicts import Action, Part, Say, Tone, Verdict

CLICKS: Mapping[str, str] = {
    "asked": deferred("команда отправляется на АТС"),
    "taken": deferred("АТС приняла команду"),
    "ringing": deferred("звонит телефон сотрудника"),
    "lifted": deferred("сотрудник снял трубку"),
    "dialled": deferred("набирается номер клиента"),
    "talking": deferred("идёт разговор"),
    "answered": deferred("клиент ответил"),
    "no_answer": deferred("клиент не ответил"),
    "not_lifted": deferred("сотрудник не снял трубку"),
    "failed": deferred("звонок не начался"),
}
REFUSALS: Mapping[str, str] = {
    "no_address": deferred("не указан адрес АТС"),
    "pbx_login": deferred("АТС не пускает службу"),
    "pbx_unreachable": deferred("АТС недоступна"),
    "pbx_timeout": deferred("АТС не ответила вовремя"),
    "pbx_refused": deferred("АТС отклонила команду"),
    "no_such_extension": deferred("на АТС нет такого добавочного"),
    "no_such_channel": deferred("на АТС этот звонок уже закончился"),
    "bad_part": deferred("номер записан с ошибкой"),
    "pbx_paused": deferred("АТС только что не отвечала, попытки приостановлены"),
    "not_registered": deferred("телефон сотрудника не зарегистрирован на АТС"),
    "busy": deferred("телефон сотрудника занят"),
    "declined": deferred("телефон сотрудника не принял звонок"),
    "customer_not_dialled": deferred("сотрудник положил трубку раньше, чем АТС набрала клиента"),
    "not_confirmed": deferred("АТС не подтвердила, что звонок начался"),
}
"""Why a PBX did not do what it was told, by the reasons of PbxError and of `pbx.diagnosis`."""

OF_PBX = frozenset({
    "no_address", "pbx_login", "pbx_unreachable", "pbx_timeout", "pbx_refused", "pbx_paused", "not_confirmed",
})  # fmt: skip
OF_EXTENSION = frozenset({"no_such_extension", "bad_part", "not_registered"})
CHECK_PBX = deferred("Проверить связь с АТС")
CHECK_EXTENSION = deferred("Проверить добавочный")


def judge_click(row: Mapping[str, Any], say: Say = str) -> Verdict:
    """Say what became of a click that is no call; what the manager did himself needs nothing pressed."""
    why = why_no_click(row["reason"], say) if row["state"] == "failed" else ""
    text = say("Звонок по клику не начался: {what}.") if why else say("Звонок по клику: {what}.")
    return Verdict((Part(tone_of(row), text.format(what=why or outcome(row, say)), _actions(row, say)),))


def outcome(row: Mapping[str, Any], say: Say = str) -> str:
    """Say in words how far a click got, and why no further."""
    said = say(CLICKS.get(row["state"], row["state"]))
    why = why_no_click(row["reason"], say) if row["state"] == "failed" else ""
    return f"{said}: {why}" if why else said


def tone_of(row: Mapping[str, Any]) -> Tone:
    if row["state"] in ("failed", "not_lifted"):
        return "bad"
    return "good" if row["state"] in ("answered", "no_answer") else "wait"


def why_no_click(reason: str | None, say: Say = str) -> str:
    """Say in words why the PBX did not do as it was told."""
    known = REFUSALS.get(reason or "")
    return say(known) if known else reason or ""


def _actions(row: Mapping[str, Any], say: Say) -> tuple[Action, ...]:
    reason = row["reason"] if row["state"] == "failed" else None
    if reason in OF_PBX:
        return (Action(say(CHECK_PBX), "diagnostics"),)
    if reason in OF_EXTENSION:
        return (Action(say(CHECK_EXTENSION), "managers", (row["code"],)),)
    return ()
