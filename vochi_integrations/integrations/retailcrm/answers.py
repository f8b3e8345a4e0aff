"""Reading RetailCRM's answers: what an HTTP status and a body mean for the request that got them. Pure."""

from collections.abc import Mapping

import orjson

from vochi_integrations.domain import Reason
from vochi_integrations.errors import DeliveryError, PermanentDeliveryError, TemporaryDeliveryError

SHOWN_BYTES = 2_000
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
    refusal with status 200. Never: any other refusal.
    """
    succeeded = isinstance(answer, Mapping) and answer.get("success") is True
    if status < 300 and succeeded:
        return None
    message = _message(status, answer)
    if status in RATE_LIMITED:
        error = TemporaryDeliveryError(Reason.CRM_UNREACHABLE, f"rate limited: {message}", status=status, answer=answer)
        error.retry_after = _seconds(retry_after)
        return error
    if status >= 500 or not isinstance(answer, Mapping):
        return TemporaryDeliveryError(Reason.CRM_UNREACHABLE, message, status=status, answer=answer)
    return PermanentDeliveryError(Reason.CRM_REJECTED, message, status=status, answer=answer)


def _message(status: int, answer: object) -> str:
    """Join errorMsg and errors, which is a list or an object of texts (facts: retailcrm_api §1)."""
    if not isinstance(answer, Mapping):
        return f"HTTP {status} without JSON"
    errors = answer.get("errors")
    if isinstance(errors, Mapping):
        parts = [f"{name}: {text}" for name, text in errors.items()]
    else:
        parts = [str(item) for item in errors] if isinstance(errors, list) else []
    texts = [str(answer.get("errorMsg") or f"HTTP {status}"), *parts]
    return "; ".join(texts)[:SHOWN_BYTES]


def _seconds(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value else None
    except ValueError:
        return None
