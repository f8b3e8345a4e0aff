"""Whose a number is, and how it is written for a CRM."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.folding import DIRECTORY
from tests.kinds import OWNER_OF_M, M
from vochi_integrations.domain import Party
from vochi_integrations.phones import classify, classify_list, e164, transform


@pytest.mark.parametrize(
    ("value", "party", "extension"),
    [
        ("375290000001", Party.CUSTOMER, ""),
        ("+375 (29) 000-00-01", Party.CUSTOMER, ""),
        (375290000001, Party.CUSTOMER, ""),
        ("123456", Party.CUSTOMER, ""),
        ("150", Party.INTERNAL, "150"),
        ("SIP/150", Party.INTERNAL, "150"),
        ("PJSIP/150", Party.INTERNAL, "150"),
        ("Local/150@inoffice/n", Party.INTERNAL, "150"),
        ("99", Party.INTERNAL, "99"),
        (M, Party.MOBILE, OWNER_OF_M),
        ("80290000002", Party.MOBILE, OWNER_OF_M),
        ("", Party.NOBODY, ""),
        ("<unknown>", Party.NOBODY, ""),
        ("Anonymous", Party.NOBODY, ""),
        ("0001363", Party.NOBODY, ""),
        ("0009999", Party.NOBODY, ""),
        ("7", Party.NOBODY, ""),
        ("12345x", Party.NOBODY, ""),
        ("*97", Party.NOBODY, ""),
        ("٣٧٥٢٩٠٠٠٠٠٠١", Party.NOBODY, ""),
        (None, Party.NOBODY, ""),
        (True, Party.NOBODY, ""),
        (["150"], Party.NOBODY, ""),
        (1.5, Party.NOBODY, ""),
    ],
)
def test_whose_a_number_is(value: object, party: Party, extension: str) -> None:
    number = classify(value, DIRECTORY)
    assert (number.party, number.extension) == (party, extension)


def test_the_events_own_line_is_nobodys_number() -> None:
    assert classify("3880000", DIRECTORY).party is Party.CUSTOMER
    assert classify("3880000", DIRECTORY, "3880000").party is Party.NOBODY


LISTS: list[object] = [["150", "151"], "150&151", ["SIP/150&SIP/151", ""], [150, "151", "150", "<unknown>"]]
NOTHING: list[object] = [None, {}, [None, {}, []], ""]


def test_a_list_of_extensions_in_any_of_its_forms() -> None:
    for value in LISTS:
        assert [number.extension for number in classify_list(value, DIRECTORY)] == ["150", "151"]
    for value in NOTHING:
        assert classify_list(value, DIRECTORY) == ()


@pytest.mark.parametrize(
    ("phone", "region", "written"),
    [
        ("80291234567", "BY", "+375291234567"),
        ("291234567", "BY", "+375291234567"),
        ("375291234567", "BY", "+375291234567"),
        ("+375291234567", "RU", "+375291234567"),
        ("89161234567", "RU", "+79161234567"),
        ("79161234567", "BY", "+79161234567"),
        ("375290000001", "BY", "+375290000001"),
        ("+375290000001", "BY", "+375290000001"),
        ("80290000001", "BY", "80290000001"),
        ("123456", "BY", "123456"),
        ("67200000", "BY", "67200000"),
        ("0712345678", "BY", "0712345678"),
        ("0012345678901", "BY", "0012345678901"),
        ("375290000001", "XX", "+375290000001"),
    ],
)
def test_numbers_in_e164(phone: str, region: str, written: str) -> None:
    assert e164(phone, region) == written


@given(st.from_regex(r"\+?[0-9]{6,20}", fullmatch=True), st.sampled_from(["BY", "RU", "PL"]))
def test_writing_a_number_never_loses_it_and_happens_once(phone: str, region: str) -> None:
    written = e164(phone, region)
    assert written.lstrip("+").isdigit()
    assert e164(written, region) == written
    assert written.lstrip("+").endswith(phone[-6:])


@pytest.mark.parametrize(
    ("phone", "rule", "changed"),
    [
        ("+0290000001", "+375{9}", "+375290000001"),
        ("80290000001", "+375{9}", "+375290000001"),
        ("290001", "+375{9}", "290001"),
        ("80290000001", "nonsense", "80290000001"),
        ("80290000001", "", "80290000001"),
    ],
)
def test_a_lines_rule(phone: str, rule: str, changed: str) -> None:
    assert transform(phone, rule) == changed
