"""Reading RetailCRM's answers: what an HTTP status and a body mean for the request that got them."""

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import orjson

from vochi_integrations.domain import Reason
from vochi_integrations.errors import (
    AccountDeliveryError,
    DeliveryError,
    PermanentDeliveryError,
    RateLimitError,
    TemporaryDeliveryError,
)
from vochi_integrations.keepsake import SHOWN_BYTES
from vochi_integrations.logs import without_secrets

TELEPHONY_OFF = "telephony not enabled"
RATE_LIMITED = frozenset({429, 503})


def read_body(body: bytes) -> object:
    """Return JSON, or the beginning of a text that is none (an nginx page)."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:SHOWN_BYTES].decode("utf-8", "replace")


def failure_of(status: int, answer: object, retry_after: str | None = None) -> DeliveryError | None:
    """Return what is wrong with an answer, None when it says success (facts: retailcrm_api §1).

    A success needs both the status and `success: true`. Later: rate limits, server errors, what is no JSON, and a
    refusal with the status of a success. Never: what was found fault with. The account's administrator has to act on
    a wrong key and on telephony switched off.
    """
    succeeded = isinstance(answer, Mapping) and answer.get("success") is True
    if status < 300 and succeeded:
        return None
    message = _message(status, answer)
    if status in RATE_LIMITED:
        error = RateLimitError(Reason.CRM_UNREACHABLE, f"rate limited: {message}", status=status, answer=answer)
        error.retry_after = _seconds(retry_after)
        return error
    refused = _why_refused(status, answer)
    if refused is not None:
        return AccountDeliveryError(refused, message, status=status, answer=answer)
    if status >= 500 or not isinstance(answer, Mapping):
        return TemporaryDeliveryError(Reason.CRM_UNREACHABLE, message, status=status, answer=answer)
    if status < 300:
        return TemporaryDeliveryError(Reason.CRM_REJECTED, message, status=status, answer=answer)
    return PermanentDeliveryError(Reason.CRM_REJECTED, message, status=status, answer=answer)


def _why_refused(status: int, answer: object) -> Reason | None:
    """Say what is wrong with the account, None when it is this request; a page with 405 means there is none."""
    if status == 403:
        return Reason.BAD_KEY
    if status == 405 and not isinstance(answer, Mapping):
        return Reason.NO_ACCOUNT
    hint = _text(answer.get("errorMsg")).lower() if isinstance(answer, Mapping) else ""
    return Reason.TELEPHONY_OFF if hint.startswith(TELEPHONY_OFF) else None


def _message(status: int, answer: object) -> str:
    """Join errorMsg and errors, which is a list or an object of texts (facts: retailcrm_api §1)."""
    if not isinstance(answer, Mapping):
        return f"HTTP {status} without JSON"
    errors = answer.get("errors")
    if isinstance(errors, Mapping):
        parts = [f"{name}: {_text(text)}" for name, text in errors.items()]
    else:
        parts = [_text(item) for item in errors] if isinstance(errors, list) else []
    texts = [_text(answer.get("errorMsg") or f"HTTP {status}"), *parts]
    return "; ".join(texts)[:SHOWN_BYTES]


def _text(value: object) -> str:
    """Write what should be a text and may be any JSON, nested deeper than Python can write it."""
    return value if isinstance(value, str) else str(without_secrets(value))


def _seconds(value: str | None) -> float | None:
    """Read Retry-After: seconds, or the time of an HTTP date."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = _until(value)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _until(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, OverflowError):
        return math.nan
