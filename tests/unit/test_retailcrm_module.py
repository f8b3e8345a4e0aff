"""Our module in RetailCRM, what its failures mean to a person, and how its odd answers are read."""

from typing import Any

import pytest

from vochi_integrations.domain import Reason
from vochi_integrations.errors import DeliveryError
from vochi_integrations.integrations.base import Registration
from vochi_integrations.integrations.retailcrm.answers import failure_of
from vochi_integrations.integrations.retailcrm.extensions import read_codes, write_codes
from vochi_integrations.integrations.retailcrm.registration import (
    for_the_journal,
    registered,
    switched_off,
    with_extensions,
    without_actions,
)
from vochi_integrations.integrations.retailcrm.words import explain
from vochi_integrations.settings import Secret

URL = "https://bot.example.com"
CODES = [{"userId": 16, "code": "150"}, {"userId": 18, "code": "151"}]
THEIRS: dict[str, Any] = {
    "code": "vochi-telephony",
    "integrationCode": "vochi-telephony",
    "active": True,
    "freeze": False,
    "native": False,
    "name": "Наша телефония",
    "logo": "https://bot.example.com/logo.svg",
    "clientId": "proof",
    "baseUrl": "https://old.example.com",
    "actions": [],
    "availableCountries": ["BY"],
    "accountUrl": "https://old.example.com/?token=abc",
    "integrations": {
        "telephony": {
            "makeCallUrl": "https://old.example.com/call",
            "allowEdit": False,
            "inputEventSupported": True,
            "additionalCodes": CODES,
            "externalPhones": [{"siteCode": "shop", "externalPhone": "+375172000001"}],
        }
    },
}


def wanted(**changes: Any) -> Registration:
    return Registration(enabled=True, client_id=Secret("new"), account_url=Secret(f"{URL}/?token=new"), **changes)


class TestCodes:
    @pytest.mark.parametrize(
        "module",
        [
            {"integrations": {"telephony": {"additionalCodes": CODES}}},
            {"additionalCodes": [{"userId": "16", "code": "150"}, {"userId": "18", "code": 151}], "integrations": []},
            {"additionalCodes": [], "integrations": {"telephony": {"additionalCodes": [*CODES, 5, {"userId": 19}]}}},
            {"additionalCodes": [*CODES, {"userId": 20, "code": "150"}]},
        ],
        ids=["nested", "at the root", "empty root, odd rows", "one code twice"],
    )
    def test_they_are_read_wherever_they_are(self, module: dict[str, Any]) -> None:
        assert read_codes(module) == {"16": "150", "18": "151"}

    @pytest.mark.parametrize("module", [{}, {"integrations": []}, {"integrations": {"telephony": None}}], ids=str)
    def test_no_codes(self, module: dict[str, Any]) -> None:
        assert read_codes(module) == {}

    def test_only_ids_of_users_are_written(self) -> None:
        assert write_codes({"16": "150", "x": "151", "": "152"}) == [{"userId": 16, "code": "150"}]


class TestModule:
    def test_a_push_changes_the_codes_and_nothing_else(self) -> None:
        pushed = with_extensions(THEIRS, {"18": None, "19": "152"}, URL)
        telephony = pushed["integrations"]["telephony"]
        assert telephony.pop("additionalCodes") == [{"userId": 16, "code": "150"}, {"userId": 19, "code": "152"}]
        same = {key: value for key, value in THEIRS.items() if key in pushed and key != "integrations"}
        assert {key: value for key, value in pushed.items() if key != "integrations"} == same
        assert telephony.items() <= THEIRS["integrations"]["telephony"].items()
        assert "actions" not in pushed, "PHP's empty object is a list, which the CRM does not take back"
        assert {"freeze", "native"}.isdisjoint(pushed)

    def test_switching_off_keeps_the_codes(self) -> None:
        off = switched_off(THEIRS, URL)
        assert off["active"] is False
        assert off["integrations"]["telephony"]["additionalCodes"] == CODES

    def test_a_registration_replaces_what_is_ours_and_keeps_what_is_not(self) -> None:
        module = registered(THEIRS, wanted(extensions={"16": "153"}), URL)
        assert (module["baseUrl"], module["clientId"], module["name"]) == (URL, "new", "Vochi-CRM")
        assert module["availableCountries"] == ["BY"]
        telephony = module["integrations"]["telephony"]
        assert telephony["additionalCodes"] == [{"userId": 18, "code": "151"}, {"userId": 16, "code": "153"}]
        assert telephony["externalPhones"] == THEIRS["integrations"]["telephony"]["externalPhones"]

    @pytest.mark.parametrize(
        ("lines", "sites", "phones"),
        [
            (["+375172000001"], ["shop"], [{"siteCode": "shop", "externalPhone": "+375172000001"}]),
            (["+375172000001", "+375172000002"], ["shop"], []),
            (["+375172000001"], ["shop", "second"], []),
            ([], ["shop"], []),
        ],
        ids=["one and one", "which line", "which shop", "no line"],
    )
    def test_a_line_is_told_only_when_it_is_clear_whose(
        self, lines: list[str], sites: list[str], phones: list[Any]
    ) -> None:
        module = registered({}, wanted(lines=lines), URL, sites)
        assert module["integrations"]["telephony"]["externalPhones"] == phones

    def test_the_journal_has_no_proofs(self) -> None:
        text = str(for_the_journal(registered(THEIRS, wanted(), URL)))
        assert "token=new" not in text
        assert "'new'" not in text

    def test_actions_can_be_left_out_when_they_are_what_is_refused(self) -> None:
        module = registered({}, wanted(), URL)
        assert "actions" not in (without_actions(module, "Errors; actions: not a valid choice") or module)
        assert without_actions(module, "Errors; logo: Logo image must be svg") is None


ANSWERS: dict[str, tuple[int, object]] = {
    "key": (403, {"success": False, "errorMsg": 'Wrong "apiKey" value.'}),
    "rights": (403, {"success": False, "errorMsg": "Access denied."}),
    "no account": (404, {"success": False, "errorMsg": "Account does not exist."}),
    "no account, nginx": (405, "<html>"),
    "another server": (404, {"success": False, "errorMsg": "API method not found"}),
    "limit": (503, "<html>"),
    "limit, json": (429, {"success": False}),
    "server error": (500, {"success": False}),
    "not json": (200, "<html>"),
    "telephony off": (400, {"success": False, "errorMsg": "Telephony not enabled"}),
    "money": (400, {"success": False, "errorMsg": "Failed to activate module", "errors": ["insufficient funds"]}),
    "logo": (
        400,
        {"success": False, "errorMsg": "Errors in the entity format", "errors": {"logo": "Logo image must be svg"}},
    ),
    "base url": (
        400,
        {"success": False, "errorMsg": "Errors in the entity format", "errors": {"baseUrl": "should not be blank"}},
    ),
    "anything": (400, {"success": False, "errorMsg": "Something new"}),
}


def failure(name: str) -> DeliveryError:
    error = failure_of(*ANSWERS[name])
    assert error is not None
    return error


@pytest.mark.parametrize("name", ANSWERS)
def test_every_failure_has_plain_words_and_something_to_do(name: str) -> None:
    told = explain(failure(name))
    assert str(told.what).startswith(("RetailCRM", "Ключу", "По этому", "Телефония"))
    assert "{" not in str(told.what) + str(told.advice)
    assert len(str(told.advice)) > 20


def test_different_failures_are_told_apart() -> None:
    assert len({str(explain(failure(name)).what) for name in ANSWERS}) >= len(ANSWERS) - 2


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (Reason.NOT_CONFIGURED, "ключа"),
        (Reason.PRIVATE_ADDRESS, "внутреннюю сеть"),
        (Reason.NO_MAPPING, "добавочного"),
        (Reason.CRM_UNREACHABLE, "не отвечает"),
    ],
)
def test_what_the_crm_has_no_part_in_is_told_too(reason: Reason, word: str) -> None:
    assert word in str(explain(DeliveryError(reason, "said")).what)
