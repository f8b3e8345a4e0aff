"""The choice of a language: `?lang=en`, remembered in a cookie; Russian unless asked otherwise."""

from aiohttp import web
from msgspec import Struct

from vochi_integrations.admin.area import PREFIX
from vochi_integrations.admin.i18n import LANGUAGES, use_language
from vochi_integrations.admin.peer import is_secure

COOKIE = "vochi_lang"
YEAR_SECONDS = 365 * 86400


class Choice(Struct, frozen=True):
    """A language that was asked for just now, "" when none was."""

    language: str
    secure: bool

    def remember(self, response: web.StreamResponse) -> None:
        if self.language and not response.prepared:
            response.set_cookie(
                COOKIE, self.language, max_age=YEAR_SECONDS, path=PREFIX, samesite="Lax", secure=self.secure
            )


def choose_language(request: web.Request) -> Choice:
    """Let the request speak the language it asks for."""
    asked = request.query.get("lang", "")
    use_language(asked if asked in LANGUAGES else request.cookies.get(COOKIE, ""))
    return Choice(asked if asked in LANGUAGES else "", is_secure(request))
