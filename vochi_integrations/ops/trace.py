"""The trace of a call: what the PBX said, what the CRM was told, and the verdict in one sentence."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from vochi_integrations.db import Database, Row
from vochi_integrations.domain import Reason

CALLS = 20
WHY = {
    Reason.NO_MAPPING: "добавочному не назначен сотрудник CRM",
    Reason.INTERNAL_CALL: "это внутренний звонок",
    Reason.NO_CUSTOMER: "в звонке нет номера клиента",
    Reason.FORWARDING_LEG: "это переадресация другого звонка",
    Reason.INTEGRATION_OFF: "интеграция выключена",
    Reason.NOT_CONFIGURED: "подключение к CRM не настроено",
    Reason.ENTERPRISE_INACTIVE: "предприятие отключено",
    Reason.DUPLICATE: "это повтор уже принятого события",
    Reason.ANSWERED_ELSEWHERE: "на звонок ответил другой сотрудник",
    Reason.CALL_OVER: "звонок уже закончился",
    Reason.EXPIRED: "время истекло",
    Reason.BREAKER_OPEN: "CRM не отвечала, попытки приостановлены",
    Reason.CRM_REJECTED: "CRM отклонила запрос",
    Reason.CRM_UNREACHABLE: "CRM не ответила",
    Reason.BAD_KEY: "CRM не принимает ключ API: проверьте ключ и его права",
    Reason.NO_ACCOUNT: "по этому адресу нет аккаунта CRM: проверьте адрес домена",
    Reason.TELEPHONY_OFF: "телефония в CRM выключена: зарегистрируйте модуль заново",
    Reason.CRASHED: "ошибка службы, она записана в журнал",
    Reason.OVERLOADED: "звонков больше, чем CRM успевает принять",
    Reason.RECOVERED_CALL: "звонок восстановлен позже",
    Reason.ALREADY_SHOWN: "карточка уже показана",
    Reason.NO_EXTENSION: "внутренние номера не вызывались",
    Reason.NO_POPUP: "карточка не показывалась",
    Reason.INTERRUPTED: "служба была прервана во время отправки",
    Reason.EVENT_OFF: "отправка этих событий выключена в настройках",
    Reason.PRIVATE_ADDRESS: "адрес домена ведёт во внутреннюю сеть: исправьте его",
    Reason.INFORMATIONAL: "событие только для сведения",
}


async def trace(database: Database, number: str, query: str) -> dict[str, Any]:
    """Return the latest calls that `query` finds: by UniqueId, phone or extension, or any for ""."""
    text = query.replace("\x00", "").strip()
    digits = "".join(char for char in text if char.isascii() and char.isdigit()) if "." not in text else ""
    found = [row["call_unique_id"] for row in await database.fetch("find_calls", number, text, digits, CALLS)]
    events = _grouped(await database.fetch("events_of_calls", number, found), "call_unique_id")
    deliveries = _grouped(await database.fetch("deliveries_of_calls", number, found), "call_external_id")
    return {
        "calls": [
            {
                "unique_id": call,
                "verdict": verdict(events[call], deliveries[call]),
                "events": events[call],
                "deliveries": deliveries[call],
            }
            for call in found
        ]
    }


def _grouped(rows: Iterable[Row], key: str) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        grouped[row[key]].append({name: value for name, value in row.items() if name != key})
    return grouped


def verdict(events: Iterable[Mapping[str, Any]], deliveries: Iterable[Mapping[str, Any]]) -> str:
    """Say in one sentence whether the card was shown and the record written, and why not."""
    rows = list(deliveries)
    if not rows:
        reasons = [event["reason"] for event in events if event["reason"] not in (None, Reason.INFORMATIONAL)]
        return f"В CRM ничего не отправлено: {_why(reasons[-1])}." if reasons else "Звонок начался."
    parts = [_part(rows, "popup", "Карточка показана", "Карточка не показана")]
    parts.append(_part(rows, "record", "Звонок записан в историю", "Звонок не записан в историю"))
    return " ".join(part for part in parts if part) or "Звонок идёт."


def _part(rows: Iterable[Mapping[str, Any]], kind: str, done: str, failed: str) -> str:
    chosen = [row for row in rows if row["kind"] == kind]
    if any(row["status"] == "done" for row in chosen):
        return f"{done}."
    if any(row["status"] in ("pending", "sending") for row in chosen):
        return f"{failed} пока."
    return f"{failed}: {_why(chosen[-1]['reason'])}." if chosen else ""


def _why(reason: str) -> str:
    return WHY.get(Reason(reason), reason) if reason in set(Reason) else reason
