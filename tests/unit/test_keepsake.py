"""What is kept of a CRM's answers: little, whatever they are."""

import pytest

from vochi_integrations.errors import PermanentDeliveryError
from vochi_integrations.integrations.retailcrm.answers import failure_of, read_body
from vochi_integrations.keepsake import SHOWN_BYTES, WHOLE_BYTES, kept
from vochi_integrations.logs import LEVELS


def nested(levels: int) -> object:
    return read_body(b"[" * levels + b"]" * levels)


def test_a_short_answer_is_kept_as_it_is_but_for_its_secrets() -> None:
    assert kept({"success": True, "a": [1], "apiKey": "k"}) == {"success": True, "a": [1], "apiKey": "****"}
    assert kept("<html>") == "<html>"
    assert kept(None) is None


def test_of_a_long_answer_the_beginning_of_its_text_is_kept() -> None:
    text = str(kept({"success": True, "x": "a" * 900_000}))
    assert text.startswith('{"success":true,"x":"aaa')
    assert len(text) == SHOWN_BYTES
    assert len(str(kept("x" * 900_000))) == SHOWN_BYTES


def test_a_text_that_was_cut_has_no_secrets() -> None:
    assert kept({"a": 1, "apiKey": "k", "x": "a" * WHOLE_BYTES}) == '{"a":1,"****'


@pytest.mark.parametrize("levels", [100, 600, 1000])
def test_what_is_nested_deeply_is_cut(levels: int) -> None:
    assert str(kept(nested(levels))) == "[" * LEVELS + "'…'" + "]" * LEVELS


def test_a_fault_nested_deeply_is_a_fault_like_others() -> None:
    answer = {"success": False, "errorMsg": nested(900), "errors": [nested(900)]}
    assert isinstance(failure_of(400, answer), PermanentDeliveryError)
