"""What became of a call, in one sentence a person understands, with what to press. Pure.

Sentences are Russian; `say` turns each into the reader's language.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

from msgspec import Struct

from vochi_integrations.domain import Reason
from vochi_integrations.messages import deferred

Say = Callable[[str], str]
Rows = Iterable[Mapping[str, Any]]
Tone = Literal["good", "bad", "wait", "calm"]
Page = Literal["connection", "managers", "settings", "diagnostics", "replay"]
QUOTED = 160
FAILED = ("skipped", "expired", "failed")
UNDER_WAY = ("pending", "sending")


WHY: Mapping[str, str] = {
    Reason.NO_MAPPING: deferred("добавочному не назначен сотрудник CRM"),
    Reason.INTERNAL_CALL: deferred("это внутренний звонок"),
    Reason.NO_CUSTOMER: deferred("в звонке нет номера клиента"),
    Reason.FORWARDING_LEG: deferred("это переадресация другого звонка"),
    Reason.INTEGRATION_OFF: deferred("интеграция выключена"),
    Reason.NOT_CONFIGURED: deferred("подключение к CRM не настроено"),
    Reason.ENTERPRISE_INACTIVE: deferred("предприятие отключено, обратитесь к провайдеру телефонии"),
    Reason.DUPLICATE: deferred("это повтор уже принятого события"),
    Reason.ANSWERED_ELSEWHERE: deferred("на звонок ответил другой сотрудник"),
    Reason.CALL_OVER: deferred("звонок уже закончился"),
    Reason.EXPIRED: deferred("время истекло"),
    Reason.BREAKER_OPEN: deferred("CRM не отвечала, попытки приостановлены"),
    Reason.CRM_REJECTED: deferred("CRM отклонила запрос"),
    Reason.CRM_UNREACHABLE: deferred("CRM не ответила"),
    Reason.BAD_KEY: deferred("CRM не принимает ключ API: проверьте ключ и его права"),
    Reason.NO_ACCOUNT: deferred("по этому адресу нет аккаунта CRM: проверьте адрес домена"),
    Reason.TELEPHONY_OFF: deferred("телефония в CRM выключена: зарегистрируйте модуль заново"),
    Reason.CRASHED: deferred("ошибка службы, она записана в журнал"),
    Reason.OVERLOADED: deferred("звонков больше, чем CRM успевает принять"),
    Reason.RECOVERED_CALL: deferred("звонок восстановлен позже"),
    Reason.ALREADY_SHOWN: deferred("карточка уже показана"),
    Reason.NO_EXTENSION: deferred("внутренние номера не вызывались"),
    Reason.NO_POPUP: deferred("карточка не показывалась"),
    Reason.INTERRUPTED: deferred("служба была прервана во время отправки"),
    Reason.EVENT_OFF: deferred("отправка этих событий выключена в настройках"),
    Reason.PRIVATE_ADDRESS: deferred("адрес домена ведёт во внутреннюю сеть: исправьте его"),
    Reason.INFORMATIONAL: deferred("событие только для сведения"),
}

CALM = frozenset({
    Reason.INTERNAL_CALL, Reason.NO_CUSTOMER, Reason.FORWARDING_LEG, Reason.DUPLICATE, Reason.ANSWERED_ELSEWHERE,
    Reason.CALL_OVER, Reason.RECOVERED_CALL, Reason.ALREADY_SHOWN, Reason.NO_EXTENSION, Reason.NO_POPUP,
    Reason.INFORMATIONAL,
})  # fmt: skip
"""Reasons that are as it should be: nothing is to be done about them."""


LATE = frozenset({Reason.CALL_OVER, Reason.ANSWERED_ELSEWHERE, Reason.EXPIRED})
TOO_SLOW = deferred("CRM не успела ответить, пока телефон звонил")


class Action(Struct, frozen=True):
    """What to press, and the page where it is; `extensions` are those to be given to somebody."""

    label: str
    page: Page
    extensions: tuple[str, ...] = ()


ACTIONS: Mapping[Reason, Action] = {
    Reason.NO_MAPPING: Action(deferred("Назначить"), "managers"),
    Reason.INTEGRATION_OFF: Action(deferred("Включить"), "connection"),
    Reason.NOT_CONFIGURED: Action(deferred("Настроить"), "connection"),
    Reason.EXPIRED: Action(deferred("Проверить связь с CRM"), "diagnostics"),
    Reason.BREAKER_OPEN: Action(deferred("Проверить связь с CRM"), "diagnostics"),
    Reason.CRM_REJECTED: Action(deferred("Проверить настройки"), "diagnostics"),
    Reason.CRM_UNREACHABLE: Action(deferred("Проверить связь с CRM"), "diagnostics"),
    Reason.BAD_KEY: Action(deferred("Проверить ключ"), "connection"),
    Reason.NO_ACCOUNT: Action(deferred("Проверить адрес"), "connection"),
    Reason.TELEPHONY_OFF: Action(deferred("Зарегистрировать"), "connection"),
    Reason.CRASHED: Action(deferred("Отчёт для поддержки"), "diagnostics"),
    Reason.OVERLOADED: Action(deferred("Посмотреть нагрузку"), "diagnostics"),
    Reason.EVENT_OFF: Action(deferred("Открыть настройки"), "settings"),
    Reason.PRIVATE_ADDRESS: Action(deferred("Проверить адрес"), "connection"),
    Reason.INTERRUPTED: Action(deferred("Посмотреть состояние"), "diagnostics"),
}
TOLD: Mapping[str, str] = {
    "no answer in time": deferred("CRM не ответила вовремя"),
    "cannot connect": deferred("не удалось соединиться с CRM"),
    "the connection broke": deferred("соединение с CRM оборвалось"),
    "TLS": deferred("сертификат CRM не принят"),
    "rate limited": deferred("CRM просит обращаться реже"),
    "domain or api_key cannot be sent as they are": deferred("адрес или ключ записаны с ошибкой"),
}
"""What the client says when there was no answer, by how it begins (integrations/retailcrm/client.py)."""
REPLAY = Action(deferred("Отправить снова"), "replay")


class Part(Struct, frozen=True):
    """One thing that happened or did not, and what to press about it."""

    tone: Tone
    text: str
    actions: tuple[Action, ...] = ()


class Verdict(Struct, frozen=True):
    """All there is to say of a call."""

    parts: tuple[Part, ...]

    @property
    def tone(self) -> Tone:
        """The gravest of its parts'."""
        tones = {part.tone for part in self.parts}
        ranked: tuple[Tone, ...] = ("bad", "wait", "good", "calm")
        return next(tone for tone in ranked if tone in tones)

    @property
    def text(self) -> str:
        """The verdict as one line, what to press included."""
        pressed = (" ".join((part.text, *(f"{action.label} →" for action in part.actions))) for part in self.parts)
        return " ".join(pressed)


def judge(events: Rows, deliveries: Rows, say: Say = str) -> Verdict:
    """Say whether the card was shown and the record written, and why not.

    Events need `event_type` and `reason`, deliveries `kind`, `status`, `reason`, `payload`, `response`.
    """
    seen, rows = list(events), list(deliveries)
    if not rows:
        return Verdict((_nothing_sent(seen, say),))
    parts = [*_popup(_of(rows, "popup"), say), *_over(rows, say), *_record(_of(rows, "record"), say)]
    if seen and not any(event["event_type"] in ("hangup", "timeout") for event in seen):
        parts.append(Part("wait", say("Звонок идёт.")))
    return Verdict(tuple(parts) or (Part("wait", say("Звонок идёт.")),))


def _of(rows: Rows, kind: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["kind"] == kind]


def _nothing_sent(events: Sequence[Mapping[str, Any]], say: Say) -> Part:
    reasons = [event["reason"] for event in events if event["reason"] not in (None, Reason.INFORMATIONAL)]
    if not reasons:
        return Part("wait", say("Звонок начался."))
    return _failure(deferred("В CRM ничего не отправлено: {why}."), {"reason": reasons[-1]}, say)


def _popup(rows: Sequence[Mapping[str, Any]], say: Say) -> Iterator[Part]:
    """Say who saw the card; each reason why somebody did not is told once, the harmless ones only when nobody did."""
    shown = any(row["status"] == "done" for row in rows)
    if shown:
        yield Part("good", say("Карточка показана."))
    elif any(row["status"] in UNDER_WAY for row in rows):
        yield Part("wait", say("Карточка отправляется."))
    missed = [row for row in rows if row["status"] in FAILED]
    if shown:
        missed = [row for row in missed if not is_calm(row)]
    for number, (_, group) in enumerate(groupby(sorted(missed, key=_importance), key=_importance)):
        row = _merged(list(group))
        alone = not number and not shown
        yield _failure(deferred("Карточка не показана: {why}.") if alone else deferred("Не всем: {why}."), row, say)


def _importance(row: Mapping[str, Any]) -> tuple[bool, str]:
    return is_calm(row), row["reason"] or ""


def _was_too_slow(row: Mapping[str, Any]) -> bool:
    """Tell whether a pop-up was given up while its attempts failed: that, not the call's end, is why nobody saw it."""
    return (
        row.get("kind") == "popup"
        and bool(row.get("attempts"))
        and row["status"] == "expired"
        and row["reason"] in LATE
    )


def is_calm(row: Mapping[str, Any]) -> bool:
    """Tell whether it is as it should be that a delivery did not go out."""
    return row["reason"] in CALM and not _was_too_slow(row)


def _merged(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    codes = dict.fromkeys(code for row in rows for code in codes_of(row))
    return {**rows[-1], "payload": {"codes": list(codes)}}


def _over(rows: Rows, say: Say) -> Iterator[Part]:
    """A card that did not close matters; one that did goes without saying."""
    overs = _of(rows, "popup_over")
    for row in overs:
        if row["status"] in ("failed", "expired") or (row["status"] == "skipped" and len(overs) == len(list(rows))):
            yield _failure(deferred("Карточка могла остаться открытой: {why}."), row, say)
            return


def _record(rows: Sequence[Mapping[str, Any]], say: Say) -> Iterator[Part]:
    if not rows:
        return
    row = next((row for row in rows if row["status"] == "done"), rows[-1])
    if row["status"] == "done":
        yield Part("good", say("Звонок записан в историю."))
    elif row["status"] in UNDER_WAY:
        if row["reason"]:
            part = _failure(deferred("Звонок пока не записан в историю, попытки идут: {why}."), row, say)
            yield Part("wait", part.text, part.actions)
        else:
            yield Part("wait", say("Звонок записывается в историю."))
    else:
        part = _failure(deferred("Звонок не записан в историю: {why}."), row, say)
        again = (Action(say(REPLAY.label), REPLAY.page),) if row["status"] == "failed" else ()
        yield Part(part.tone, part.text, part.actions + again)


def _failure(sentence: str, row: Mapping[str, Any], say: Say) -> Part:
    tone: Tone = "calm" if is_calm(row) else "bad"
    return Part(tone, say(sentence).format(why=why(row, say)), tuple(_actions(row, say)))


def why(row: Mapping[str, Any], say: Say = str) -> str:
    """Say in words why a delivery or an event came to nothing, with what the CRM said; "" when there is no reason."""
    reason = row["reason"] or ""
    codes = codes_of(row)
    if _was_too_slow(row):
        return say(TOO_SLOW)
    if reason == Reason.NO_MAPPING and codes:
        one = say("добавочному {codes} не назначен сотрудник")
        return (one if len(codes) == 1 else say("добавочным {codes} не назначены сотрудники")).format(
            codes=", ".join(codes)
        )
    words = say(WHY[Reason(reason)]) if reason in set(Reason) else reason
    said = what_crm_said(row.get("response")) if reason == Reason.CRM_REJECTED else ""
    return f"{words} («{said}»)" if said else words


def _actions(row: Mapping[str, Any], say: Say) -> Iterator[Action]:
    reason = row["reason"]
    reason = Reason.CRM_UNREACHABLE if _was_too_slow(row) else reason
    action = ACTIONS.get(Reason(reason)) if reason in set(Reason) else None
    if action is not None:
        codes = tuple(codes_of(row)) if reason == Reason.NO_MAPPING else ()
        yield Action(say(action.label), action.page, codes)


def codes_of(row: Mapping[str, Any]) -> list[str]:
    """Return the extensions of a delivery."""
    payload = row.get("payload")
    codes = payload.get("codes", []) if isinstance(payload, Mapping) else []
    return [str(code) for code in codes]


def told(error: str | None, say: Say = str) -> str:
    """Put an attempt's error into words; what the CRM itself said stays as it is."""
    begins, _, rest = (error or "").partition(": ")
    known = TOLD.get(begins)
    if known is None:
        return error or ""
    return f"{say(known)} ({rest})" if rest else say(known)


def what_crm_said(response: object) -> str:
    """Return the CRM's own words about a refusal, shortened; "" when it had none."""
    if not isinstance(response, Mapping):
        return ""
    errors = response.get("errors")
    details = errors.values() if isinstance(errors, Mapping) else errors if isinstance(errors, list) else ()
    words = [str(response.get("errorMsg") or ""), *map(str, details)]
    said = "; ".join(word.rstrip(".") for word in words if word)
    return said if len(said) <= QUOTED else said[: QUOTED - 1] + "…"
