"""What went wrong, told by what to do next."""

from collections.abc import Mapping


class VochiError(Exception):
    """The base of every error this package raises on purpose."""


class StartupError(VochiError):
    """The daemon could not start; the message is one line for the operator (exit code 1)."""


class SettingsError(VochiError):
    """A setting is wrong; the message names the key (exit code 2)."""


class BadRequestError(VochiError):
    """The caller sent something unusable; the message says what to change (HTTP 400)."""


class UnknownEnterpriseError(VochiError):
    """There is no enterprise with this number (HTTP 404)."""


class UndecryptableError(VochiError):
    """A stored secret cannot be read with the keys of `secrets.keys`; the message never shows it."""


class JournalError(VochiError):
    """An event could not be made durable, so it must not be acknowledged (HTTP 503)."""


class SpoolError(VochiError):
    """The local spool is full or cannot be written; `reason` is `spool_full` or `spool_unusable`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class DeliveryError(VochiError):
    """An attempt at a CRM failed. `status` is the HTTP status or None when there was no answer.

    `reason` is one of `domain.Reason`, `answer` what the CRM said: its whole JSON, or the beginning of a text. What the
    tables keep of it is bounded (`keepsake.py`).
    """

    def __init__(self, reason: str, message: str, *, status: int | None = None, answer: object = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.answer = answer


class TemporaryDeliveryError(DeliveryError):
    """Worth another attempt later: no answer, a server error."""


class RateLimitError(TemporaryDeliveryError):
    """Too many requests for this account. `retry_after` is the pause in seconds the CRM asked for, or None."""

    retry_after: float | None = None

    @property
    def is_certain(self) -> bool:
        """False for a bare page with 503, which is also what a proxy says whose CRM is down."""
        return self.status == 429 or self.retry_after is not None or isinstance(self.answer, Mapping)


class PermanentDeliveryError(DeliveryError):
    """The same request would fail again: the CRM found fault with it."""


class AccountDeliveryError(DeliveryError):
    """Any request would fail: the CRM refuses the account, and only its administrator can change that.

    `reason` says what is wrong with it.
    """


class PbxError(VochiError):
    """A PBX did not take a command. `reason` is one word (docs/api.md), the message is fit for whoever clicked."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
