"""All that happened in a call, moment by moment: the PBX's events, our decisions, the CRM's answers. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import orjson
from msgspec import Struct

from vochi_integrations.domain import CallEvent, Directory, Reason
from vochi_integrations.events import unique_id_time
from vochi_integrations.messages import deferred
from vochi_integrations.ops.clicks import outcome, tone_of, why_no_click
from vochi_integrations.ops.redirects import SOURCES
from vochi_integrations.ops.summary import ANSWERED, read_row
from vochi_integrations.ops.trace import TracedCall
from vochi_integrations.ops.verdicts import CALM, FAILED, UNDER_WAY, Say, Tone, codes_of, is_calm, told, why

Source = Literal["pbx", "us", "crm"]
SHOWN_CHARACTERS = 20_000
LATEST_SECONDS = 3_600.0

KINDS: Mapping[str, str] = {
    "popup": deferred("Карточка"),
    "popup_over": deferred("Закрытие карточки"),
    "record": deferred("Запись звонка"),
}
STATUSES: Mapping[str, str] = {
    "pending": deferred("ждёт очереди"),
    "sending": deferred("отправляется"),
    "done": deferred("принято CRM"),
    "skipped": deferred("не отправлено"),
    "expired": deferred("не отправлено: поздно"),
    "failed": deferred("не доставлено"),
}
REQUESTS: Mapping[str, str] = {
    "call_event:in": deferred("Запрос: показать карточку входящего"),
    "call_event:out": deferred("Запрос: показать карточку исходящего"),
    "call_event:hangup": deferred("Запрос: закрыть карточку"),
    "calls_upload": deferred("Запрос: записать звонок в историю"),
}
CLICK_LOG = "make_call:outcome"
TECHNICAL = frozenset({"bridge_create", "bridge_destroy", "new_callerid"})


class Entry(Struct, frozen=True, kw_only=True):
    """A line of the timeline. `at` is UTC epoch seconds of our clock, `ms` how long it took.

    `reason` is the code of a decision, `data` what can be unfolded: name and JSON. A `minor` line is folded away.
    `delivery` is the id of a delivery that can be sent again, 0 when there is none.
    """

    at: float
    source: Source
    title: str
    detail: str = ""
    tone: Tone = "calm"
    ms: float | None = None
    reason: str = ""
    data: tuple[tuple[str, str], ...] = ()
    minor: bool = False
    delivery: int = 0


def timeline(call: TracedCall, directory: Directory, say: Say = str, *, skew: float = 0.0) -> list[Entry]:
    """Return what happened, the earliest first; the PBX's own times are corrected by `skew` seconds."""
    entries = [
        *_channel(call.call, call.events, skew, say),
        *(_event(call.call, row, directory, skew, say) for row in call.events),
        *(_delivery(row, say) for row in call.deliveries),
        *(_logged(row, say) for row in call.attempts if row["event_type"] != CLICK_LOG),
        *(_click(row, say) for row in _clicks(call)),
    ]
    return sorted(entries, key=lambda entry: entry.at)


def _clicks(call: TracedCall) -> Iterable[Mapping[str, Any]]:
    """The clicks a call came of; one that was made while PostgreSQL was away has only its line in the log."""
    return call.clicks or (_click_of_log(row) for row in call.attempts if row["event_type"] == CLICK_LOG)


def _click_of_log(row: Mapping[str, Any]) -> Mapping[str, Any]:
    asked, came = (value if isinstance(value, dict) else {} for value in (row["request_data"], row["response_data"]))
    return {
        "clicked_at": row["began_at"],
        "code": asked.get("code", ""),
        "phone": asked.get("phone", ""),
        "state": came.get("state", ""),
        "reason": came.get("reason"),
        "pbx_ms": came.get("pbx_ms"),
    }


def _click(row: Mapping[str, Any], say: Say) -> Entry:
    """What came of a click on a number in the CRM; its milliseconds are until the PBX took the command."""
    return Entry(
        at=row["clicked_at"],
        source="pbx",
        title=say("Звонок по клику в CRM: {code} → {phone}").format(code=row["code"], phone=row["phone"]),
        detail=outcome(row, say),
        tone=tone_of(row),
        ms=row["pbx_ms"],
        reason=(row["reason"] or "") if row["state"] == "failed" else "",
    )


def _channel(call: str, rows: Sequence[Mapping[str, Any]], skew: float, say: Say) -> Iterator[Entry]:
    """The beginning by the PBX's clock, when it is before the first event: what was on its way until then."""
    began = unique_id_time(call)
    if began is None or not rows or began + skew > rows[0]["received_at"]:
        return
    late = rows[0]["received_at"] - began - skew
    detail = say("время АТС из UniqueId; первое событие пришло через {seconds} с").format(seconds=f"{late:.1f}")
    yield Entry(at=began + skew, source="pbx", title=say("Звонок начался на АТС"), detail=detail)


def _event(call: str, row: Mapping[str, Any], directory: Directory, skew: float, say: Say) -> Entry:
    event = read_row(row, directory) if row["event_type"] != "timeout" else None
    reason = row["reason"] or ""
    decided = reason and reason != Reason.INFORMATIONAL
    told = [
        _leg(call, row, say),
        _late(event, skew, say) if event is not None and event.kind == "hangup" else "",
        say("повторов: {count}").format(count=row["repeats"]) if row["repeats"] else "",
        say("решение: {why}").format(why=why(row, say)) if decided else "",
    ]
    return Entry(
        at=row["received_at"],
        source="pbx",
        title=_title(event, say) if event is not None else say("Больше событий не было: звонок закрыт по времени"),
        detail=", ".join(text for text in told if text),
        tone="calm" if not decided or reason in CALM else "bad",
        reason=reason if decided else "",
        data=((row["event_type"], _json(row["raw_data"])),),
        minor=row["event_type"] in TECHNICAL,
    )


def _title(event: CallEvent, say: Say) -> str:
    phone = event.phone.digits or say("номер неизвестен")
    names = ", ".join(number.extension or number.digits for number in event.extensions) or say("никто")
    caller, connected = (number.extension or number.digits for number in (event.caller, event.connected))
    titles: Mapping[str, str] = {
        "start": say("Входящий звонок: {phone}, линия {line}"),
        "dial": say("{names} звонит: {phone}") if event.call_type == 1 else say("Вызываются {names}, звонит {phone}"),
        "bridge": say("В разговоре {caller}") if not connected else say("Разговор: {caller} и {connected}"),
        "bridge_leave": say("{caller} вышел из разговора"),
        "hangup": say("Звонок завершён, был разговор: {names}")
        if event.call_status == ANSWERED
        else say("Звонок завершён, разговора не было"),
    }
    return titles.get(event.kind, event.kind).format(
        phone=phone, line=event.trunk or "—", names=names, caller=caller or say("номер неизвестен"), connected=connected
    )


def _leg(call: str, row: Mapping[str, Any], say: Say) -> str:
    """Name the channel of an event that is not the call's own."""
    return "" if row["unique_id"] == call else say("канал {channel}").format(channel=row["unique_id"])


def _late(event: CallEvent, skew: float, say: Say) -> str:
    """Say when it was over by the PBX's clock, and how long the news was on its way."""
    if event.ended_at is None:
        return ""
    late = event.received_at - event.ended_at - skew
    return say("событие шло {seconds} с").format(seconds=f"{late:.0f}") if 1 <= late <= LATEST_SECONDS else ""


def _delivery(row: Mapping[str, Any], say: Say) -> Entry:
    codes = ", ".join(codes_of(row))
    kind, status = KINDS[row["kind"]], STATUSES[row["status"]]
    failed = row["status"] in FAILED
    told = [
        why(row, say) if row["reason"] and (failed or row["status"] in UNDER_WAY) else "",
        say("попыток: {count}").format(count=row["attempts"]) if row["attempts"] > 1 else "",
        say("отправлено снова вручную") if row["replays"] else "",
    ]
    return Entry(
        at=row["finished_at"] or row["first_attempt_at"] or row["event_at"],
        source="us",
        title=f"{say(kind)} {codes}".rstrip() + f": {say(status)}",
        detail=", ".join(text for text in told if text),
        tone=_tone(row),
        ms=_milliseconds(row),
        reason=(row["reason"] or "") if failed else "",
        data=((say("что отправляется"), _json(row["payload"])),) if row["payload"] else (),
        delivery=row["id"] if row["status"] == "failed" and row["class"] == "history" and row["payload"] else 0,
    )


def _tone(row: Mapping[str, Any]) -> Tone:
    if row["status"] in UNDER_WAY:
        return "wait"
    return "good" if row["status"] == "done" else "calm" if is_calm(row) else "bad"


def _milliseconds(row: Mapping[str, Any]) -> float | None:
    """Milliseconds from the event's arrival to the CRM's yes."""
    if row["status"] != "done" or row["finished_at"] is None or row["replays"]:
        return None
    return max(0.0, float(row["finished_at"] - row["event_at"]) * 1000)


def _logged(row: Mapping[str, Any], say: Say) -> Entry:
    """A line of the log: a decision of ours, a command to the PBX, or a request to a CRM."""
    lines = {"smart_redirect": _decision, "channel_redirect": _moved}
    return lines.get(row["event_type"], _attempt)(row, say)


def _decision(row: Mapping[str, Any], say: Say) -> Entry:
    """Who was to get the call, and where that was known from."""
    answer = row["response_data"] if isinstance(row["response_data"], dict) else {}
    source, extension, name = (str(answer.get(key) or "") for key in ("source", "extension", "name"))
    to = (
        say("добавочный {extension}").format(extension=extension) if extension else say("как обычно, по настройкам АТС")
    )
    told = [
        say(SOURCES[source]) if source in SOURCES else source,
        say("уже было известно") if answer.get("cached") else "",
        say("АТС покажет имя: {name}").format(name=name) if name else "",
    ]
    return Entry(
        at=row["began_at"],
        source="us",
        title=say("Умная переадресация: {to}").format(to=to.format(extension=extension)),
        detail=", ".join(text for text in told if text),
        tone="bad" if row["status"] == "error" else "good" if extension else "calm",
        ms=row["elapsed_ms"],
        reason=source,
        data=_exchanged(row, say),
    )


def _moved(row: Mapping[str, Any], say: Say) -> Entry:
    """What came of the command that sends a caller to an extension."""
    succeeded = row["status"] == "success"
    asked, came = (value if isinstance(value, dict) else {} for value in (row["request_data"], row["response_data"]))
    title = say("Звонок переведён на {extension}") if succeeded else say("АТС не перевела звонок на {extension}")
    reason = str(came.get("reason") or "")
    return Entry(
        at=row["began_at"],
        source="pbx",
        title=title.format(extension=asked.get("extension") or "—"),
        detail=why_no_click(reason, say) or row["error_message"] or "",
        tone="good" if succeeded else "bad",
        ms=row["elapsed_ms"],
        reason=reason,
        data=_exchanged(row, say),
    )


def _attempt(row: Mapping[str, Any], say: Say) -> Entry:
    answered = say("ответ {status}").format(status=row["http_status"]) if row["http_status"] else ""
    name = REQUESTS.get(row["event_type"])
    return Entry(
        at=row["began_at"],
        source="crm",
        title=say(name) if name else row["event_type"],
        detail=", ".join(text for text in (answered, told(row["error_message"], say)) if text),
        tone="good" if row["status"] == "success" else "bad",
        ms=row["elapsed_ms"],
        data=_exchanged(row, say),
    )


def _exchanged(row: Mapping[str, Any], say: Say) -> tuple[tuple[str, str], ...]:
    """What was asked and answered, to be unfolded."""
    asked = (say("запрос"), _json(row["request_data"]))
    return (asked,) if row["response_data"] is None else (asked, (say("ответ"), _json(row["response_data"])))


def _json(value: object) -> str:
    if isinstance(value, str):
        return value[:SHOWN_CHARACTERS]
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()[:SHOWN_CHARACTERS]
