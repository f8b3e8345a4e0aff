"""The emulator's rules without a server: what RetailCRM takes, and what it says about the rest."""

from typing import Any

import msgspec
import pytest

from vochi_integrations.emulators.retailcrm.account import KEPT, Account, Request, Window
from vochi_integrations.emulators.retailcrm.crm import Crm
from vochi_integrations.emulators.retailcrm.module import NOT_SVG, PREFIX, TWICE, apply, module_errors
from vochi_integrations.emulators.retailcrm.screens import KEPT as KEPT_POPUPS
from vochi_integrations.emulators.retailcrm.screens import Screens
from vochi_integrations.emulators.retailcrm.switches import Fault, Switches
from vochi_integrations.emulators.retailcrm.validation import (
    BLANK,
    CHOICE,
    EXTRA,
    INVALID,
    NO_TARGET,
    call_errors,
    event_errors,
)

SITES = ("shop",)
ABSENT = object()
EVENT = {"phone": "+375290000001", "type": "in", "codes": ["150"]}
CALL = {
    "date": "2025-09-14 12:00:00",
    "type": "in",
    "phone": "375290000001",
    "result": "answered",
    "externalId": "1757840400.1",
}
MODULE = {
    "code": "vochi-telephony",
    "integrationCode": "vochi-telephony",
    "active": True,
    "name": "Telephony",
    "logo": "https://pbx.example/logo.svg",
    "baseUrl": "https://pbx.example",
}


def changed(entity: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**entity, **changes}.items() if value is not ABSENT}


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({}, {}),
        ({"codes": ABSENT, "userIds": [16]}, {}),
        ({"userIds": [16]}, {}),
        ({"type": "hangup", "hangupStatus": "no answered"}, {}),
        ({"externalPhone": "+375172000000", "callExternalId": "1", "site": "shop", "webAnalyticsData": []}, {}),
        ({"webAnalyticsData": {"campaign": {"name": "a", "code": "b"}, "queryString": ""}}, {}),
        ({"phone": ABSENT}, {"phone": BLANK}),
        ({"phone": ""}, {"phone": BLANK}),
        ({"phone": 375290000001}, {"phone": INVALID}),
        ({"phone": "0001363"}, {}),
        ({"phone": "<unknown>"}, {"phone": INVALID}),
        ({"phone": "+375 29 000"}, {"phone": INVALID}),
        ({"type": ABSENT}, {"type": BLANK}),
        ({"type": "missed"}, {"type": CHOICE}),
        ({"type": []}, {"type": CHOICE}),
        ({"type": "hangup"}, {"hangupStatus": BLANK}),
        ({"type": "hangup", "hangupStatus": "no answer"}, {"hangupStatus": CHOICE}),
        ({"codes": ABSENT}, {"codes": NO_TARGET}),
        ({"codes": []}, {"codes": BLANK}),
        ({"codes": "150"}, {"codes": INVALID}),
        ({"codes": [150]}, {"codes": INVALID}),
        ({"userIds": ["16"]}, {"userIds": INVALID}),
        ({"userIds": [True]}, {"userIds": INVALID}),
        ({"callExternalId": "x" * 256}, {"callExternalId": INVALID}),
        ({"site": "elsewhere"}, {"site": CHOICE}),
        ({"webAnalyticsData": {"other": 1}}, {"webAnalyticsData": EXTRA}),
        ({"clientId": "0367"}, {"clientId": EXTRA}),
    ],
)
def test_a_call_event_is_checked_field_by_field(changes: dict[str, Any], errors: dict[str, str]) -> None:
    assert event_errors(changed(EVENT, **changes), SITES) == errors


def test_a_key_of_several_shops_makes_the_site_of_an_event_required() -> None:
    assert event_errors(EVENT, ("shop", "outlet")) == {"site": BLANK}
    assert event_errors({**EVENT, "site": "outlet"}, ("shop", "outlet")) == {}


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({}, {}),
        ({"duration": 0, "durationWaiting": 12, "userId": 16, "code": "150"}, {}),
        ({"recordUrl": "http://pbx.example/1.mp3", "externalPhone": "+375172000000", "source": {"medium": "cpc"}}, {}),
        ({"result": "no answer"}, {}),
        ({"result": "missed"}, {"result": CHOICE}),
        ({"result": "no answered"}, {"result": CHOICE}),
        ({"result": "cancel"}, {"result": CHOICE}),
        ({"result": ABSENT}, {"result": BLANK}),
        ({"type": "hangup"}, {"type": CHOICE}),
        ({"date": ABSENT}, {"date": BLANK}),
        ({"date": "2025-09-14T12:00:00"}, {"date": INVALID}),
        ({"date": "2025-09-14 12:00:00+03:00"}, {"date": INVALID}),
        ({"date": "2025-02-30 12:00:00"}, {"date": INVALID}),
        ({"date": 1757840400}, {"date": INVALID}),
        ({"externalId": ABSENT}, {"externalId": BLANK}),
        ({"externalId": 1757840400.1}, {"externalId": INVALID}),
        ({"duration": -1}, {"duration": INVALID}),
        ({"duration": 12.5}, {"duration": INVALID}),
        ({"durationWaiting": "12"}, {"durationWaiting": INVALID}),
        ({"userId": "16"}, {"userId": INVALID}),
        ({"code": 150}, {"code": INVALID}),
        ({"code": " "}, {"code": BLANK}),
        ({"recordUrl": "/records/1.mp3"}, {"recordUrl": INVALID}),
        ({"recordUrl": "ftp://pbx.example/1.mp3"}, {"recordUrl": INVALID}),
        ({"externalPhone": "SIP-trunk"}, {"externalPhone": INVALID}),
        ({"source": {"colour": "red"}}, {"source": EXTRA}),
        ({"site": "elsewhere"}, {"site": CHOICE}),
        ({"phone": ABSENT, "wait": 1}, {"phone": BLANK, "wait": EXTRA}),
    ],
)
def test_an_uploaded_call_is_checked_field_by_field(changes: dict[str, Any], errors: dict[str, str]) -> None:
    assert call_errors(changed(CALL, **changes), SITES) == errors


@pytest.mark.parametrize("entity", [None, [], "text", 7])
def test_what_is_no_object_is_refused_whole(entity: Any) -> None:
    assert event_errors(entity, SITES)
    assert call_errors(entity, SITES)
    assert module_errors(entity, "vochi-telephony")


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({}, {}),
        ({"integrationCode": ABSENT}, {}),
        ({"integrationCode": "vochi"}, {}),
        ({"actions": {"activity": "/retailcrm/activity"}, "availableCountries": ["BY"], "clientId": "c"}, {}),
        ({"integrationCode": "other"}, {"code": PREFIX}),
        ({"code": "other"}, {"code": INVALID}),
        ({"name": ABSENT}, {"name": BLANK}),
        ({"logo": ABSENT}, {"logo": BLANK}),
        ({"logo": "https://pbx.example/logo.jpg"}, {"logo": NOT_SVG}),
        ({"baseUrl": ""}, {"baseUrl": BLANK}),
        ({"baseUrl": ABSENT}, {"baseUrl": BLANK}),
        ({"accountUrl": "/admin"}, {"accountUrl": INVALID}),
        ({"active": 1}, {"active": INVALID}),
        ({"actions": []}, {"actions": CHOICE}),
        ({"actions": {"uninstall": "/x"}}, {"actions": CHOICE}),
        ({"actions": {"activity": "https://pbx.example/x"}}, {"actions": INVALID}),
        ({"availableCountries": "BY"}, {"availableCountries": INVALID}),
        ({"additionalCodes": []}, {"additionalCodes": EXTRA}),
        ({"allowEdit": False}, {"allowEdit": EXTRA}),
        ({"integrations": []}, {"integrations": INVALID}),
        ({"integrations": {"delivery": {}}}, {"integrations.delivery": EXTRA}),
        ({"integrations": {"telephony": []}}, {"integrations.telephony": INVALID}),
    ],
)
def test_a_module_is_checked_field_by_field(changes: dict[str, Any], errors: dict[str, str]) -> None:
    assert module_errors(changed(MODULE, **changes), "vochi-telephony") == errors


@pytest.mark.parametrize(
    ("telephony", "errors"),
    [
        ({"additionalCodes": [{"userId": 16, "code": "150"}, {"userId": "18", "code": "151"}]}, {}),
        ({"additionalCodes": []}, {}),
        ({"additionalCodes": {"16": "150"}}, {"additionalCodes": INVALID}),
        ({"additionalCodes": [{"userId": "Anna", "code": "150"}]}, {"additionalCodes": INVALID}),
        ({"additionalCodes": [{"userId": 16}]}, {"additionalCodes": BLANK}),
        ({"additionalCodes": [{"userId": 16, "code": 150}]}, {"additionalCodes": INVALID}),
        (
            {"additionalCodes": [{"userId": 16, "code": "150"}, {"userId": "16", "code": "151"}]},
            {"additionalCodes": TWICE},
        ),
        (
            {"additionalCodes": [{"userId": 16, "code": "150"}, {"userId": 18, "code": "150"}]},
            {"additionalCodes": TWICE},
        ),
        ({"externalPhones": [{"siteCode": "shop", "externalPhone": "+375172000000"}]}, {}),
        ({"externalPhones": ["+375172000000"]}, {"externalPhones": INVALID}),
        ({"makeCallUrl": "/make-call"}, {"makeCallUrl": INVALID}),
        ({"inputEventSupported": "true"}, {"inputEventSupported": INVALID}),
        ({"inputEvents": True}, {"inputEvents": EXTRA}),
    ],
)
def test_the_telephony_of_a_module_is_checked_field_by_field(telephony: Any, errors: dict[str, str]) -> None:
    expected = {f"integrations.telephony.{name}": why for name, why in errors.items()}
    assert module_errors({**MODULE, "integrations": {"telephony": telephony}}, "vochi-telephony") == expected


def test_users_and_shops_the_account_does_not_know_are_reported_and_dropped() -> None:
    telephony = {
        "additionalCodes": [{"userId": "16", "code": "150"}, {"userId": 99, "code": "199"}],
        "externalPhones": [{"siteCode": "elsewhere", "externalPhone": "+375172000000"}],
    }
    edit = apply({**MODULE, "integrations": {"telephony": telephony}}, {16}, SITES)
    assert edit.info == {"notExistUsersIds": [99], "notExistSiteCodes": ["elsewhere"]}
    stored = edit.module["integrations"]["telephony"]
    assert stored == {"additionalCodes": [{"userId": 16, "code": "150"}], "externalPhones": []}


@pytest.mark.parametrize(
    "changes", [{"fault": "earthquake"}, {"latency_ms": -1}, {"rate_limit": 1}, {"one_bad_call": "500"}, {"speed": 1}]
)
def test_a_switch_that_does_not_exist_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        Switches().changed(changes)


def test_a_flapping_crm_fails_first_then_comes_and_goes() -> None:
    flapping = Switches(flap_seconds=5)
    assert [flapping.fault_after(seconds) for seconds in (0, 4.9, 5, 9.9, 10)] == [
        Fault.OUTAGE,
        Fault.OUTAGE,
        None,
        None,
        Fault.OUTAGE,
    ]
    assert flapping.changed({"fault": Fault.ERROR_500}).fault_after(0) is Fault.ERROR_500


def test_no_second_holds_more_requests_than_the_limit() -> None:
    window = Window(2)
    assert [window.admits(tick) for tick in (0.0, 0.5, 0.9, 1.0, 1.1, 1.5)] == [True, True, False, True, False, True]


def test_the_memory_of_requests_is_bounded_and_the_counts_stay_exact() -> None:
    crm = Crm([Account()])
    demo = crm.named["demo"]
    for tick in range(KEPT + 5):
        crm.keep(Request(0, tick, "demo", "GET", "/api/api-versions"), demo)
    crm.keep(Request(0, 0, None, "GET", "/"), crm.stranger)
    assert len(crm.requests) == len(demo.requests) + 1 == KEPT
    assert demo.requests[0].tick == 6
    assert demo.totals.requests == KEPT + 5


def test_popups_nobody_closes_are_forgotten_oldest_first() -> None:
    screens = Screens()
    for number in range(KEPT_POPUPS + 1):
        screens.show({**EVENT, "callExternalId": str(number)}, [16], at=number)
    assert len(screens.open) == KEPT_POPUPS
    assert (16, "0") not in screens.open


def test_two_accounts_never_share_a_key_or_a_name() -> None:
    with pytest.raises(ValueError, match="share"):
        Crm([Account("one", "demo"), Account("two", "demo")])
    assert "demo-key" not in repr(Account())
