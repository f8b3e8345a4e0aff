"""Every text of the pages has its translation, and no translation is left over."""

from typing import Any

import pytest
from babel.messages.catalog import Message

from tests.messages import extracted, needed, stored


def forms(message: Message) -> tuple[str, ...]:
    string: Any = message.string
    return tuple(string) if message.pluralizable else (string or "",)


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_catalogue_has_every_text_and_no_other(language: str) -> None:
    """`python -m tests.messages` brings a catalogue up to date; what is empty then is to be translated."""
    known = {message.id: message for message in stored(language) if message.id}
    wanted = {message.id for message in needed(language)}
    assert known.keys() - wanted == set(), "stale"
    assert wanted - known.keys() == set(), "missing"
    assert [message.id for message in known.values() if not all(forms(message)) or message.fuzzy] == []


def test_every_translation_keeps_the_placeholders_of_its_text() -> None:
    assert [problem for language in ("en", "ru") for problem in stored(language).check()] == []


def test_texts_are_found_in_python_and_in_templates() -> None:
    """What finds nothing would make the other tests pass."""
    sources = {name.rpartition(".")[2] for message in extracted() for name, _ in message.locations}
    assert sources == {"py", "html"}
    assert len([message for message in extracted() if message.id]) > 50


def test_english_is_not_russian() -> None:
    cyrillic = range(0x400, 0x500)
    assert [
        text for message in stored("en") for text in forms(message) if any(ord(char) in cyrillic for char in text)
    ] == []
