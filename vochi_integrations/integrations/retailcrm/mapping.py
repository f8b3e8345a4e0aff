"""Effects become RetailCRM's JSON: `call/event` and `calls/upload` (facts: retailcrm_api §2, §3). Pure."""

import hashlib
from datetime import UTC, datetime
from typing import assert_never

from vochi_integrations.domain import (
    ClosePopup,
    Delivery,
    Direction,
    Effect,
    Enterprise,
    Kind,
    Reason,
    ShowPopup,
    Skip,
    WriteRecord,
)
from vochi_integrations.integrations.retailcrm.config import RetailCrmConfig
from vochi_integrations.phones import e164, transform

NAME = "retailcrm"
KEY_SIZE = 200


def plan(effect: Effect, enterprise: Enterprise, config: RetailCrmConfig) -> list[Delivery]:
    """Return the deliveries an effect causes at this tenant, and the skips with their reason."""
    match effect:
        case ShowPopup():
            return _show(effect, enterprise, config)
        case ClosePopup():
            return _close(effect, enterprise, config)
        case WriteRecord():
            return _write(effect, enterprise, config)
        case Skip():
            return [skip(effect, enterprise, effect.kind, effect.reason, effect.extensions)]
        case _:
            assert_never(effect)


def skip(
    effect: Effect, enterprise: Enterprise, kind: Kind, reason: Reason, extensions: tuple[str, ...] = ()
) -> Delivery:
    """Return the row that says why something was not sent."""
    key = ":".join((reason, ",".join(extensions)))
    payload: dict[str, object] = {"codes": list(extensions)} if extensions else {}
    delivery = _delivery(effect, enterprise, kind, key, payload)
    delivery.status, delivery.reason = "skipped", reason
    return delivery


def _show(effect: ShowPopup, enterprise: Enterprise, config: RetailCrmConfig) -> list[Delivery]:
    if not _is_wanted(effect.direction, config):
        return [skip(effect, enterprise, "popup", Reason.EVENT_OFF, effect.extensions)]
    codes, unmapped = _split(effect.extensions, config)
    found = [skip(effect, enterprise, "popup", Reason.NO_MAPPING, unmapped)] if unmapped else []
    if codes:
        payload = _event(effect, enterprise, config) | {"type": effect.direction, "codes": list(codes)}
        found.append(_delivery(effect, enterprise, "popup", ",".join(codes), payload))
    return found


def _close(effect: ClosePopup, enterprise: Enterprise, config: RetailCrmConfig) -> list[Delivery]:
    codes, _ = _split(effect.extensions, config)
    if not codes or not _is_wanted(effect.direction, config):
        return []
    if not config.events.hangup:
        return [skip(effect, enterprise, "popup_over", Reason.EVENT_OFF, codes)]
    payload = _event(effect, enterprise, config) | {
        "type": "hangup",
        "codes": list(codes),
        "hangupStatus": effect.outcome,
    }
    delivery = _delivery(effect, enterprise, "popup_over", ",".join(codes), payload)
    delivery.reason = effect.reason
    return [delivery]


def _is_wanted(direction: Direction, config: RetailCrmConfig) -> bool:
    """Tell whether the company wants pop-ups of calls in this direction."""
    return config.events.popup_in if direction == "in" else config.events.popup_out


def _write(effect: WriteRecord, enterprise: Enterprise, config: RetailCrmConfig) -> list[Delivery]:
    if not config.events.history:
        return [skip(effect, enterprise, "record", Reason.EVENT_OFF)]
    return [_delivery(effect, enterprise, "record", "", _record(effect, enterprise, config))]


def _split(extensions: tuple[str, ...], config: RetailCrmConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Part the mapped from the unmapped; with an empty map the CRM decides (contract, Pop-ups)."""
    if not config.users:
        return extensions, ()
    mapped = tuple(extension for extension in extensions if extension in config.users)
    return mapped, tuple(extension for extension in extensions if extension not in config.users)


def _event(effect: ShowPopup | ClosePopup, enterprise: Enterprise, config: RetailCrmConfig) -> dict[str, object]:
    event: dict[str, object] = {
        "phone": customer_phone(effect.phone, effect.direction, effect.trunk, enterprise, config),
        "callExternalId": effect.call,
    }
    line = _line(effect.trunk, enterprise, config)
    return event | {"externalPhone": line} if line else event


def _record(effect: WriteRecord, enterprise: Enterprise, config: RetailCrmConfig) -> dict[str, object]:
    phone = customer_phone(effect.phone, effect.direction, effect.trunk, enterprise, config)
    record: dict[str, object] = {
        "date": datetime.fromtimestamp(effect.began_at, UTC).astimezone(config.zone).strftime("%Y-%m-%d %H:%M:%S"),
        "type": effect.direction,
        "phone": phone.removeprefix("+"),
        "result": effect.result,
        "duration": effect.duration,
        "durationWaiting": effect.waiting,
        "externalId": effect.call,
    }
    optional: dict[str, object] = {
        **_responsible(effect, config),
        "externalPhone": _line(effect.trunk, enterprise, config).removeprefix("+"),
        "recordUrl": _link(effect, enterprise, config),
    }
    return record | {key: value for key, value in optional.items() if value}


def _responsible(effect: WriteRecord, config: RetailCrmConfig) -> dict[str, object]:
    """Say whose the record is: who talked, and of a missed call whoever the company has named for that."""
    is_missed = effect.direction == "in" and effect.result != "answered"
    if not is_missed or not (config.missed_extension or config.missed_user):
        return _manager(effect.last if config.record_owner == "last" else effect.first, config)
    extension = config.missed_extension or config.extensions.get(config.missed_user, "")
    user = config.missed_user or config.users.get(config.missed_extension, "")
    return {"code": extension, "userId": _user_id(user)}


def _manager(extension: str, config: RetailCrmConfig) -> dict[str, object]:
    """Name the manager only when mapped: never guess one (design decision 11)."""
    user = config.users.get(extension)
    if user is None:
        return {"code": extension} if not config.users else {}
    return {"code": extension, "userId": _user_id(user)}


def _user_id(user: str) -> int | None:
    return int(user) if user.isascii() and user.isdecimal() else None


def _link(effect: WriteRecord, enterprise: Enterprise, config: RetailCrmConfig) -> str:
    """Return the event's own link to the recording, else the daemon's, "" when the company wants none."""
    template = config.record_url.replace("{enterprise}", enterprise.number).replace("{unique_id}", effect.call)
    return (effect.record_url or template) if config.record_link else ""


def customer_phone(
    phone: str, direction: Direction, trunk: str, enterprise: Enterprise, config: RetailCrmConfig
) -> str:
    """Write a customer's number in E.164; a line's own rule applies to incoming calls only (design rule 14)."""
    rule = enterprise.directory.transforms.get(trunk) if direction == "in" else None
    return e164(transform(phone, rule) if rule else phone, config.region)


def _line(trunk: str, enterprise: Enterprise, config: RetailCrmConfig) -> str:
    number = "".join(char for char in enterprise.directory.lines.get(trunk, "") if char.isdigit() or char == "+")
    return e164(number, config.region) if number else ""


def _short(key: str) -> str:
    """Write a long key by its digest: an index has no room for a thousand extensions."""
    return key if len(key) <= KEY_SIZE else hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def _delivery(
    effect: Effect, enterprise: Enterprise, kind: Kind, dedupe_key: str, payload: dict[str, object]
) -> Delivery:
    return Delivery(
        enterprise=enterprise.number,
        integration=NAME,
        call=effect.call,
        kind=kind,
        dedupe_key=_short(dedupe_key),
        cls="history" if kind == "record" else "realtime",
        payload=payload,
        event_at=effect.at,
    )
