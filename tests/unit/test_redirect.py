"""No name, however strange, and no error makes an answer that the hosts' dialplan cuts wrongly."""

import string
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.cut import cut
from vochi_integrations.domain import Directory, Enterprise
from vochi_integrations.pbx.redirect import (
    SAFE,
    Decision,
    body,
    clean,
    context_of,
    line_of,
    open_question,
    question_of,
    shown_name,
)
from vochi_integrations.smart import read_smart

LINE = "0001363"
PHONE = "+375290000001"
anything = st.text(max_size=200) | st.text(alphabet=',"\\;${}[]() |null\n\r\t:DialPlan', max_size=80)
contexts = st.none() | st.from_regex(r"mngr[0-9]{1,9}_[A-Za-z0-9_.+@-]{1,48}_1", fullmatch=True)


def company(smart: object = None, **directory: Any) -> Enterprise:
    known = {"internal": frozenset({"150", "151"}), "ids": {"150": 30, "151": 31}, **directory}
    return Enterprise(number="0367", smart=read_smart(smart), directory=Directory(**known))


def one_line(key: str = f"gsm:{LINE}", mode: str = "routing+name", **line: Any) -> dict[str, object]:
    return {"mode": mode, "lines": {key: {"enabled": True, "do_routing": True, "algorithm": "retailcrm", **line}}}


@given(anything, contexts)
@example("Иванов, Иван", "mngr31_0001363_1")
@example('","DialPlan":null}', None)
@example("\ud800\udfff\x00\x7f\u2028\u202e", "mngr1_1_1")
@example("🧑‍🚀" * 40, None)
def test_the_dialplan_reads_what_was_meant(name: str, context: str | None) -> None:
    answer = body(name, context)
    shown = clean(name)
    assert orjson.loads(answer) == {"Name": shown, "DialPlan": context}
    assert len(shown) <= 64
    assert b"\n" not in answer
    if context is not None:
        assert cut(answer) == (shown, context)
    elif len(answer) >= 30:
        assert cut(answer) == (shown, "")
    else:
        assert cut(answer) == ("", "")


@given(anything, anything, anything, anything, st.permutations(["line", "shop", "customer"]))
def test_strange_lines_shops_and_trunks_make_no_other_answer(
    trunk: str, line: str, shop: str, customer: str, order: list[str]
) -> None:
    """The trunk comes from the network and from the settings; it may be anything as well."""
    switched_on: dict[str, Any] = {f"send_{part}_name": True for part in order}
    orders: dict[str, Any] = {f"{part}_name_order": order.index(part) for part in order}
    smart = one_line(f"gsm:{trunk}", **switched_on, **orders)
    enterprise = company(smart, line_names={trunk: line}, shops={trunk: shop})
    question = question_of(enterprise, PHONE, trunk)
    context = context_of("151", trunk, enterprise.directory)
    name = shown_name(question, enterprise.directory, customer)
    decision = Decision(source="retailcrm", context=context, name=name)
    if context is not None:
        assert cut(decision.body) == (name, context)
        assert context == f"mngr31_{trunk}_1"
    else:
        assert cut(decision.body)[1] == ""


def test_the_safe_default_is_what_the_dialplan_takes_for_nothing() -> None:
    assert SAFE == b'{"Name":"","DialPlan":null}' == body("", None)
    assert len(SAFE) == 27
    assert cut(SAFE) == ("", "")


def test_answers_of_others_kill_the_call_as_the_model_says() -> None:
    """The model is no looser than the hosts: what is known to break a call breaks it here (facts: asterisk_lab §8)."""
    spaced = '{"Name": "Иванов Иван", "DialPlan": "mngr33_0001363_1"}'.encode()
    with_comma = '{"Name":"Иванов, Иван","DialPlan":"mngr33_0001363_1"}'.encode()
    reversed_keys = '{"DialPlan":"mngr33_0001363_1","Name":"Иванов Иван"}'.encode()
    refused = b'{"detail":[{"loc":["body"],"msg":"field required"}]}'
    for broken in (spaced, with_comma, reversed_keys, refused):
        assert cut(broken)[1] not in ("", "mngr33_0001363_1")
    assert cut('{"Name":"Иванов Иван","DialPlan":"mngr33_0001363_1"}'.encode()) == ("Иванов Иван", "mngr33_0001363_1")


@given(st.text(alphabet=string.printable + "Иванов", max_size=100))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Иванов, Иван", "Иванов Иван"),
        ('ООО "Ромашка" (опт)', "ООО Ромашка опт"),
        ("  a \t b\n", "a b"),
        ("${EXTEN};x", "EXTENx"),
        ("я" * 70, "я" * 64),
        ("", ""),
    ],
)
def test_names_keep_their_words(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_a_trunk_that_is_a_sip_line_has_its_settings_there() -> None:
    lines = {key: {"enabled": True, "algorithm": key} for key in ("gsm:3880000", "sip:3880000", "gsm:1", "sip:2")}
    plain, sip = company({"lines": lines}), company({"lines": lines}, sip=frozenset({"3880000", "1"}))
    found = [line_of(enterprise, "3880000") for enterprise in (plain, sip)]
    assert [line.algorithm for line in found if line] == ["gsm:3880000", "sip:3880000"]
    assert line_of(sip, "1") is not None
    assert line_of(plain, "2") is not None
    assert line_of(plain, "3") is None


@pytest.mark.parametrize(
    ("smart", "closed"),
    [
        (None, "off"),
        ("nonsense", "off"),
        (one_line(mode="off"), "off"),
        (one_line(mode="other"), "off"),
        ({"mode": "routing+name"}, "line_off"),
        (one_line("gsm:0001364"), "line_off"),
        (one_line(enabled=False), "line_off"),
        (one_line(enabled="true"), "line_off"),
        ({"lines": {f"gsm:{LINE}": "on"}}, "line_off"),
        (one_line(), ""),
        (orjson.dumps(one_line()).decode(), ""),
    ],
)
def test_only_a_line_that_is_switched_on_asks(smart: object, closed: str) -> None:
    question = question_of(company(smart), PHONE, LINE)
    assert question.closed == closed
    assert (question.asks_crm, question.asks_history) == (not closed, not closed)


def test_an_inactive_company_asks_nobody() -> None:
    enterprise = Enterprise(number="0367", active=False, smart=read_smart(one_line()))
    assert question_of(enterprise, PHONE, LINE).closed == "enterprise_inactive"


def test_what_a_line_asks_follows_its_settings() -> None:
    named = question_of(company(one_line(mode="name-only", send_customer_name=True)), PHONE, LINE)
    assert (named.asks_crm, named.asks_history) == (True, False)
    unnamed = question_of(company(one_line(do_routing=False, send_line_name=True)), PHONE, LINE)
    assert (unnamed.asks_crm, unnamed.asks_history, unnamed.parts) == (False, False, ("line",))
    own = question_of(company(one_line(algorithm="last_call")), PHONE, LINE)
    assert (own.asks_crm, own.asks_history, own.by_crm, own.crm) == (False, True, False, "retailcrm")
    other = question_of(company(one_line(algorithm=None) | {"primary": "uon"}), PHONE, LINE)
    assert (other.algorithm, other.crm, other.by_crm) == ("uon", "uon", True)


@pytest.mark.parametrize("phone", ["", None, "<unknown>", "Anonymous", LINE, "152", [], {}, True, "abc"])
def test_a_number_that_is_no_customer_asks_nobody(phone: object) -> None:
    enterprise = company(one_line(send_customer_name=True), lines={LINE: ""})
    question = question_of(enterprise, phone, LINE)
    assert (question.asks_crm, question.asks_history, question.closed) == (False, False, "")
    assert not open_question(enterprise, phone).asks_crm or phone == LINE


def test_parts_of_the_name_come_in_their_order() -> None:
    names: dict[str, Any] = {"line_names": {LINE: "Главная, 1"}, "shops": {LINE: "Минск"}}
    switches: dict[str, Any] = {"send_line_name": True, "send_shop_name": True, "send_customer_name": True}

    def shown(customer: str = "Жук Виктор", **line: Any) -> str:
        enterprise = company(one_line(**{**switches, **line}), **names)
        return shown_name(question_of(enterprise, PHONE, LINE), enterprise.directory, customer)

    assert shown() == "Главная 1 | Минск | Жук Виктор"
    assert shown(line_name_order=3, shop_name_order=2, customer_name_order=1) == "Жук Виктор | Минск | Главная 1"
    assert shown(customer_name_order=1, shop_name_order=None) == "Жук Виктор | Главная 1 | Минск"
    assert shown("") == "Главная 1 | Минск"
    assert shown(send_line_name=False, send_shop_name=None) == "Жук Виктор"
    assert len(shown("я" * 100)) <= 64


def test_a_context_needs_an_id_and_a_trunk_that_is_a_word() -> None:
    directory = Directory(ids={"150": 30, "0151": 31})
    assert context_of("150", LINE, directory) == "mngr30_0001363_1"
    assert context_of("151", LINE, directory) == "mngr31_0001363_1"
    assert context_of("0150", "sip-line.1", directory) == "mngr30_sip-line.1_1"
    for extension, trunk in (("152", LINE), ("", LINE), ("000", LINE), ("150", ""), ("150", "a,b"), ("150", "я")):
        assert context_of(extension, trunk, directory) is None
