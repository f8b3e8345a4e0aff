"""Administrators' sessions in PostgreSQL, where every instance finds them; a cookie is known by its hash only."""

import hashlib
import secrets
from collections.abc import Iterable
from typing import Any, Literal

from aiohttp import web
from msgspec import Struct

from vochi_integrations.admin.i18n import deferred
from vochi_integrations.db import Database, Row
from vochi_integrations.events import decoded
from vochi_integrations.settings import Auth, Secret

TIMEOUT = 2.0
TOUCH_SECONDS = 60.0
SECRET_NAME = "admin_links"  # noqa: S105 - its name

Source = Literal["session_token", "super_admin", "retailcrm", "link"]


class Viewer(Struct, frozen=True, kw_only=True):
    """Who looks at a page. `name` is a person's or a word for the way they came; `session` is our own session's id."""

    enterprise: str
    name: str
    source: Source
    allowed: bool = True
    session: bytes = b""


VIEWER = web.RequestKey("viewer", Viewer)
NAMES: dict[str, str] = {
    "session_token": deferred("Администратор"),
    "super_admin": deferred("Администратор провайдера"),
    "retailcrm": deferred("Администратор из RetailCRM"),
    "link": deferred("Администратор по ссылке"),
}


async def jwt_secret(database: Database, settings: Auth) -> Secret:
    """Return what signs the links: the setting, else a random secret that all daemons of the database share."""
    if settings.jwt_secret:
        return settings.jwt_secret
    await database.execute("keep_secret", SECRET_NAME, secrets.token_urlsafe(48))
    (row,) = await database.fetch("read_secret", SECRET_NAME)
    return Secret(row["value"])


def token_id_of(config: object) -> str:
    """Return `retailcrm.token_id` of a stored `integrations_config`, "" when there is none."""
    tenant = decoded(config)
    retailcrm = decoded(tenant.get("retailcrm")) if isinstance(tenant, dict) else None
    found = retailcrm.get("token_id") if isinstance(retailcrm, dict) else None
    return found if isinstance(found, str) else ""


async def provider_viewers(database: Database, cookie: str) -> list[Viewer]:
    """Return who the provider's `session_token` belongs to."""
    if not cookie or not cookie.isascii() or "\0" in cookie:
        return []
    rows = await database.fetch("provider_sessions", cookie, timeout=TIMEOUT)
    return [
        Viewer(
            enterprise=row["enterprise_number"],
            name=row["name"] or NAMES[row["source"]],
            source=row["source"],
            allowed=row["allowed"],
        )
        for row in rows
    ]


async def own_viewers(database: Database, settings: Auth, cookies: Iterable[str]) -> list[Viewer]:
    """Return who our own cookies belong to, the latest used first."""
    hashes = [hashed(cookie) for cookie in cookies]
    if not hashes:
        return []
    touch = min(TOUCH_SECONDS, settings.idle_seconds / 4)
    rows = await database.fetch("admin_sessions_of", hashes, settings.idle_seconds, touch, timeout=TIMEOUT)
    good = [row for row in rows if _stands(row, row["token_id"], row["source"])]
    for row in good:
        if row["to_touch"]:
            await database.execute("touch_admin_session", row["id"], timeout=TIMEOUT)
    return [
        Viewer(enterprise=row["enterprise_number"], name=NAMES[row["source"]], source=row["source"], session=row["id"])
        for row in good
    ]


def _stands(row: Row, token_id: str, source: str) -> bool:
    """Tell whether what a session or token was made with is still good."""
    return bool(row["link_stands"]) if source == "link" else token_id_of(row["config"]) == token_id


async def source_of_token(database: Database, number: str, token_id: str) -> Source | None:
    """Say what stands behind a token id: the integration, a link of the command line, or nothing any more."""
    rows = await database.fetch("token_target", number, token_id, timeout=TIMEOUT)
    kinds: tuple[Source, ...] = ("retailcrm", "link")
    return next((source for row in rows for source in kinds if _stands(row, token_id, source)), None)


async def begin(database: Database, settings: Auth, number: str, source: Source, token_id: str, **seen: Any) -> str:
    """Begin a session; return its cookie's value. `seen` is the client's `address` and `agent`."""
    cookie = secrets.token_urlsafe(32)
    await database.execute(
        "add_admin_session",
        *(hashed(cookie), number, source, token_id, settings.session_seconds),
        *(seen.get("address", ""), seen.get("agent", "")[:200]),
        timeout=TIMEOUT,
    )
    return cookie


async def keep(database: Database, viewer: Viewer, token_id: str) -> None:
    """Let the session of whoever registers the integration anew live on; all others made with the old token end."""
    if viewer.session:
        await database.execute("keep_admin_session", viewer.session, token_id, timeout=TIMEOUT)


async def end(database: Database, number: str, ids: list[bytes] | None) -> int:
    """End some sessions of an enterprise, all of them when None; return how many."""
    return len(await database.fetch("end_admin_sessions", number, ids, timeout=TIMEOUT))


async def revoke(database: Database, number: str, *, but: bytes = b"") -> int:
    """Take back the links of an enterprise and the sessions made with them, but not the session `but`; return how many.

    Sessions of RetailCRM's link end with the integration's token id.
    """
    return len(await database.fetch("revoke_admin_links", number, but))


def hashed(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).digest()
