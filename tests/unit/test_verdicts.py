"""A verdict for whatever can become of a call: one sentence, what to press, in two languages, and no word too many."""

import re
from itertools import product
from typing import Any, get_args

import pytest

from vochi_integrations.admin import i18n
from vochi_integrations.domain import Kind, Reason, Status
from vochi_integrations.ops.verdicts import ACTIONS, CALM, WHY, judge, why

LONG = "x" * 500
FAILED: tuple[Status, ...] = ("skipped", "expired", "failed")


def row(kind: str = "popup", status: str = "done", reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "status": status, "reason": reason, "payload": {}, "response": None, **more}


def event(kind: str, reason: str | None = "informational") -> dict[str, Any]:
    return {"event_type": kind, "reason": reason}


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_words_and_either_a_deed_or_peace(reason: Reason) -> None:
    verdict = judge([], [row(status="skipped", reason=reason)])
    assert WHY[reason] in verdict.text
    if reason in CALM:
        assert verdict.tone == "calm"
        assert reason not in ACTIONS
    elif reason is not Reason.ENTERPRISE_INACTIVE:
        assert verdict.text.endswith(f"{ACTIONS[reason].label} →")


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_speaks_english(reason: Reason) -> None:
    i18n.use_language("en")
    try:
        for kind, status in product(get_args(Kind), get_args(Status)):
            text = judge([event("dial")], [row(kind, status, reason)], i18n.gettext).text
            assert text
            assert not re.search("[а-яё]", text, re.IGNORECASE), text
    finally:
        i18n.use_language("ru")


@pytest.mark.parametrize(("kind", "status"), list(product(get_args(Kind), get_args(Status))))
@pytest.mark.parametrize("reason", [None, *Reason])
def test_every_state_of_every_delivery_is_a_sentence(kind: Kind, status: Status, reason: Reason | None) -> None:
    verdict = judge([], [row(kind, status, reason)])
    assert all(part.text.endswith(".") and part.text[0].isupper() for part in verdict.parts)
    assert "{" not in verdict.text
    if status in FAILED and reason is not None:
        assert WHY[reason] in verdict.text
    if status == "done":
        assert verdict.tone != "bad"


@pytest.mark.parametrize("reason", Reason)
def test_a_call_that_caused_nothing_says_why(reason: Reason) -> None:
    text = judge([event("dial", reason)], []).text
    if reason is Reason.INFORMATIONAL:
        assert text == "Звонок начался."
    else:
        assert text.startswith(f"В CRM ничего не отправлено: {WHY[reason]}.")


def test_a_missing_manager_is_named_with_what_to_press() -> None:
    skipped = row(status="skipped", reason=Reason.NO_MAPPING, payload={"codes": ["151"]})
    verdict = judge([], [skipped])
    assert verdict.text == "Карточка не показана: добавочному 151 не назначен сотрудник. Назначить →"
    (action,) = verdict.parts[0].actions
    assert (action.page, action.extensions) == ("managers", ("151",))
    both = judge([], [skipped, row(status="skipped", reason=Reason.NO_MAPPING, payload={"codes": ["152", "151"]})])
    assert "добавочным 151, 152 не назначены сотрудники" in both.text


def test_a_card_that_some_saw_tells_who_did_not_and_keeps_quiet_about_what_is_as_it_should_be() -> None:
    verdict = judge(
        [],
        [
            row(),
            row(status="skipped", reason=Reason.NO_MAPPING, payload={"codes": ["152"]}),
            row(status="expired", reason=Reason.ANSWERED_ELSEWHERE, payload={"codes": ["153"]}),
        ],
    )
    assert verdict.text == ("Карточка показана. Не всем: добавочному 152 не назначен сотрудник. Назначить →")
    assert verdict.tone == "bad"


def test_what_the_crm_said_of_a_refusal_is_told_shortly() -> None:
    refused = row(
        "record", "failed", Reason.CRM_REJECTED, response={"errorMsg": "User not found.", "errors": ["x" * 500]}
    )
    text = judge([], [refused]).text
    assert "CRM отклонила запрос («User not found; xxx" in text
    assert len(why(refused)) < 200
    assert text.endswith("Отправить снова →")
    assert why(row(reason=Reason.CRM_REJECTED, response="<html>")) == WHY[Reason.CRM_REJECTED]


def test_a_record_that_waits_says_why_and_one_that_failed_can_be_sent_again() -> None:
    waiting = judge([], [row("record", "pending", Reason.CRM_UNREACHABLE)])
    assert waiting.tone == "wait"
    assert waiting.parts[0].text == "Звонок пока не записан в историю, попытки идут: CRM не ответила."
    (part,) = judge([], [row("record", "failed", Reason.CRM_UNREACHABLE)]).parts
    assert [action.page for action in part.actions] == ["diagnostics", "replay"]
    (part,) = judge([], [row("record", "skipped", Reason.INTERNAL_CALL)]).parts
    assert part.actions == ()


def test_a_call_that_goes_on_says_so() -> None:
    assert judge([event("start")], []).text == "Звонок начался."
    assert judge([event("dial", None)], [row()]).text == "Карточка показана. Звонок идёт."
    assert judge([event("dial", None), event("hangup", None)], [row(), row("record")]).text == (
        "Карточка показана. Звонок записан в историю."
    )


def test_a_reason_of_a_later_version_is_shown_as_it_is() -> None:
    assert "solar_flare" in judge([], [row(status="failed", reason="solar_flare")]).text


def test_a_card_that_was_tried_in_vain_while_it_rang_is_the_crms_doing() -> None:
    verdict = judge([], [row(status="expired", reason=Reason.CALL_OVER, attempts=2)])
    assert verdict.text == (
        "Карточка не показана: CRM не успела ответить, пока телефон звонил. Проверить связь с CRM →"
    )
    assert verdict.tone == "bad"
    assert judge([], [row(status="expired", reason=Reason.CALL_OVER, attempts=0)]).tone == "calm"
