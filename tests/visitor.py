"""A visitor of the pages without a screen: keeps cookies, follows nothing, and reads what a page says."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDictProxy

from tests.lab import NUMBER, Lab
from vochi_integrations.admin.invite import admin_link
from vochi_integrations.admin.links import new_token, new_token_id
from vochi_integrations.admin.sessions import jwt_secret
from vochi_integrations.db import connected
from vochi_integrations.settings import Settings, load

PAGE = f"/retailcrm-admin/?enterprise_number={NUMBER}"


class Reachable(Protocol):
    """A daemon whose public listener is at an address."""

    @property
    def public(self) -> str: ...


class Answer:
    """What came back."""

    def __init__(self, response: aiohttp.ClientResponse, text: str) -> None:
        self.status = response.status
        self.headers: CIMultiDictProxy[str] = response.headers
        self.cookies = response.cookies
        self.text = text
        self.location = response.headers.get("Location", "")

    @property
    def heading(self) -> str:
        """The page's own heading; its title is the enterprise's name."""
        found = re.search(r"<h2[^>]*>(.*?)</h2>", self.text)
        return found[1] if found else ""

    @property
    def title(self) -> str:
        found = re.search(r"<title>(.*?)</title>", self.text)
        return found[1] if found else ""


class Visitor:
    """Cookies are kept by name, whatever their path: the tests look at that themselves."""

    def __init__(self, session: aiohttp.ClientSession, origin: str) -> None:
        self.session = session
        self.origin = origin
        self.cookies: dict[str, str] = {}

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Make a request as a page of ours does, unless `headers` say otherwise."""
        headers = {"Origin": self.origin, **options.pop("headers", {})}
        sent = {name: value for name, value in headers.items() if value is not None}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        url = path if path.startswith("http") else self.origin + path
        async with self.session.request(method, url, headers=sent, allow_redirects=False, **options) as response:
            answer = Answer(response, await response.text())
        for name, morsel in answer.cookies.items():
            self.cookies[name] = morsel.value
            if morsel["max-age"] == "0":
                del self.cookies[name]
        return answer

    async def get(self, path: str = PAGE, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Answer:
        return await self.ask("POST", path, **options)


@asynccontextmanager
async def visiting(daemon: Reachable) -> AsyncIterator[Visitor]:
    """A browser that has never been here."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Visitor(session, daemon.public)


def settings_with(secret: str) -> Settings:
    """Settings whose links are signed with `secret`; with "" it is the one in the database."""
    return load(None, {"VOCHI_AUTH__JWT_SECRET": secret})


async def invited(dsn: str, number: str = NUMBER, *, secret: str = "") -> str:
    """The path and query of a new link as `admin-link` prints it."""
    parts = urlsplit(await admin_link(dsn, settings_with(secret), number))
    return f"{parts.path}?{parts.query}"


async def registered(lab: Lab, number: str = NUMBER, *, seconds: float = 60.0, secret: str = "") -> str:
    """Store a new token id as registration does; return the token of the new `accountUrl`."""
    token_id = new_token_id()
    await lab.sql.execute(
        "UPDATE enterprises SET integrations_config = jsonb_set(integrations_config, '{retailcrm,token_id}', $2)"
        " WHERE number = $1",
        *(number, token_id),
    )
    async with connected(lab.dsn) as database:
        signing = await jwt_secret(database, settings_with(secret).auth)
    return new_token(number, token_id, signing, seconds=seconds)
