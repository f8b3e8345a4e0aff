"""Integrations' configurations as stored: merged by single statements, secrets encrypted, each change a version."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct

from vochi_integrations.cipher import Cipher, is_encrypted
from vochi_integrations.db import Database, Row
from vochi_integrations.errors import BadRequestError, UndecryptableError, UnknownEnterpriseError
from vochi_integrations.logs import MASK

SEALED = "api_key"
EXTENSIONS = "user_extensions"
NEVER_UNDONE = frozenset({"client_id", "token_id"})

Config = dict[str, Any]


class Change(Struct, frozen=True, kw_only=True):
    """One value that a version changed: its key, or its key in an object under a key. None: there was, or is, none.

    Secrets are `****`.
    """

    path: tuple[str, ...]
    before: object = None
    after: object = None


class ConfigVersion(Struct, frozen=True, kw_only=True):
    """Who changed what and when (UTC epoch seconds); `undoes` is the id of the version that this one undid."""

    id: int
    at: float
    by: str
    action: str
    changes: tuple[Change, ...]
    undoes: int | None = None


class Undone(Struct, frozen=True, kw_only=True):
    """What came of an undo: the configuration now, and the paths of the version by what became of them.

    `touched_later` were restored although later versions had changed them; `not_kept` could not be: secrets that were
    stored plain or that no key decrypts any more, and what a registration sets.
    """

    config: Config
    restored: tuple[tuple[str, ...], ...]
    touched_later: tuple[tuple[str, ...], ...]
    not_kept: tuple[tuple[str, ...], ...]


async def _nobody_waits(_: str) -> None:
    """Nothing in memory depends on the table: a command's store."""


class ConfigStore:
    """Reads and changes `integrations_config`, one integration (`crm`: its key there) of one enterprise at a time.

    `on_saved` is awaited after each change with the number, so that the next call uses it. All methods raise
    UnknownEnterpriseError, and what the database raises when it cannot answer.
    """

    def __init__(
        self, database: Database, cipher: Cipher, on_saved: Callable[[str], Awaitable[None]] = _nobody_waits
    ) -> None:
        self._database = database
        self._cipher = cipher
        self._on_saved = on_saved

    async def get(self, number: str, crm: str) -> Config | None:
        """Return a configuration, its key decrypted ("" when that is not possible); None when there is none."""
        stored = await self._stored(number, crm)
        return None if stored is None else self._opened(stored)

    async def merge(self, number: str, crm: str, patch: Mapping[str, Any], *, by: str, action: str) -> Config:
        """Change the keys of `patch` and return the configuration; other keys stay, None takes a key away.

        An object is merged by its own keys. `api_key` empty or masked stays as it is.
        """
        stored = await self._stored(number, crm) or {}
        return await self._merge(number, crm, self._sealed(patch, stored), stored=stored, by=by, action=action)

    async def patch_extensions(
        self, number: str, crm: str, patch: Mapping[str, str | None], *, by: str
    ) -> dict[str, str]:
        """Give CRM users extensions, or none (None, ""), and return the whole map; a number leaves whoever had it.

        Raises BadRequestError when a number is given twice.
        """
        given = {str(user): (extension or "").strip() or None for user, extension in patch.items()}
        twice = [number for number, count in Counter(filter(None, given.values())).items() if count > 1]
        if twice:
            raise BadRequestError(f"extension {twice[0]} is given to more than one user; give it to one")
        stored = await self._stored(number, crm) or {}
        config = await self._merge(number, crm, {EXTENSIONS: given}, stored=stored, by=by, action="extensions")
        return {user: str(extension) for user, extension in config.get(EXTENSIONS, {}).items() if extension}

    async def drop(self, number: str, crm: str, *, by: str) -> bool:
        """Take a configuration away; False when there was none."""
        rows = await self._database.fetch("drop_config", number, crm, by)
        dropped = bool(_the_enterprise(rows, number)["dropped"])
        if dropped:
            await self._on_saved(number)
        return dropped

    async def versions(self, number: str, crm: str, limit: int = 50) -> list[ConfigVersion]:
        """Return the latest changes, the newest first."""
        rows = await self._database.fetch("config_versions", number, crm, limit)
        return [_version(row) for row in rows]

    async def undo(self, number: str, crm: str, version_id: int, *, by: str) -> Undone:
        """Give the keys that a version changed their values of before; this is a version too.

        Raises BadRequestError when there is no such version or nothing of it can be restored.
        """
        stored = await self._stored(number, crm) or {}
        rows = await self._database.fetch("config_version", number, crm, version_id)
        if not rows:
            raise BadRequestError(f"there is no version {version_id} of this configuration")
        changes = rows[0]["changes"]
        before = {tuple(change["path"]): self._restorable(change) for change in changes}
        values = {path: found[0] for path, found in before.items() if found}
        if not values:
            raise BadRequestError("nothing of this version can be restored; enter the values again")
        patch = _nested(values)
        config = await self._merge(number, crm, patch, stored=stored, by=by, action="undo", undoes=version_id)
        later = {tuple(path) for path in rows[0]["touched_later"]}
        return Undone(
            config=config,
            restored=tuple(values),
            touched_later=tuple(path for path in values if path in later),
            not_kept=tuple(path for path, found in before.items() if not found),
        )

    def _restorable(self, change: Mapping[str, Any]) -> tuple[object, ...]:
        """Return the value of before in a tuple, an empty one when it is not to be had."""
        key, value = change["path"][0], change.get("before")
        if key in NEVER_UNDONE or value == MASK:
            return ()
        if key != SEALED or not isinstance(value, str):
            return (value,)
        try:
            return (self._cipher.encrypt(self._cipher.decrypt(value)),)
        except UndecryptableError:
            return ()

    async def _stored(self, number: str, crm: str) -> Config | None:
        rows = await self._database.fetch("stored_config", number, crm)
        config: Config | None = _the_enterprise(rows, number)["config"]
        return config

    async def _merge(
        self,
        number: str,
        crm: str,
        patch: Config,
        *,
        stored: Config,
        by: str,
        action: str,
        undoes: int | None = None,
    ) -> Config:
        plain = stored.get(SEALED) if self._cipher else None
        if not isinstance(plain, str) or not plain or is_encrypted(plain):
            plain = None
        sealed = None if plain is None else self._cipher.encrypt(plain)
        rows = await self._database.fetch("merge_config", number, crm, patch, by, action, undoes, plain, sealed)
        config = self._opened(_the_enterprise(rows, number)["config"])
        await self._on_saved(number)
        return config

    def _sealed(self, patch: Mapping[str, Any], stored: Mapping[str, Any]) -> Config:
        """Return a patch fit to be stored: masked secrets left out, a key that is new encrypted."""
        changed = {key: value for key, value in patch.items() if not (isinstance(value, str) and value[:4] == MASK)}
        if SEALED not in changed:
            return changed
        key = changed.pop(SEALED)
        key = key.strip() if isinstance(key, str) else ""
        return changed | {SEALED: self._cipher.encrypt(key)} if key and key != self._key_of(stored) else changed

    def _key_of(self, stored: Mapping[str, Any]) -> str:
        key = stored.get(SEALED)
        try:
            return self._cipher.decrypt(key) if isinstance(key, str) else ""
        except UndecryptableError:
            return ""

    def _opened(self, stored: Config) -> Config:
        return stored | {SEALED: self._key_of(stored)} if SEALED in stored else stored


def _the_enterprise(rows: list[Row], number: str) -> Row:
    if not rows:
        raise UnknownEnterpriseError(f"there is no enterprise {number}")
    return rows[0]


def _version(row: Row) -> ConfigVersion:
    return ConfigVersion(
        id=row["id"],
        at=row["created_at"],
        by=row["made_by"],
        action=row["action"],
        changes=tuple(_change(change) for change in row["changes"]),
        undoes=row["undoes"],
    )


def _change(change: Mapping[str, Any]) -> Change:
    before, after = (_shown(change.get(side)) for side in ("before", "after"))
    return Change(path=tuple(change["path"]), before=before, after=after)


def _shown(value: object) -> object:
    return MASK if isinstance(value, str) and is_encrypted(value) else value


def _nested(values: Mapping[tuple[str, ...], object]) -> Config:
    """Write values by path as the object they are in."""
    found: Config = {}
    for (key, *rest), value in values.items():
        if rest:
            found.setdefault(key, {})[rest[0]] = value
        else:
            found[key] = value
    return found
