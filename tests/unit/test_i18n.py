"""The request's language: Russian unless it is known, and its plural forms."""

import re
from contextvars import copy_context

import pytest

from vochi_integrations.admin.i18n import gettext, language, load_languages, ngettext, use_language
from vochi_integrations.paths import folder


def said(name: str, text: str) -> str:
    """What a request in a language is told; the language ends with the request."""

    def ask() -> str:
        use_language(name)
        return gettext(text)

    return copy_context().run(ask)


@pytest.mark.parametrize(
    ("name", "told"), [("ru", "Подключение"), ("en", "Connection"), ("", "Подключение"), ("xx", "Подключение")]
)
def test_a_text_is_told_in_the_requests_language(name: str, told: str) -> None:
    load_languages()
    assert said(name, "Подключение") == told
    assert language() == "ru"


def test_what_has_no_translation_is_told_as_it_was_written() -> None:
    assert said("en", "Этого текста нет") == "Этого текста нет"
    assert said("en", "") == "", "a catalogue keeps its own description under the empty text"


def test_numbers_without_forms_of_their_own_take_the_two_that_were_written() -> None:
    assert [ngettext("один", "много", number) for number in (1, 2)] == ["один", "много"]


def test_templates_trust_only_what_they_say_themselves() -> None:
    """`_` marks its text as safe: of a value, such as a name, that would make markup."""
    for file in (folder("templates") / "admin").glob("*.html"):
        calls = re.findall(r"(?<!\w)n?(?:_|gettext)\((.)", file.read_text(encoding="utf-8"))
        assert set(calls) <= {'"'}, file.name
