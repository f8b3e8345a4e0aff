"""A click that led to no call: a sentence for whatever became of it, what to press, in two languages."""

import re
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest

from vochi_integrations.admin import i18n
from vochi_integrations.ops.clicks import CLICKS, REFUSALS, judge_click
from vochi_integrations.pbx import diagnosis
from vochi_integrations.pbx.following import State

PEOPLE = {"busy", "declined", "customer_not_dialled", "no_such_channel"}
"""What people did, or what cannot become of a click: there is nothing to press."""


def click(state: str, reason: str | None = None) -> dict[str, Any]:
    return {"state": state, "reason": reason, "code": "151", "phone": "375290000001"}


def test_every_state_and_every_refusal_of_a_pbx_has_its_words() -> None:
    assert set(CLICKS) == set(get_args(State))
    code = "".join(path.read_text() for path in Path(diagnosis.__file__).parent.glob("*.py"))
    raised = set(re.findall(r'PbxError\(\s*"(\w+)"|"failed", "(\w+)"|return "(pbx_\w+)"', code))
    reasons = {reason for found in raised for reason in found if reason} | diagnosis.SAYS.keys() - {"not_lifted"}
    assert len(reasons) > 10
    assert reasons == REFUSALS.keys()


@pytest.mark.parametrize(("state", "reason"), list(product(CLICKS, [None, *REFUSALS])))
def test_every_click_is_a_sentence_with_what_to_press(state: str, reason: str | None) -> None:
    verdict = judge_click(click(state, reason))
    (part,) = verdict.parts
    failed = state == "failed" and reason is not None
    begins = "Звонок по клику не начался: " if failed else f"Звонок по клику: {CLICKS[state]}"
    assert part.text.startswith(begins)
    assert part.text.endswith(".")
    assert (REFUSALS[reason] in part.text if reason else True) or state != "failed"
    assert bool(part.actions) == (failed and reason not in PEOPLE)
    assert verdict.tone == {"failed": "bad", "not_lifted": "bad", "answered": "good", "no_answer": "good"}.get(
        state, "wait"
    )


@pytest.mark.parametrize("reason", REFUSALS)
def test_every_refusal_speaks_english(reason: str) -> None:
    i18n.use_language("en")
    try:
        for state in CLICKS:
            text = judge_click(click(state, reason), i18n.gettext).text
            assert not re.search("[а-яё]", text, re.IGNORECASE), text
    finally:
        i18n.use_language("ru")


def test_an_extension_that_is_wrong_is_named_where_it_is_given() -> None:
    ((action,),) = [part.actions for part in judge_click(click("failed", "not_registered")).parts]
    assert (action.page, action.extensions) == ("managers", ("151",))
