"""Managers and their extensions over the API: nothing is lost, whoever saves and whatever the CRM answers."""

import asyncio
from typing import Any

import pytest

from tests.admin.office import EXTENSIONS, Office, add_bare_company, office
from tests.lab import API_KEY, Lab
from vochi_integrations.emulators.retailcrm import Fault, User

ANNA, BORIS, VERA = 1000, 1001, 1002


async def connect(lab: Lab, **ours: str | None) -> None:
    """A registered company with our map `u1000="150"`, and the emulator's codes of every manager gone."""
    await add_bare_company(
        lab,
        domain=lab.crm_url,
        api_key=API_KEY,
        enabled=True,
        user_extensions={name.removeprefix("u"): extension for name, extension in ours.items()},
    )
    give(lab)


def give(lab: Lab, **codes: str) -> None:
    """Let the CRM have these extensions and no others."""
    module = lab.account.modules["vochi-telephony"]
    rows = [{"userId": int(name.removeprefix("u")), "code": code} for name, code in codes.items()]
    module["integrations"]["telephony"]["additionalCodes"] = rows
    lab.account.put_module("vochi-telephony", module)


def users_of(answer: dict[str, Any]) -> dict[int, str | None]:
    return {user["id"]: user["extension"] for user in answer["users"] if user["extension"]}


class TestManagers:
    async def test_every_page_and_every_state(self, lab: Lab) -> None:
        await connect(lab, u1000="150")
        lab.account.users = {
            number: User(number, "Имя", "", status="busy", active=number % 2 == 0, groups=("manager", "director"))
            for number in range(1000, 1250)
        }
        async with office(lab) as company:
            status, answer = await company.get("managers")
            assert (status, answer["success"], answer["total"], len(answer["users"])) == (200, True, 250, 250)
            first = answer["users"][0]
            assert first["id"] == 1000
            assert first["email"] == "user1000@shop.example"
            assert [group["name"] for group in first["groups"]] == ["Менеджеры", "Руководители"]
            assert (first["extension"], first["active"], answer["users"][1]["active"]) == ("150", True, False)

    async def test_the_first_time_the_crms_extensions_are_imported(self, lab: Lab) -> None:
        await connect(lab)
        give(lab, u1000="150", u1001="999")
        async with office(lab) as company:
            answer = (await company.get("managers"))[1]
            assert answer["imported_extensions"] == {"1000": "150", "1001": "999"}
            assert users_of(answer) == {ANNA: "150", BORIS: "999"}
            assert (await company.stored())["user_extensions"] == {"1000": "150", "1001": "999"}
            assert (await company.get("managers"))[1]["imported_extensions"] == {}
            assert (await company.get("user-extensions"))[1]["total"] == 2

    async def test_codes_of_an_older_account_are_read(self, lab: Lab) -> None:
        await connect(lab)
        give(lab, u1000="150")
        lab.crm.switch(codes_at_root=True)
        async with office(lab) as company:
            assert (await company.get("managers"))[1]["imported_extensions"] == {"1000": "150"}

    async def test_differences_are_shown_and_nothing_is_changed(self, lab: Lab) -> None:
        await connect(lab, u1000="150", u1001="151", u5="152")
        give(lab, u1000="153", u1002="154")
        async with office(lab) as company:
            answer = (await company.get("managers"))[1]
            kinds = {item["userId"]: (item["kind"], item["ours"], item["theirs"]) for item in answer["differences"]}
            assert kinds == {
                ANNA: ("conflict", "150", "153"),
                BORIS: ("only_ours", "151", None),
                VERA: ("only_theirs", None, "154"),
                5: ("gone", "152", None),
            }
            assert answer["mass_disappearance"] is True, "one of three is gone"
            assert (await company.stored())["user_extensions"] == {"1000": "150", "1001": "151", "5": "152"}

    async def test_an_empty_list_is_shown_and_changes_nothing(self, lab: Lab) -> None:
        await connect(lab, u1000="150")
        lab.crm.switch(user_list="empty")
        async with office(lab) as company:
            status, answer = await company.get("managers")
            assert (status, answer["users"], answer["total"], answer["mass_disappearance"]) == (200, [], 0, True)
            assert (await company.stored())["user_extensions"] == {"1000": "150"}

    async def test_a_list_that_is_not_whole_is_an_error(self, lab: Lab) -> None:
        await connect(lab, u1000="150")
        lab.crm.switch(user_list="partial")
        async with office(lab) as company:
            status, answer = await company.get("managers")
            assert (status, answer["error"]) == (502, "crm_unreachable")
            assert (await company.stored())["user_extensions"] == {"1000": "150"}

    async def test_without_a_connection_or_a_good_key(self, lab: Lab) -> None:
        await add_bare_company(lab)
        await add_bare_company(lab, "0368", domain=lab.crm_url, api_key="wrong-key-00001")
        async with office(lab) as company:
            assert (await company.get("managers"))[0] == 404
            status, answer = await Office(lab, company.daemon, "0368").get("managers")
            assert (status, answer["reason"]) == (400, "bad_key")


class TestSaving:
    async def test_a_patch_changes_whom_it_names(self, lab: Lab) -> None:
        await connect(lab, u1000="150", u1001="151")
        give(lab, u1000="150", u1001="151", u1003="157")
        async with office(lab) as company:
            status, answer = await company.post("save-extensions", {"extensions": {"1002": "150", "1001": None}})
            assert (status, answer["success"], answer["synced"]) == (200, True, True)
            assert answer["saved_extensions"] == {"1002": "150"}
            assert answer["assignments"] == [{"userId": 1002, "code": "150"}]
            assert answer["taken_from"] == {"150": "1000"}
            assert company.codes == {VERA: "150", 1003: "157"}, "what only the CRM has stays"
            assert company.module["active"] is True
            assert ("save_extensions", "success") in await company.logs()

    @pytest.mark.parametrize("removal", [None, "", "REMOVE"])
    async def test_an_extension_is_taken_away(self, lab: Lab, removal: str | None) -> None:
        await connect(lab, u1000="150")
        give(lab, u1000="150")
        async with office(lab) as company:
            assert (await company.post("save-extensions", {"extensions": {"1000": removal}}))[0] == 200
            assert (company.codes, (await company.get("user-extensions"))[1]["user_extensions"]) == ({}, {})

    @pytest.mark.parametrize(
        "extensions",
        [
            {"1000": "150", "1001": "150"},
            {"1000": "151", "1001": "666"},
            {"1000": "151", "Анна": "152"},
            {"1000": True},
            {"1000": ["150"]},
            [],
            "150",
            None,
        ],
        ids=str,
    )
    async def test_a_bad_patch_changes_nothing(self, lab: Lab, extensions: object) -> None:
        await connect(lab, u1000="150")
        async with office(lab) as company:
            status, answer = await company.post("save-extensions", {"extensions": extensions})
            assert (status, answer["error"]) == (400, "bad_request")
            assert (await company.stored())["user_extensions"] == {"1000": "150"}
            assert company.codes == {}

    async def test_a_patch_that_names_nobody_changes_nobody(self, lab: Lab) -> None:
        await connect(lab, u1000="150")
        async with office(lab) as company:
            status, answer = await company.post("save-extensions", {"extensions": {}})
            assert (status, answer["saved_extensions"]) == (200, {"1000": "150"})
            assert company.codes == {ANNA: "150"}, "the CRM is told what we have"

    async def test_forms(self, lab: Lab) -> None:
        await connect(lab)
        async with office(lab) as company:
            for form in ({"extensions[1000]": "150", "extensions[1001]": ""}, {"extensions": '{"1002": "151"}'}):
                assert (await company.call("POST", "save-extensions", data=form))[0] == 200
            assert company.codes == {ANNA: "150", VERA: "151"}

    async def test_a_crm_that_is_down_gets_it_later(self, lab: Lab) -> None:
        """Saved here at once; the removal, too, reaches the CRM by the next synchronisation, and does not come back."""
        await connect(lab, u1000="150", u1001="151")
        give(lab, u1000="150", u1001="151")
        async with office(lab, crm__request_timeout=0.3) as company:
            lab.crm.switch(fault=Fault.OUTAGE)
            status, answer = await company.post("save-extensions", {"extensions": {"1000": None, "1002": "152"}})
            assert (status, answer["success"], answer["synced"]) == (200, True, False)
            assert answer["error"]
            assert answer["saved_extensions"] == {"1001": "151", "1002": "152"}
            lab.crm.switch(fault=None)
            status, answer = await company.post("sync-extensions")
            assert (status, answer["success"]) == (200, True)
            assert company.codes == {BORIS: "151", VERA: "152"}
            assert (await company.stored())["user_extensions"] == {"1001": "151", "1002": "152"}
            assert "unpushed_extensions" not in await company.stored()

    @pytest.mark.parametrize("told_by", ["register", "sync-extensions"])
    async def test_a_removal_the_crm_knows_of_is_forgotten(self, lab: Lab, told_by: str) -> None:
        """Else an extension that the CRM gives the same user one day would be taken away too."""
        await connect(lab, u1000="150", u1001="151")
        async with office(lab, crm__request_timeout=0.3) as company:
            lab.crm.switch(fault=Fault.OUTAGE)
            assert (await company.post("save-extensions", {"extensions": {"1000": None}}))[1]["synced"] is False
            lab.crm.switch(fault=None)
            give(lab, u1001="151")
            assert (await company.post(told_by, {}))[0] == 200
            assert not (await company.stored()).get("unpushed_extensions")
            give(lab, u1000="150", u1001="151")
            assert (await company.post("sync-extensions"))[1]["imported_extensions"] == {"1000": "150"}

    async def test_a_module_that_was_never_registered(self, lab: Lab) -> None:
        await connect(lab)
        lab.account.modules.clear()
        async with office(lab) as company:
            answer = (await company.post("save-extensions", {"extensions": {"1000": "150"}}))[1]
            assert (answer["success"], answer["synced"], answer["reason"]) == (True, False, "telephony_off")

    async def test_two_administrators_at_once_lose_nothing(self, lab: Lab) -> None:
        await connect(lab)
        users = range(1000, 1006)
        numbers = [*EXTENSIONS, "160", "161"]
        await lab.sql.execute(
            "INSERT INTO user_internal_phones(phone_number, enterprise_number) VALUES ('160', '0367'), ('161', '0367')"
        )
        async with office(lab) as first, office(lab, name="other") as second:
            saves = [
                company.post("save-extensions", {"extensions": {str(user): number}})
                for user, number, company in zip(users, numbers, [first, second] * 3, strict=True)
            ]
            assert [status for status, _ in await asyncio.gather(*saves)] == [200] * 6
            expected = dict(zip(users, numbers, strict=True))
            assert (await first.stored())["user_extensions"] == {str(user): code for user, code in expected.items()}
            assert first.codes == expected

    async def test_phones_with_their_owners(self, lab: Lab) -> None:
        await connect(lab)
        user = await lab.sql.fetchval(
            "INSERT INTO users(enterprise_number, first_name, last_name) VALUES ('0367', 'Анна', 'Иванова')"
            " RETURNING id"
        )
        await lab.sql.execute("UPDATE user_internal_phones SET user_id = $1 WHERE phone_number = '150'", user)
        async with office(lab) as company:
            status, answer = await company.get("internal-phones")
            assert (status, answer["success"], answer["total"]) == (200, True, 4)
            assert answer["phones"][0] == {"phone_number": "150", "user_id": user, "owner": "Анна Иванова"}
            assert answer["phones"][1] == {"phone_number": "151", "user_id": None, "owner": None}


class TestSync:
    async def test_ours_wins_and_what_only_the_crm_has_is_imported(self, lab: Lab) -> None:
        await connect(lab, u1000="150", u1001="151")
        give(lab, u1000="153", u1002="154", u1003="151")
        async with office(lab) as company:
            status, answer = await company.post("sync-extensions")
            assert (status, answer["success"]) == (200, True)
            assert answer["local_extensions"] == {"1000": "150", "1001": "151"}
            assert answer["imported_extensions"] == {"1002": "154"}
            assert answer["synced_extensions"] == {"1000": "150", "1001": "151", "1002": "154"}
            assert {item["kind"] for item in answer["differences"]} == {"conflict", "only_ours", "only_theirs"}
            assert company.codes == {ANNA: "150", BORIS: "151", VERA: "154"}
            assert (await company.stored())["user_extensions"] == answer["synced_extensions"]

    async def test_an_empty_list_from_either_side_removes_nothing(self, lab: Lab) -> None:
        await connect(lab)
        give(lab, u1000="150", u1001="151")
        async with office(lab) as company:
            await company.post("sync-extensions")
            assert (await company.stored())["user_extensions"] == {"1000": "150", "1001": "151"}
            give(lab)
            answer = (await company.post("sync-extensions"))[1]
            assert answer["mass_disappearance"] is True
            assert company.codes == {ANNA: "150", BORIS: "151"}
            assert (await company.stored())["user_extensions"] == {"1000": "150", "1001": "151"}

    async def test_equal_sides_are_left_alone(self, lab: Lab) -> None:
        await connect(lab, u1000="150")
        give(lab, u1000="150")
        async with office(lab) as company:
            await company.post("sync-extensions")
            assert "POST" not in {request.method for request in lab.account.requests}

    async def test_a_crm_that_is_down(self, lab: Lab) -> None:
        await connect(lab, u1000="150")
        async with office(lab, crm__request_timeout=0.3) as company:
            lab.crm.switch(fault=Fault.OUTAGE)
            assert (await company.post("sync-extensions"))[0] == 502
            lab.crm.switch(fault=None)


class TestTestCall:
    async def test_a_card_comes_up_and_goes(self, lab: Lab) -> None:
        await connect(lab, u1000="150")
        give(lab, u1000="150")
        async with office(lab) as company:
            status, answer = await company.post("test-call", {"userId": 1000})
            assert (status, answer) == (200, {"success": True, "code": "150", "closed": True})
            (shown,) = lab.events("in")
            (over,) = lab.events("hangup")
            assert shown["phone"] == "+375290000000"
            assert shown["callExternalId"].startswith("test-")
            assert (shown["codes"], over["callExternalId"]) == (["150"], shown["callExternalId"])
            (popup,) = lab.account.screens.closed
            assert popup.user_id == ANNA
            assert (popup.closed_at or 0) - popup.at > 1, "long enough to be seen"
            assert lab.records == []
            assert await company.logs() == [("test_call", "success")] * 2

    async def test_an_extension_the_crm_does_not_know_is_no_success(self, lab: Lab) -> None:
        await connect(lab, u1000="150")
        async with office(lab) as company:
            status, answer = await company.call("POST", "test-call", data={"userId": "1000", "code": "151"})
            assert (status, answer["success"], answer["reason"]) == (200, False, "no_mapping")
            assert answer["advice"]

    async def test_what_cannot_be_tested(self, lab: Lab) -> None:
        await connect(lab, u1000="150")
        async with office(lab, crm__request_timeout=0.3) as company:
            for body in ({"userId": 1001}, {"userId": "x"}, {"userId": -1}, {"userId": True}, {"code": "1 or 1"}, {}):
                assert ((await company.post("test-call", body))[0], body) == (400, body)
            lab.account.modules["vochi-telephony"]["active"] = False
            lab.account.put_module("vochi-telephony", lab.account.modules["vochi-telephony"])
            answer = (await company.post("test-call", {"userId": 1000}))[1]
            assert (answer["success"], answer["reason"]) == (False, "telephony_off")
            lab.crm.switch(fault=Fault.OUTAGE)
            assert (await company.post("test-call", {"userId": 1000}))[0] == 502
            lab.crm.switch(fault=None)
