"""Click-to-call over HTTP: who may, what is refused and in which words, what the PBX is told, what is kept."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.lab import NUMBER, DaemonUnderTest, Lab, eventually
from tests.pbx.server import SshPbx

PHONE = "+375290000001"
COMMAND = "asterisk -rx 'channel originate LOCAL/{}@inoffice application Dial LOCAL/{}@inoffice'"
CLIENT = "k3yW1thM0reThan128RandomBits_abcdefgh"


async def click(daemon: DaemonUnderTest, method: str = "GET", **given: Any) -> tuple[int, Any]:
    query = {"clientId": NUMBER, "phone": PHONE, "userId": "1001", **given}
    query = {name: value for name, value in query.items() if value is not None}
    return await daemon.send(method, f"{daemon.public}/retailcrm/make-call", params=query)


def ways(daemon: DaemonUnderTest, given: Mapping[str, Any]) -> list[Any]:
    url = f"{daemon.public}/retailcrm/make-call"
    return [
        daemon.send("GET", url, params=given),
        daemon.send("POST", url, params=given),
        daemon.send("POST", url, data=given),
        daemon.send("POST", url, json=given),
    ]


async def test_a_click_is_one_command_in_whatever_way_it_is_given(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    async with lab.daemon(**pbx.settings(asterisk__repeat_seconds=0)) as daemon:
        for way in ways(daemon, {"clientId": NUMBER, "phone": "+375 (29) 000-00-01", "userId": "1001"}):
            assert await way == (200, "OK")
    assert pbx.commands == [COMMAND.format("151", PHONE)] * 4
    assert len(pbx.connections) == 1


async def test_the_code_wins_over_the_user_and_json_may_have_numbers(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    async with lab.daemon(**pbx.settings()) as daemon:
        given = {"clientId": NUMBER, "phone": 80290000001, "userId": 999, "code": 152}
        url = f"{daemon.public}/retailcrm/make-call"
        assert await daemon.send("POST", url, json=given) == (200, "OK")
    assert pbx.commands == [COMMAND.format("152", "80290000001")]


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ({"clientId": "0368"}, (401, "Invalid clientId")),
        ({"clientId": None}, (401, "Invalid clientId")),
        ({"clientId": "secret-0367", "phone": "x"}, (401, "Invalid clientId")),
        ({"phone": None}, (400, "Missing parameter: phone")),
        ({"phone": ""}, (400, "Invalid phone")),
        ({"phone": "12", "code": "x"}, (400, "Invalid phone")),
        ({"phone": "+375290000001; reboot"}, (400, "Invalid phone")),
        ({"phone": "+375290000001\n"}, (400, "Invalid phone")),
        ({"phone": "٣٧٥٢٩٠٠٠٠٠٠١"}, (400, "Invalid phone")),
        ({"phone": "1" * 16}, (400, "Invalid phone")),
        ({"code": "1"}, (400, "Invalid code")),
        ({"code": "1500000"}, (400, "Invalid code")),
        ({"code": "$(id)"}, (400, "Invalid code")),
        ({"userId": None}, (400, "Missing parameter: userId")),
        ({"userId": "999"}, (400, "No extension configured for user 999")),
        ({"userId": "999", "code": " "}, (400, "No extension configured for user 999")),
    ],
)
async def test_what_is_wrong_is_said_in_plain_words(
    lab: Lab, pbx: SshPbx, given: dict[str, Any], answer: tuple[int, str]
) -> None:
    await lab.add_company()
    async with lab.daemon(**pbx.settings()) as daemon:
        assert await click(daemon, **given) == answer
        assert await click(daemon, "POST", **given) == answer
    assert not pbx.commands


async def test_the_client_id_is_the_registered_one_and_the_number_is_no_longer(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company(client_id=CLIENT)
    async with lab.daemon(**pbx.settings(asterisk__repeat_seconds=0)) as daemon:
        assert (await click(daemon))[0] == 401
        assert (await click(daemon, clientId=CLIENT[:-1]))[0] == 401
        assert await click(daemon, clientId=CLIENT) == (200, "OK")
        await lab.sql.execute(
            "UPDATE enterprises SET integrations_config['retailcrm']['client_id'] = '\"another-one\"'"
        )

        async def revoked() -> None:
            assert (await click(daemon, clientId=CLIENT))[0] == 401

        await eventually(revoked)
        assert await click(daemon, clientId="another-one") == (200, "OK")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("UPDATE enterprises SET active = false", 401),
        ("UPDATE enterprises SET integrations_config = '{}'", 401),
        ("UPDATE enterprises SET integrations_config['retailcrm']['enabled'] = 'false'", 403),
        ("UPDATE enterprises SET ip = NULL", 502),
        ("UPDATE enterprises SET ip = '127.0.0.1; reboot'", 502),
    ],
)
async def test_a_company_that_cannot_dial_is_told_so(lab: Lab, pbx: SshPbx, change: str, status: int) -> None:
    await lab.add_company()
    await lab.sql.execute(change)
    async with lab.daemon(**pbx.settings()) as daemon:
        assert (await click(daemon))[0] == status
    assert not pbx.commands


async def test_a_client_id_of_two_companies_is_nobodys(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company(client_id=CLIENT)
    await lab.add_company("0368", "375290000008", [], client_id=CLIENT)
    async with lab.daemon(**pbx.settings()) as daemon:
        assert (await click(daemon, clientId=CLIENT))[0] == 401


async def test_clicks_within_seconds_are_one_call(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    pbx.delay = 0.1
    async with lab.daemon(**pbx.settings(asterisk__repeat_seconds=0.5)) as daemon:
        answers = await asyncio.gather(*(click(daemon) for _ in range(5)), click(daemon, code="150"))
        assert answers == [(200, "OK")] * 6
        assert await click(daemon) == (200, "OK")
        assert sorted(pbx.commands) == [COMMAND.format("150", PHONE), COMMAND.format("151", PHONE)]

        async def again() -> None:
            assert await click(daemon) == (200, "OK")
            assert len(pbx.commands) == 3

        await eventually(again)


async def test_another_request_is_another_call(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    async with lab.daemon(**pbx.settings()) as daemon:
        for way in ways(daemon, {"clientId": NUMBER, "phone": PHONE, "userId": "1001"}):
            assert await way == (200, "OK")
        assert await click(daemon, externalPhone="+375172000001") == (200, "OK")
        assert pbx.commands == [COMMAND.format("151", PHONE)] * 5
        assert await click(daemon, externalPhone="+375172000001") == (200, "OK")
        assert len(pbx.commands) == 5


async def test_clicks_at_two_daemons_are_one_call_and_both_hear_what_came_of_it(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    pbx.delay = 0.1
    async with lab.daemon(**pbx.settings()) as one, lab.daemon("other", **pbx.settings()) as other:
        assert set(await asyncio.gather(click(one), click(other))) == {(200, "OK")}
        assert len(pbx.commands) == 1
        pbx.answer = lambda _: ("Unable to connect to remote asterisk\n", 1)
        answers = await asyncio.gather(click(one, code="150"), click(other, code="150"))
        assert {status for status, _ in answers} == {502}


async def test_a_click_that_failed_may_be_tried_again_at_once(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    pbx.answer = lambda _: ("Unable to connect to remote asterisk (does /run/asterisk.ctl exist?)\n", 1)
    async with lab.daemon(**pbx.settings()) as daemon:
        status, text = await click(daemon)
        assert (status, text[:27]) == (502, "the PBX refused the command")
        pbx.answer = lambda _: ("", 0)

        async def works() -> None:
            assert await click(daemon) == (200, "OK")

        await eventually(works)


async def test_a_pbx_that_says_nothing_costs_no_more_than_the_timeout(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    pbx.hangs = True
    async with lab.daemon(**pbx.settings(asterisk__command_timeout=0.3)) as daemon:
        began = time.monotonic()
        assert await click(daemon) == (502, "the PBX did not answer in time")
        assert 0.25 < time.monotonic() - began < 1


async def test_a_pbx_that_is_back_takes_the_next_click(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    async with lab.daemon(**pbx.settings(asterisk__failures=1, asterisk__open_seconds=60)) as daemon:
        pbx.answer = lambda _: pbx.drop() or ("", 0)  # type: ignore[func-returns-value]
        for _ in range(3):
            assert await click(daemon) == (
                502,
                "PBX unreachable: the connection broke before the command had ended",
            )
        pbx.answer = lambda _: ("", 0)

        async def works() -> None:
            assert await click(daemon) == (200, "OK")

        await eventually(works)


async def test_the_line_of_the_company_number_is_dialled_through(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    await lab.sql.execute(
        "INSERT INTO gsm_lines(enterprise_number, line_id, phone_number) VALUES ('0367', '0001366', '80 17 200-00-01')"
    )
    async with lab.daemon(**pbx.settings(asterisk__line_context="route-{line}", asterisk__repeat_seconds=0)) as daemon:
        assert await click(daemon, externalPhone="+375172000001") == (200, "OK")
        assert await click(daemon, externalPhone="+375172000009") == (200, "OK")
    assert pbx.commands == [
        COMMAND.format("151", PHONE).replace(f"{PHONE}@inoffice", f"{PHONE}@route-0001366"),
        COMMAND.format("151", PHONE),
    ]


async def test_the_other_way_to_originate_is_configuration(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    commands = (
        "database put extcall nextcall_{code} {phone}",
        "channel originate LOCAL/{code}@web-originate application Dial {customer}",
    )
    async with lab.daemon(**pbx.settings(asterisk__originate=",".join(commands))) as daemon:
        assert await click(daemon) == (200, "OK")
    assert pbx.commands == [
        f"asterisk -rx 'database put extcall nextcall_151 {PHONE}'",
        f"asterisk -rx 'channel originate LOCAL/151@web-originate application Dial LOCAL/{PHONE}@inoffice'",
    ]


async def test_a_head_request_dials_nobody(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    async with lab.daemon(**pbx.settings()) as daemon:
        query = {"clientId": NUMBER, "phone": PHONE, "code": "150"}
        async with daemon.session.head(f"{daemon.public}/retailcrm/make-call", params=query) as response:
            assert response.status == 405
    assert not pbx.commands


async def test_a_click_and_its_answer_are_in_the_journal_without_secrets(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company(client_id=CLIENT)
    async with lab.daemon(**pbx.settings()) as daemon:
        await click(daemon, clientId=CLIENT)
        pbx.answer = lambda _: ("", 1)
        await click(daemon, clientId=CLIENT, code="152")

        async def rows() -> list[Any]:
            found = await lab.sql.fetch("SELECT * FROM integration_logs WHERE event_type = 'make_call' ORDER BY id")
            assert len(found) == 2
            return found

        first, second = await eventually(rows)
    assert (first["status"], first["integration_type"], first["error_message"]) == ("success", "retailcrm", None)
    assert first["request_data"] == {"code": "151", "phone": PHONE, "userId": "1001", "externalPhone": None}
    assert (second["status"], second["error_message"]) == ("error", "the PBX refused the command: no words")
    assert CLIENT not in str([dict(first), dict(second)])


async def test_while_postgresql_does_not_answer_the_manager_still_dials(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    async with lab.daemon(**pbx.settings()) as daemon, lab.sql.transaction():
        await lab.sql.execute("LOCK TABLE click_calls")
        assert await click(daemon) == (200, "OK")
        assert await click(daemon) == (200, "OK")
    assert len(pbx.commands) == 1


async def external(daemon: DaemonUnderTest, base: str, **given: str) -> tuple[int, Any]:
    query = {"clientId": "secret-0367", "phone": PHONE, "code": "150", **given}
    return await daemon.send("GET", f"{base}/api/makecallexternal", params=query)


async def test_the_old_services_route_answers_as_it_did_on_both_listeners(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    async with lab.daemon(**pbx.settings(asterisk__repeat_seconds=0)) as daemon:
        for base in (daemon.public, daemon.internal):
            status, answer = await external(daemon, base)
            assert status == 200
            assert answer.pop("response_time_ms") >= 0
            assert answer == {
                "success": True,
                "message": f"Call initiated successfully: 150 -> {PHONE}",
                "enterprise": "Company 0367",
                "enterprise_number": "0367",
                "from_ext": "150",
                "to_phone": PHONE,
                "host_ip": "127.0.0.1",
                "display_name": None,
            }
        status, answer = await external(daemon, daemon.public, clientId="0367")
        assert (status, answer["detail"], answer["message"]) == (401, "Invalid clientId", "Invalid clientId")
        assert answer["error"]
        for given in ({"phone": "`id`"}, {"code": "150&151"}, {"phone": ""}):
            status, answer = await external(daemon, daemon.public, **given)
            assert (status, answer["error"], answer["detail"]) == (400, "bad_request", answer["message"])
        assert pbx.commands == [COMMAND.format("150", PHONE)] * 2
        await lab.sql.execute("UPDATE enterprises SET active = false")

        async def inactive() -> None:
            assert (await external(daemon, daemon.public))[0] == 401

        await eventually(inactive)


async def test_the_old_services_route_says_why_the_pbx_did_not_dial(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    await lab.sql.execute("UPDATE enterprises SET ip = ''")
    async with lab.daemon(**pbx.settings()) as daemon:
        status, answer = await external(daemon, daemon.internal)
        assert (status, answer["error"]) == (500, "no_address")
        assert answer["detail"].startswith("Host IP not configured")
        await lab.sql.execute("UPDATE enterprises SET ip = '127.0.0.1'")
        await pbx.stop()

        async def refused() -> None:
            status, answer = await external(daemon, daemon.internal)
            assert (status, answer["detail"]) == (
                500,
                "Call initiation failed: PBX unreachable: connection refused",
            )

        await eventually(refused)


async def test_a_managers_status_is_kept(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    async with lab.daemon(**pbx.settings()) as daemon:
        url = f"{daemon.public}/retailcrm/status"
        given = {"clientId": NUMBER, "userId": "1001", "code": "151", "status": "dinner"}
        assert await daemon.send("GET", url, params=given) == (200, "OK")
        assert await daemon.send("POST", url, data=given) == (200, "OK")
        assert (await daemon.send("GET", url, params=given | {"clientId": "0368"}))[0] == 401

        async def kept() -> None:
            rows = await lab.sql.fetch("SELECT request_data FROM integration_logs WHERE event_type = 'user_status'")
            assert [row[0] for row in rows] == [{"userId": "1001", "code": "151", "status": "dinner"}] * 2

        await eventually(kept)


async def retail(lab: Lab) -> Any:
    return await lab.sql.fetchval("SELECT integrations_config -> 'retailcrm' FROM enterprises WHERE number = '0367'")


async def test_a_frozen_module_is_off_and_a_thawed_one_on(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    before = await retail(lab)
    async with lab.daemon(**pbx.settings()) as daemon:
        url = f"{daemon.public}/retailcrm/activity"
        for given, enabled in (
            ('{"active":true,"freeze":true}', False),
            ('{"active":true,"freeze":false}', True),
            ('{"active":false,"freeze":false}', False),
            ('{"active":true}', True),
        ):
            answer = await daemon.send("POST", url, data={"clientId": NUMBER, "activity": given})
            assert answer == (200, {"success": True})
            assert await retail(lab) == before | {"enabled": enabled}
            assert (await daemon.get("/integrations/0367"))[1]["integrations"] == {"retailcrm": enabled}


async def test_an_account_that_moved_is_followed(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company(client_id=CLIENT)
    async with lab.daemon(**pbx.settings()) as daemon:
        given = {"clientId": CLIENT, "activity": '{"active":true}', "systemUrl": "https://moved.retailcrm.example/"}
        url = f"{daemon.public}/retailcrm/activity"
        assert await daemon.send("POST", url, data=given) == (200, {"success": True})
        assert (await retail(lab))["domain"] == "https://moved.retailcrm.example"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"clientId": "0368", "activity": '{"active":false}'}, 401),
        ({"activity": "no"}, 400),
        ({}, 400),
        ({"activity": '{"active":"yes"}'}, 400),
        ({"activity": '{"active":true}', "systemUrl": "http://moved.retailcrm.example"}, 400),
        ({"activity": '{"active":true}', "systemUrl": "https://10.0.0.1"}, 400),
        ({"activity": '{"active":true}', "systemUrl": "https://evil.example"}, 400),
    ],
)
async def test_a_notice_that_cannot_be_right_changes_nothing(
    lab: Lab, pbx: SshPbx, given: dict[str, str], status: int
) -> None:
    """The last has only the company's number to prove itself: the API key must not follow it."""
    await lab.add_company()
    before = await retail(lab)
    async with lab.daemon(**pbx.settings(crm__allow_insecure_urls="false")) as daemon:
        url = f"{daemon.public}/retailcrm/activity"
        code, answer = await daemon.send("POST", url, data={"clientId": NUMBER, **given})
        assert (code, answer["success"]) == (status, False)
        assert answer["errorMsg"]
    assert await retail(lab) == before


async def test_a_click_with_an_unwritten_body_is_answered(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    async with lab.daemon(**pbx.settings()) as daemon:
        url = f"{daemon.public}/retailcrm/make-call?clientId={NUMBER}&phone=375290000001&code=150"
        for body in (b"{", b"[1]", b"\xff\xfe", b"&&&" * 100):
            assert await daemon.send("POST", url, data=body) == (200, "OK")
        for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
            for body in (b"phone=1", b"--x\r\nno header\r\n\r\n1\r\n--x--"):
                assert await daemon.send("POST", url, data=body, headers={"Content-Type": kind}) == (200, "OK")
    assert set(pbx.commands) == {COMMAND.format("150", "375290000001")}
