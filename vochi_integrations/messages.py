"""Texts for people that are named where no language is known yet, and where one may be known by then."""

from collections.abc import Callable
from contextvars import ContextVar

_translate: ContextVar[Callable[[str], str]] = ContextVar("translate", default=str)


def deferred(text: str) -> str:
    """Mark a Russian text for translation without translating it: whoever shows it looks it up."""
    return text


def speak(translate: Callable[[str], str]) -> None:
    """Let the rest of this request, and the tasks it begins, say their texts through `translate`."""
    _translate.set(translate)


def say(text: str) -> str:
    """Return a Russian text in the language of the request it is said in; Russian outside of any."""
    return _translate.get()(text)
