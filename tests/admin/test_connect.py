"""Connecting a company over the API: settings, check, registration, removal; the daemon, PostgreSQL, the emulator."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.admin.office import KEY, PUBLIC_URL, Office, add_bare_company, office
from tests.lab import API_KEY, NUMBER, Lab, eventually
from vochi_integrations.admin.links import read_token
from vochi_integrations.emulators.retailcrm import Fault
from vochi_integrations.settings import Secret


async def saved(company: Office, **config: object) -> dict[str, Any]:
    status, answer = await company.call("PUT", "config", json={"config": config})
    assert status == 200, answer
    return dict(answer["config"])


class TestConfig:
    async def test_what_is_sent_is_merged_and_the_key_never_comes_back(self, lab: Lab) -> None:
        await add_bare_company(lab, user_extensions={"19": "150"}, other=5)
        async with office(lab) as company:
            assert (await company.get("config"))[1]["config"] == {"user_extensions": {"19": "150"}, "other": 5}
            config = await saved(company, domain=" demo.retailcrm.ru ", api_key=KEY, enabled=True, user_extensions={})
            assert config["api_key"] == "****4321"
            assert (config["domain"], config["enabled"]) == ("demo.retailcrm.ru", True)
            assert (config["other"], config["user_extensions"]) == (5, {"19": "150"})
            await saved(company, api_key="", own_key={"any": [1]})
            await saved(company, api_key="****4321", enabled=False)
            stored = await company.stored()
            assert (stored["api_key"], stored["own_key"], stored["enabled"]) == (KEY, {"any": [1]}, False)
            assert stored["user_extensions"] == {"19": "150"}

    async def test_flat_bodies_and_forms_are_read_too(self, lab: Lab) -> None:
        await add_bare_company(lab)
        async with office(lab) as company:
            assert (await company.call("PUT", "config", json={"domain": "a.retailcrm.ru"}))[0] == 200
            form = {"domain": "b.retailcrm.ru", "enabled": "on", "api_key": KEY}
            status, answer = await company.call("PUT", "config", data=form)
            assert (status, answer["config"]["domain"], answer["config"]["enabled"]) == (200, "b.retailcrm.ru", True)

    async def test_json_that_is_called_a_form_is_json(self, lab: Lab) -> None:
        """`curl -d` does so; read as a form it would be one key without a value, and stored."""
        await add_bare_company(lab)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        async with office(lab) as company:
            body = b' {"config": {"domain": "a.retailcrm.ru", "enabled": true}}'
            assert (await company.call("PUT", "config", data=body, headers=headers))[0] == 200
            assert await company.stored() == {"domain": "a.retailcrm.ru", "enabled": True}
            for broken in (b'{"domain": ', b"[1]"):
                assert (await company.call("PUT", "config", data=broken, headers=headers))[0] == 400

    @pytest.mark.parametrize(
        "body",
        [
            {"domain": "http://127.0.0.1:1"},
            {"domain": "127.0.0.1"},
            {"domain": "printer.local"},
            {"domain": ""},
            {"domain": None},
            {"domain": 5},
            {"enabled": "yes"},
            {"enabled": None},
            {"api_key": 5},
            {"api_key": "two\nlines"},
            {"timezone": "Mars/Base"},
            {"timezone": "../../etc/passwd"},
            {"region": "BELARUS"},
            {"record_owner": "nobody"},
            {"events": {"in": "no"}},
            {"other": "a\x00b"},
            {"config": 5},
            [1],
            "text",
        ],
        ids=str,
    )
    async def test_what_cannot_be_used_is_refused_and_changes_nothing(self, lab: Lab, body: object) -> None:
        before = {"domain": "demo.retailcrm.ru", "api_key": KEY}
        await add_bare_company(lab, **before)
        async with office(lab, crm__allow_insecure_urls="false") as company:
            status, answer = await company.call("PUT", "config", json=body)
            assert (status, answer["error"]) == (400, "bad_request")
            assert answer["message"]
            assert await company.stored() == before

    @pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"a":' * 300 + b"1" + b"}" * 300], ids=len)
    async def test_broken_bodies_are_a_clear_400(self, lab: Lab, data: bytes) -> None:
        await add_bare_company(lab)
        async with office(lab) as company:
            for method, name in (("PUT", "config"), ("POST", "register"), ("POST", "save-extensions")):
                assert (await company.call(method, name, data=data))[0] == 400
                form = {"Content-Type": "multipart/form-data; boundary=x"}
                assert (await company.call(method, name, data=data, headers=form))[0] == 400

    async def test_ours_cannot_be_set_by_hand(self, lab: Lab) -> None:
        """A client id of one's own choice could be another company's number."""
        await add_bare_company(lab, client_id="old-client-id")
        async with office(lab) as company:
            await saved(company, client_id="0368", token_id="x", registered_at=1)
            assert await company.stored() == {"client_id": "old-client-id"}

    async def test_unknown_enterprises(self, lab: Lab) -> None:
        async with office(lab) as company:
            for method, name in (
                ("GET", "config"),
                ("PUT", "config"),
                ("DELETE", "config"),
                ("POST", "config/{n}/test"),
                ("POST", "register"),
                ("GET", "managers"),
                ("GET", "internal-phones"),
                ("GET", "user-extensions"),
                ("POST", "save-extensions"),
                ("POST", "sync-extensions"),
                ("POST", "test-call"),
            ):
                body = {"domain": "demo.retailcrm.ru", "extensions": {"19": "150"}, "userId": 19}
                status, answer = await company.call(method, name, json=body)
                assert (method, name, status) == (method, name, 404)
                assert answer["error"] == "unknown_enterprise"

    async def test_a_saved_change_works_in_the_next_call(self, lab: Lab) -> None:
        await add_bare_company(lab)
        async with office(lab) as company:
            await saved(company, domain=lab.crm_url, api_key=API_KEY, enabled=True)
            integrations = (await company.daemon.get(f"/integrations/{NUMBER}"))[1]["integrations"]
            assert integrations == {"retailcrm": True}


class TestCheck:
    async def test_all_is_well(self, lab: Lab) -> None:
        await add_bare_company(lab)
        lab.account.modules.clear()
        async with office(lab) as company:
            status, answer = await company.post("config/{n}/test", {"domain": lab.crm_url, "api_key": API_KEY})
            assert (status, answer["success"]) == (200, True)
            assert [(step["name"], step["status"]) for step in answer["steps"]] == [
                ("address", "ok"),
                ("key", "ok"),
                ("scopes", "ok"),
                ("module", "ok"),
                ("account", "ok"),
            ]
            assert answer["steps"][3]["message"] == "Ещё не зарегистрирован."
            assert answer["steps"][3]["advice"] == "Нажмите «Сохранить и зарегистрировать»."
            assert answer["account"] in lab.crm_url
            assert await company.stored() == {}, "a check saves nothing"

    async def test_each_problem_is_named_with_what_to_do(self, lab: Lab) -> None:
        await add_bare_company(lab, domain=lab.crm_url, api_key=API_KEY)
        async with office(lab, crm__request_timeout=0.3) as company:
            found = {
                "key": await company.post("config/{n}/test", {"api_key": "wrong-key-0001"}),
                "address": await company.post("config/{n}/test", {"domain": "http://127.0.0.1:9"}),
            }
            lab.account.scopes = frozenset({"telephony_write", "integration_read"})
            found["scopes"] = await company.post("config/{n}/test")
            lab.crm.switch(fault=Fault.HANG)
            found["address "] = await company.post("config/{n}/test")
            lab.crm.switch(fault=Fault.ERROR_405)
            found[" address"] = await company.post("config/{n}/test")
            lab.crm.switch(fault=None)
        for name, (status, answer) in found.items():
            problems = {step["name"]: step for step in answer["steps"] if step["status"] == "problem"}
            assert (status, answer["success"], list(problems)) == (200, False, [name.strip()])
            assert problems[name.strip()]["advice"]
        assert "user_read" in found["scopes"][1]["steps"][2]["message"]
        assert [step["status"] for step in found["key"][1]["steps"][2:]] == ["unknown"] * 3

    async def test_nothing_to_check(self, lab: Lab) -> None:
        await add_bare_company(lab)
        async with office(lab) as company:
            status, answer = await company.post("config/{n}/test")
            assert (status, answer["success"]) == (200, False)

    async def test_a_frozen_module_and_one_of_an_older_service(self, lab: Lab) -> None:
        await lab.add_company()
        async with office(lab) as company:
            step = (await company.post("config/{n}/test"))[1]["steps"][3]
            assert (step["status"], "другим адресом" in step["message"]) == ("ok", True)
            company.module["freeze"] = True
            assert (await company.post("config/{n}/test"))[1]["steps"][3]["status"] == "problem"


class TestRegister:
    async def test_a_first_registration(self, lab: Lab) -> None:
        await add_bare_company(lab)
        await lab.sql.execute(
            "INSERT INTO gsm_lines(enterprise_number, line_id, phone_number) VALUES ($1, '0001363', '80172000001')",
            NUMBER,
        )
        lab.account.modules.clear()
        async with office(lab, auth__jwt_secret="s" * 40) as company:
            status, answer = await company.post("register", {"domain": lab.crm_url, "api_key": API_KEY})
            assert (status, answer) == (200, {"success": True, "result": {"success": True, "info": []}})
            module, stored = company.module, await company.stored()
            link = urlsplit(module.pop("accountUrl"))
            assert module == {
                "code": "vochi-telephony",
                "integrationCode": "vochi-telephony",
                "active": True,
                "freeze": False,
                "native": False,
                "name": "Vochi-CRM",
                "logo": f"{PUBLIC_URL}/static/vochi_logo.svg",
                "baseUrl": PUBLIC_URL,
                "clientId": stored["client_id"],
                "actions": {"activity": "/retailcrm/activity"},
                "integrations": {
                    "telephony": {
                        "makeCallUrl": f"{PUBLIC_URL}/retailcrm/make-call",
                        "changeUserStatusUrl": f"{PUBLIC_URL}/retailcrm/status",
                        "inputEventSupported": True,
                        "outputEventSupported": True,
                        "hangupEventSupported": True,
                        "allowEdit": False,
                        "additionalCodes": [],
                        "externalPhones": [{"siteCode": "shop", "externalPhone": "+375172000001"}],
                    }
                },
            }
            assert (link.scheme, link.netloc, link.path) == ("https", "bot.example.com", "/retailcrm-admin/")
            query = parse_qs(link.query)
            assert query["enterprise_number"] == [NUMBER]
            claims = read_token(query["token"][0], Secret("s" * 40))
            assert (claims.enterprise, claims.token_id) == (NUMBER, stored["token_id"])
            assert len(stored["client_id"]) >= 22, "128 bits"
            assert (stored["enabled"], stored["domain"], stored["api_key"]) == (True, lab.crm_url, API_KEY)
            assert await company.logs() == [("register_module", "success")]

    async def test_a_second_registration_keeps_the_codes_and_changes_the_ids(self, lab: Lab) -> None:
        await lab.add_company(user_extensions={"1000": "154", "1001": None})
        theirs = dict(lab.account.codes)
        async with office(lab) as company:
            assert (await company.post("register", {}))[0] == 200
            first = await company.stored()
            assert (await company.post("register", {"enabled": False}))[0] == 200
            second = await company.stored()
            assert second["client_id"] != first["client_id"]
            assert second["token_id"] != first["token_id"]
            assert (second["enabled"], company.module["active"]) == (False, False)
            codes = {
                row["userId"]: row["code"] for row in company.module["integrations"]["telephony"]["additionalCodes"]
            }
            expected = {user: code for code, user in theirs.items() if code != "154" and user != 1001}
            assert codes == expected | {1000: "154"}, "ours wins, what only the CRM has stays, what was taken goes"

    async def test_no_secret_reaches_the_journal(self, lab: Lab) -> None:
        await lab.add_company()
        async with office(lab) as company:
            await company.post("register", {})
            await company.call("DELETE", "config")
            module = company.module
            written = " ".join(str(dict(row)) for row in await lab.sql.fetch("SELECT * FROM integration_logs"))
            assert "register_module" in written
            token = parse_qs(urlsplit(module["accountUrl"]).query)["token"][0]
            for secret in (API_KEY, module["clientId"], token):
                assert secret not in written

    async def test_a_refusal_is_told_and_the_old_ids_stay(self, lab: Lab) -> None:
        await lab.add_company(client_id="old-client-id", token_id="old")
        async with office(lab) as company:
            lab.crm.switch(activation_fails=True)
            status, answer = await company.post("register", {})
            assert (status, answer["error"]) == (400, "crm_rejected")
            assert "insufficient funds" in answer["message"]
            assert "баланс" in answer["advice"]
            status, answer = await company.post("register", {"api_key": "wrong-key-00001"})
            assert (status, answer["error"], answer["reason"]) == (400, "crm_rejected", "bad_key")
            stored = await company.stored()
            assert (stored["client_id"], stored["token_id"]) == ("old-client-id", "old")
            assert await company.logs() == [("register_module", "error")] * 2

    @pytest.mark.parametrize("fault", [Fault.HANG, Fault.OUTAGE, Fault.ERROR_500, Fault.INVALID_JSON, Fault.RESET])
    async def test_a_crm_that_does_not_answer(self, lab: Lab, fault: Fault) -> None:
        await lab.add_company()
        async with office(lab, crm__request_timeout=0.3) as company:
            lab.crm.switch(fault=fault)
            status, answer = await company.post("register", {})
            lab.crm.switch(fault=None)
            assert (status, answer["error"]) == (502, "crm_unreachable")
            assert answer["advice"]

    async def test_a_lost_answer_is_found_out(self, lab: Lab) -> None:
        """The CRM has stored the registration but its answer never came: it is registered all the same."""
        await lab.add_company()
        lab.account.modules.clear()
        async with office(lab, crm__request_timeout=0.3) as company:
            asked = asyncio.create_task(company.post("register", {}))
            await eventually(lambda: _seen(lab, "GET"))
            lab.crm.switch(fault=Fault.LOST_ANSWER)
            await eventually(lambda: _stored_module(company))
            lab.crm.switch(fault=None)
            status, answer = await asked
            assert (status, answer["success"]) == (200, True)
            assert company.module["clientId"] == (await company.stored())["client_id"]

    async def test_an_account_that_refuses_actions(self, lab: Lab) -> None:
        await lab.add_company()
        async with office(lab) as company:
            lab.crm.switch(refuses_actions=True)
            assert (await company.post("register", {}))[0] == 200
            assert "actions" not in company.module

    async def test_half_a_configuration(self, lab: Lab) -> None:
        await add_bare_company(lab)
        async with office(lab) as company:
            for body in ({}, {"domain": lab.crm_url}):
                status, answer = await company.post("register", body)
                assert (status, answer["error"]) == (400, "not_configured")

    async def test_too_many_requests_are_waited_out(self, lab: Lab) -> None:
        """The account allows ten requests a second and no more: none of ours is refused."""
        await lab.add_company()
        async with office(lab) as company:
            answers = await asyncio.gather(*(company.post("register", {}) for _ in range(8)))
            assert [status for status, _ in answers] == [200] * 8
            assert lab.account.totals.limited == 0

    async def test_two_registrations_at_once_leave_one_that_both_sides_know(self, lab: Lab) -> None:
        await lab.add_company()
        async with office(lab) as company:
            answers = await asyncio.gather(*(company.post("register", {}) for _ in range(4)))
            assert [status for status, _ in answers] == [200] * 4
            assert company.module["clientId"] == (await company.stored())["client_id"]

    async def test_a_crm_at_its_limit_is_told_apart_from_a_broken_one(self, lab: Lab) -> None:
        await lab.add_company()
        async with office(lab) as company:
            lab.crm.switch(fault=Fault.ERROR_503)
            status, answer = await company.post("register", {})
            lab.crm.switch(fault=None)
            assert (status, answer["explanation"]) == (502, "RetailCRM просит обращаться реже.")
            assert len(lab.account.requests) == 3, "it was asked again after a pause"


def _seen(lab: Lab, method: str) -> None:
    assert any(request.method == method for request in lab.account.requests)


def _stored_module(company: Office) -> None:
    assert "vochi-telephony" in company.lab.account.modules


class TestRemoval:
    async def test_everything_ours_is_gone_and_the_module_is_off(self, lab: Lab) -> None:
        await lab.add_company()
        async with office(lab) as company:
            await company.post("register", {})
            codes = company.module["integrations"]["telephony"]["additionalCodes"]
            status, answer = await company.call("DELETE", "config")
            assert (status, answer) == (200, {"success": True, "message": "Интеграция удалена"})
            assert await company.stored() == {}
            assert company.module["active"] is False
            assert company.module["integrations"]["telephony"]["additionalCodes"] == codes
            assert await company.logs() == [("register_module", "success"), ("delete_module", "success")]
            status, answer = await company.call("DELETE", "config")
            assert (status, answer["error"]) == (404, "not_configured")

    async def test_a_crm_that_is_down_does_not_hold_it_up(self, lab: Lab) -> None:
        await lab.add_company()
        async with office(lab, crm__request_timeout=0.3) as company:
            lab.crm.switch(fault=Fault.OUTAGE)
            status, answer = await company.call("DELETE", "config")
            lab.crm.switch(fault=None)
            assert (status, answer["success"]) == (200, True)
            assert answer["error"]
            assert await company.stored() == {}
