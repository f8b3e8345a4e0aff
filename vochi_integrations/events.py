"""A host's JSON becomes a `CallEvent`: liberal in what it accepts (facts: asterisk_hosts §1)."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from vochi_integrations.domain import CallEvent, Directory, Number, Origin, Party
from vochi_integrations.errors import BadRequestError
from vochi_integrations.phones import classify, classify_list

KINDS = frozenset(
    {"start", "dial", "bridge", "hangup", "bridge_create", "bridge_leave", "bridge_destroy", "new_callerid"}
)
OF_A_BRIDGE = frozenset({"bridge_create", "bridge_destroy"})
OF_A_CALL = frozenset({"start", "dial", "hangup"})
UNIQUE_ID_SIZE = 64
UNIQUE_ID_EPOCH = re.compile(r"(?:.*-)?(\d{9,10})(?:\.\d+)?", re.ASCII)
QUARTER = 900
OFFSET_ERROR = 300
YEARS = range(1971, 2200)

Body = dict[str, Any]


def read_json(data: bytes) -> Body:
    """Parse a request body; a lone surrogate, which Python's json writes, is read as U+FFFD.

    Raises BadRequestError when it is not JSON or not an object.
    """
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        body = _read_surrogates(data)
    if not isinstance(body, dict):
        raise BadRequestError("the body must be a JSON object")
    return body


def _read_surrogates(data: bytes) -> object:
    try:
        text = json.dumps(json.loads(data), ensure_ascii=False)
        return orjson.loads(text.encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise BadRequestError("the body is not JSON in UTF-8") from None


def decoded(value: object) -> object:
    """Return JSON as a value: an old writer stored some of it as a string (contract, Set-up)."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None


def read_token(value: object) -> str:
    """Return a token as text; what is neither a string nor a number matches nobody."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).strip()


def read_unique_id(kind: str, body: Mapping[str, Any]) -> str:
    """Return the id an event is kept under: `UniqueId`, for a bridge's own events `BridgeUniqueid`.

    Raises BadRequestError when it is missing or unusable.
    """
    value = body.get("UniqueId")
    name = "UniqueId"
    if kind in OF_A_BRIDGE and not value:
        value, name = body.get("BridgeUniqueid"), "BridgeUniqueid"
    return check_unique_id(value, name)


def check_unique_id(value: object, name: str) -> str:
    """Return `value` as text. Raises BadRequestError when it cannot name a call."""
    if value is None or value == "":
        raise BadRequestError(f"{name} is missing")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRequestError(f"{name} must be a string or a number")
    text = str(value).strip()
    if not text:
        raise BadRequestError(f"{name} is missing")
    if len(text) > UNIQUE_ID_SIZE or "\x00" in text:
        raise BadRequestError(f"{name} must have at most {UNIQUE_ID_SIZE} characters and no NUL")
    return text


def read_event(
    kind: str,
    unique_id: str,
    body: Body,
    directory: Directory,
    *,
    received_at: float,
    origin: Origin = "live",
    record_url: str = "",
) -> CallEvent:
    """Coerce and classify one event; nothing in `body` but its Token is lost.

    `received_at` is UTC epoch seconds. `record_url` overrides the body's own.
    """
    kept = body.copy()
    kept.pop("Token", None)
    kept.pop("token", None)
    raw = canonical(kept)
    return parse_event(
        kind,
        unique_id,
        body,
        directory,
        raw=raw,
        digest=hashlib.blake2b(b"%b\0%b\0%b" % (kind.encode(), unique_id.encode(), raw), digest_size=16).digest(),
        received_at=received_at,
        origin=origin,
        record_url=(record_url or _string(body, "record_url")).replace("\x00", ""),
    )


def parse_event(kind: str, unique_id: str, body: Body, directory: Directory, **known: Any) -> CallEvent:
    """Build the `CallEvent` of a body that is `known` already: raw, digest, received_at, origin, record_url."""
    if kind in OF_A_CALL:
        known |= _call_fields(kind, unique_id, body, directory)
    elif kind in ("bridge", "bridge_leave"):
        known["caller"] = classify(body.get("CallerIDNum"), directory)
        known["connected"] = classify(body.get("ConnectedLineNum"), directory)
        known["bridge_empty"] = kind == "bridge_leave" and _integer(body.get("BridgeNumChannels")) == 0
    elif kind == "timeout":
        known |= {"began_at": unique_id_time(unique_id), "idle_seconds": float(body["idle_seconds"])}
    return CallEvent(kind=kind, unique_id=unique_id, bridge_id=_string(body, "BridgeUniqueid"), **known)


def stored_event(row: Any, directory: Directory) -> CallEvent:
    """Read back a row of `call_events`, as the queries of sql/queries/events.sql and redirect.sql bring it."""
    return parse_event(
        row["event_type"],
        row["unique_id"],
        row["raw_data"],
        directory,
        raw=b"",
        digest=row["event_hash"],
        received_at=row["received_at"],
        origin=row["data_source"],
        record_url=row["record_url"] or "",
    )


def _call_fields(kind: str, unique_id: str, body: Body, directory: Directory) -> dict[str, Any]:
    trunk = _string(body, "Trunk")
    phone = classify(_phone(body, directory), directory, trunk)
    fields: dict[str, Any] = {
        "call_type": _call_type(kind, body, directory),
        "phone": phone,
        "extensions": classify_list(_extensions(body), directory, trunk),
        "trunk": trunk,
        "began_at": unique_id_time(unique_id),
    }
    if kind == "hangup":
        fields["call_status"] = _integer(body.get("CallStatus"))
        fields["started_at"], fields["ended_at"] = _times(fields["began_at"], body, directory)
    return fields


def _phone(body: Body, directory: Directory) -> object:
    """Return `Phone`; the oldest senders have only the two caller-ID fields (user_spec_ru, RetailCRM сервис)."""
    if "Phone" in body:
        return body["Phone"]
    names = ("CallerIDNum", "ConnectedLineNum")
    outside = (body[name] for name in names if name in body and is_outside(classify(body[name], directory)))
    return next(outside, None)


def _extensions(body: Body) -> object:
    for name in ("Extensions", "Extension"):
        if name in body:
            return body[name]
    return [body.get("CallerIDNum"), body.get("ConnectedLineNum")]


def _call_type(kind: str, body: Body, directory: Directory) -> int | None:
    value = body.get("CallType")
    if value is not None:
        return _integer(value)
    if kind == "start" or body.get("ExtPhone"):
        return 0
    caller = classify(body.get("CallerIDNum"), directory).party
    return {Party.INTERNAL: 1, Party.CUSTOMER: 0, Party.MOBILE: 0}.get(caller)


def is_outside(number: Number) -> bool:
    """Tell whether a number can be a customer's; a manager's own mobile can (contract, Records)."""
    return number.party is Party.CUSTOMER or number.party is Party.MOBILE


def _integer(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


def _string(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    return value.strip() if isinstance(value, str) else ""


def unique_id_time(unique_id: str) -> float | None:
    """Return the UTC second a channel was created in: the integer part of its UniqueId (design rule 13)."""
    match = UNIQUE_ID_EPOCH.fullmatch(unique_id)
    return float(match[1]) if match else None


def _times(began_at: float | None, body: Body, directory: Directory) -> tuple[float | None, float | None]:
    """Return StartTime and EndTime as UTC: hosts write local time without its offset (design rule 13)."""
    started, ended = _wall_clock(body.get("StartTime")), _wall_clock(body.get("EndTime"))
    known = started if started is not None else ended
    if known is None:
        return None, None
    offset = _offset(began_at, started)
    if offset is None:
        local = datetime.fromtimestamp(known, UTC).replace(tzinfo=directory.zone)
        offset = int((local.utcoffset() or local - local).total_seconds())
    return (
        None if started is None else started - offset,
        None if ended is None else ended - offset,
    )


def _offset(began_at: float | None, started: float | None) -> int | None:
    if began_at is None or started is None:
        return None
    difference = started - began_at
    offset = round(difference / QUARTER) * QUARTER
    return offset if abs(difference - offset) <= OFFSET_ERROR and abs(offset) <= 14 * 3600 else None


def _wall_clock(value: object) -> float | None:
    """Read `2025-09-14 12:00:00` as if it were UTC, in epoch seconds; a year no PBX lives in is no time."""
    if not isinstance(value, str) or not value:
        return None
    try:
        moment = datetime.fromisoformat(value.strip()).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return moment.timestamp() if moment.year in YEARS else None


def canonical(body: object) -> bytes:
    """Write JSON that is equal for equal bodies and that PostgreSQL's jsonb takes: sorted keys, no NUL."""
    try:
        data = _dump(body)
        return _dump(_without_nul(body)) if b"\\u0000" in data else data
    except RecursionError:
        raise BadRequestError("the body is nested too deeply") from None


def _dump(body: object) -> bytes:
    try:
        return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def timeout_event(unique_id: str, idle_seconds: float, directory: Directory, now: float) -> CallEvent:
    """Return our own event that a call has been silent until `now` (UTC epoch seconds)."""
    body = {"idle_seconds": idle_seconds, "at": now}
    return read_event("timeout", unique_id, body, directory, received_at=now, origin="timer")


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value
