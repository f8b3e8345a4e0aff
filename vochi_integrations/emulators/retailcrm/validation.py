"""What the CRM accepts as a call event and as a call: pure functions from JSON to complaints, field by field."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from itertools import chain
from typing import Any

Check = Callable[[Any], str | None]
Errors = dict[str, str]

BLANK = "This value should not be blank"
CHOICE = "The value you selected is not a valid choice"
EXTRA = "This form should not contain extra fields"
INVALID = "This value is not valid"
NO_TARGET = "Either codes or userIds should be specified"

EVENT_TYPES = ("in", "out", "hangup")
HANGUP_STATUSES = ("answered", "busy", "cancel", "failed", "no answered")
CALL_TYPES = ("in", "out")
RESULTS = ("answered", "busy", "failed", "no answer", "not allowed", "unknown")

# How the CRM normalises a phone is not documented; digits with an optional plus is all that its clients send.
PHONE = re.compile(r"\+?[0-9]{3,20}")
DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
LONGEST_URL = 2_000
URL = re.compile(r"https?://[^\s/?#]+[^\s]*")


def text(value: Any) -> str | None:
    if not isinstance(value, str) or len(value) > 255:
        return INVALID
    return None if value.strip() else BLANK


def matching(pattern: re.Pattern[str]) -> Check:
    def check(value: Any) -> str | None:
        return text(value) or (None if pattern.fullmatch(value) else INVALID)

    return check


def choice(allowed: Collection[str]) -> Check:
    def check(value: Any) -> str | None:
        return None if isinstance(value, str) and value in allowed else CHOICE

    return check


def flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else INVALID


def whole(value: Any) -> str | None:
    return None if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else INVALID


def moment(value: Any) -> str | None:
    """A date-time `Y-m-d H:i:s` that exists."""
    if complaint := matching(DATE)(value):
        return complaint
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return INVALID
    return None


def some(check: Check) -> Check:
    """A list that is not empty, each element passing `check`."""

    def check_all(value: Any) -> str | None:
        if not isinstance(value, list):
            return INVALID
        return next(filter(None, map(check, value)), None) if value else BLANK

    return check_all


def object_of(rules: Mapping[str, Check]) -> Check:
    def check(value: Any) -> str | None:
        # The official PHP client of v5 sends an empty object as `[]`.
        return None if value == [] else next(iter(complaints(value, rules).values()), None)

    return check


def anything(_value: Any) -> None:
    return None


phone = matching(PHONE)


def url(value: Any) -> str | None:
    """An address; a live account took one of 268 characters, so the length of a text is not its limit."""
    if not isinstance(value, str) or len(value) > LONGEST_URL:
        return INVALID
    return None if URL.fullmatch(value) else INVALID if value.strip() else BLANK


SOURCE = object_of(dict.fromkeys(("source", "medium", "campaign", "keyword", "content"), text))
ANALYTICS = object_of({"campaign": object_of({"name": text, "code": text}), "queryString": anything})

EVENT: Mapping[str, Check] = {
    "phone": phone,
    "type": choice(EVENT_TYPES),
    "codes": some(text),
    "userIds": some(whole),
    "hangupStatus": choice(HANGUP_STATUSES),
    "externalPhone": phone,
    "callExternalId": text,
    "site": text,
    "webAnalyticsData": ANALYTICS,
}
CALL: Mapping[str, Check] = {
    "date": moment,
    "type": choice(CALL_TYPES),
    "phone": phone,
    "code": text,
    "userId": whole,
    "result": choice(RESULTS),
    "duration": whole,
    "durationWaiting": whole,
    "externalId": text,
    "recordUrl": url,
    "externalPhone": phone,
    "source": SOURCE,
    "site": text,
    "clientId": text,
}


def complaints(entity: Any, rules: Mapping[str, Check], required: Iterable[str] = ()) -> Errors:
    """Each field's first complaint; a missing field is blank, an unknown one is extra."""
    if not isinstance(entity, dict):
        return {"": INVALID}
    found = ((name, rules[name](value) if name in rules else EXTRA) for name, value in entity.items())
    absent = ((name, BLANK) for name in required if name not in entity)
    return {name: complaint for name, complaint in chain(found, absent) if complaint}


def event_errors(event: Any, sites: Collection[str]) -> Errors:
    """What is wrong with a call event (facts: retailcrm_api §2)."""
    required = ["phone", "type"]
    if not isinstance(event, dict):
        return {"event": INVALID}
    if event.get("type") == "hangup":
        required.append("hangupStatus")
    if len(sites) > 1:
        required.append("site")
    targets = {} if "codes" in event or "userIds" in event else {"codes": NO_TARGET}
    return targets | site_errors(event, sites) | complaints(event, EVENT, required)


def call_errors(call: Any, sites: Collection[str]) -> Errors:
    """What is wrong with one uploaded call (facts: retailcrm_api §3)."""
    if not isinstance(call, dict):
        return {"call": INVALID}
    return site_errors(call, sites) | complaints(call, CALL, ("date", "type", "phone", "result", "externalId"))


def site_errors(entity: Mapping[str, Any], sites: Collection[str]) -> Errors:
    return {"site": CHOICE} if "site" in entity and entity["site"] not in sites else {}
