"""Rotation: every stored secret is encrypted with the first of `secrets.keys`."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from vochi_integrations import db
from vochi_integrations.cipher import Cipher, is_encrypted
from vochi_integrations.db import Database
from vochi_integrations.errors import SettingsError, UndecryptableError

ROUNDS = 5


class Fate(StrEnum):
    """What became of a stored secret."""

    RENEWED = "encrypted anew"
    SEALED = "encrypted that were plain"
    CURRENT = "already encrypted with the first key"
    UNREADABLE = "that no key decrypts"
    OVERTAKEN = "changed by somebody else meanwhile"


async def rotate_secrets(dsn: str, cipher: Cipher, crms: Sequence[str]) -> tuple[str, bool]:
    """Encrypt the API keys of `crms`, and those kept with older versions of their settings, with the first key.

    Each secret is replaced only where it still is what was read. Returns a report for the operator and whether every
    secret can be read. Raises SettingsError when there are no keys.
    """
    if not cipher:
        raise SettingsError("secrets.keys: there is no key to encrypt with")
    async with db.connected(dsn) as database:
        current, unread = await _rotate_current(database, cipher, crms)
        older = await _rotate_older(database, cipher, crms)
    lines = [_counts("API keys", current), _counts("kept for undo", older), *unread]
    return "\n".join(lines), not unread


async def _rotate_current(database: Database, cipher: Cipher, crms: Sequence[str]) -> tuple[Counter[Fate], list[str]]:
    """Look again at what somebody changed meanwhile, a few times."""
    fates: dict[tuple[str, str], Fate] = {}
    for _ in range(ROUNDS):
        for row in await database.fetch("stored_secrets", list(crms)):
            place = (row["number"], row["crm"])
            if fates.get(place, Fate.OVERTAKEN) is Fate.OVERTAKEN:
                fates[place] = await _rotated(database, cipher, "replace_secret", *place, row["secret"])
        if Fate.OVERTAKEN not in fates.values():
            break
    unread = sorted(place for place, fate in fates.items() if fate is Fate.UNREADABLE)
    lines = [f"enterprise {number}: api_key of {crm} cannot be decrypted; enter it again" for number, crm in unread]
    return Counter(fates.values()), lines


async def _rotate_older(database: Database, cipher: Cipher, crms: Sequence[str]) -> Counter[Fate]:
    rows = await database.fetch("kept_secrets", list(crms))
    return Counter([await _rotated(database, cipher, "replace_kept_secret", row["id"], row["secret"]) for row in rows])


async def _rotated(database: Database, cipher: Cipher, query: str, *place: object) -> Fate:
    """Replace one secret, the last of `place`, by a single statement that finds it only if it is the same still."""
    secret = str(place[-1])
    if cipher.is_current(secret):
        return Fate.CURRENT
    try:
        renewed = cipher.encrypt(cipher.decrypt(secret))
    except UndecryptableError:
        return Fate.UNREADABLE
    if not await database.fetch(query, *place, renewed):
        return Fate.OVERTAKEN
    return Fate.RENEWED if is_encrypted(secret) else Fate.SEALED


def _counts(name: str, fates: Counter[Fate]) -> str:
    return f"{name}: " + (", ".join(f"{fates[fate]} {fate}" for fate in Fate if fates[fate]) or "none")
