"""The pages' languages: Russian as written, English from `templates/locale/en.po`.

`ru.po` has the three Russian plural forms of what `ngettext` counts. Texts that are named before the language is known
are marked with `deferred` and looked up with `gettext` where they are shown.
"""

import gettext as standard
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache
from io import BytesIO

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from vochi_integrations.messages import deferred, speak
from vochi_integrations.paths import folder

__all__ = ["LANGUAGES", "deferred", "gettext", "language", "load_languages", "ngettext", "use_language"]

RUSSIAN = "ru"
LANGUAGES: Mapping[str, str] = {"ru": "Русский", "en": "English"}

_language: ContextVar[str] = ContextVar("language", default=RUSSIAN)


def use_language(name: str) -> None:
    """Let the rest of this request speak a language; an unknown one is Russian."""
    _language.set(name if name in LANGUAGES else RUSSIAN)
    speak(gettext)


def language() -> str:
    return _language.get()


@cache
def _catalogue(name: str) -> standard.GNUTranslations:
    with (folder("templates") / "locale" / f"{name}.po").open("rb") as file:
        catalogue = read_po(file, locale=name)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return standard.GNUTranslations(compiled)


def load_languages() -> None:
    """Read every catalogue now, so that no request waits for one."""
    for name in LANGUAGES:
        _catalogue(name)


def gettext(text: str) -> str:
    """Return a Russian text in the request's language."""
    return _catalogue(language()).gettext(text) if text else ""


def ngettext(one: str, many: str, number: int) -> str:
    """Return the form of a Russian text that a number asks for, in the request's language."""
    return _catalogue(language()).ngettext(one, many, number)
