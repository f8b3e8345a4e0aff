"""Did the CRM get exactly what each call was to bring it?"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from vochi_integrations.demo.host import Played
from vochi_integrations.demo.sequences import ExpectedPopup, ExpectedRecord
from vochi_integrations.emulators.retailcrm import Account, Event


class Verdict(Struct):
    """What came of one call: pop-ups seen, their latencies in milliseconds, what differs from the expectation."""

    name: str
    popups: int
    records: int
    latencies: list[float]
    differences: list[str]


def ids_of(played: Played) -> set[str]:
    return {body["UniqueId"] for _, _, body in played.sequence.events if body.get("UniqueId")}


def verdict(played: Played, account: Account) -> Verdict:
    """Compare what the account received about a call, and about its legs, with what was expected."""
    ids, expect = ids_of(played), played.sequence.expect
    events = [item for item in account.events if item.event.get("callExternalId") in ids]
    shown = [item for item in events if item.event["type"] != "hangup"]
    calls = [call for call in account.calls.values() if call.call["externalId"] in ids]
    popups, records = [popup(item.event) for item in shown], [record(call.call) for call in calls]
    found = {
        f"pop-ups {popups} instead of {expect.popups}": popups != expect.popups,
        f"records {records} instead of {expect.record}": records != ([expect.record] if expect.record else []),
        f"cards left open at {(left := left_open(events))}": bool(left),
        "a record was uploaded twice": any(call.uploads > 1 for call in calls),
    }
    differences = [text for text, differs in found.items() if differs]
    name = f"{played.sequence.id} {played.sequence.name}"
    return Verdict(name, len(shown), len(records), latencies(played, shown), differences)


def left_open(events: Iterable[Event]) -> list[str]:
    """Return the extensions whose card was shown and not closed."""
    open_codes: set[str] = set()
    for item in events:
        codes = item.event["codes"]
        open_codes = open_codes.difference(codes) if item.event["type"] == "hangup" else open_codes.union(codes)
    return sorted(open_codes)


def latencies(played: Played, shown: Iterable[Event]) -> list[float]:
    """Return milliseconds from each dial that brought a pop-up to that pop-up."""
    dialled = {unique_id: iter(times) for unique_id, times in played.dialled.items()}
    sent = ((item.tick, next(dialled.get(item.event["callExternalId"], iter(())), None)) for item in shown)
    return [(tick - at) * 1000 for tick, at in sent if at is not None]


def popup(event: Mapping[str, Any]) -> ExpectedPopup:
    return ExpectedPopup(event["callExternalId"], event["type"], event["phone"], event["codes"])


def record(call: Mapping[str, Any]) -> ExpectedRecord:
    answered = call["result"] == "answered"
    return ExpectedRecord(call["externalId"], call["type"], call["phone"], answered, call.get("code"))
