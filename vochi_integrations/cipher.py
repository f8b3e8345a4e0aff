"""Secrets at rest: Fernet with the keys of `secrets.keys`, stored as `fernet:…` (design decision 12)."""

from collections.abc import Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from vochi_integrations.errors import SettingsError, UndecryptableError
from vochi_integrations.settings import Secret

PREFIX = "fernet:"
KEPT_SECRETS = 20_000


class Cipher:
    """Encrypts with the first key, decrypts with all of them; without keys secrets are stored as they are.

    Raises SettingsError naming `secrets.keys` when one of them is no Fernet key: 32 bytes in URL-safe base64.
    """

    def __init__(self, keys: Sequence[Secret] = ()) -> None:
        fernets = [_fernet(place, key) for place, key in enumerate(keys, 1)]
        self._first = fernets[0] if fernets else None
        self._all = MultiFernet(fernets) if fernets else None
        self._opened = lru_cache(KEPT_SECRETS)(self._open)

    def __bool__(self) -> bool:
        return self._first is not None

    def encrypt(self, text: str) -> str:
        """Return what is stored for a secret: `fernet:…`, or the secret itself when there are no keys."""
        return PREFIX + self._first.encrypt(text.encode()).decode() if self._first is not None else text

    def decrypt(self, stored: str) -> str:
        """Return the secret that is stored, plain or encrypted. Raises UndecryptableError."""
        return self._opened(stored) if is_encrypted(stored) else stored

    def is_current(self, stored: str) -> bool:
        """Tell whether a stored secret is encrypted with the first key."""
        if self._first is None or not is_encrypted(stored):
            return False
        try:
            self._first.decrypt(stored.removeprefix(PREFIX))
        except (InvalidToken, ValueError):
            return False
        return True

    def _open(self, stored: str) -> str:
        if self._all is None:
            raise UndecryptableError("it is encrypted, and secrets.keys is empty")
        try:
            return self._all.decrypt(stored.removeprefix(PREFIX)).decode()
        except (InvalidToken, ValueError):
            raise UndecryptableError("none of secrets.keys decrypts it") from None


def is_encrypted(stored: str) -> bool:
    return stored.startswith(PREFIX)


def _fernet(place: int, key: Secret) -> Fernet:
    try:
        return Fernet(key.reveal())
    except ValueError:
        raise SettingsError(f"secrets.keys: key {place} is not a Fernet key (32 bytes in URL-safe base64)") from None
