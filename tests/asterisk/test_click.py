"""Click-to-call on a real Asterisk through a real sshd: what the CRM is told, what comes of it, how fast."""

import asyncio
import statistics
import sys
import time
from typing import Any

import pytest

from tests.asterisk.office import Office, office
from tests.asterisk.private import PrivateAsterisk, ssh_user
from tests.kinds import C
from tests.lab import CODES, NUMBER, Lab, eventually, until
from vochi_integrations.domain import Enterprise
from vochi_integrations.errors import PbxError
from vochi_integrations.pbx.control import PbxControl
from vochi_integrations.pbx.ssh import SshHosts
from vochi_integrations.settings import Asterisk

CLICKS = 60
CALM_SSH_SECONDS = 0.4  # a machine on which even ssh takes longer than this has other things to do


async def click(company: Office, code: str = "150", phone: str = f"+{C}") -> tuple[int, Any]:
    query = {"clientId": NUMBER, "userId": "1", "code": code, "phone": phone}
    return await company.daemon.send("GET", f"{company.daemon.public}/retailcrm/make-call", params=query)


async def outcome(company: Office, state: str, reason: str | None = None, within: float = 10) -> dict[str, Any]:
    """Wait for what became of the click, in its row and in the journal of the enterprise."""

    async def check() -> dict[str, Any]:
        (row,) = await company.lab.sql.fetch("SELECT * FROM click_calls")
        assert (row["state"], row["reason"]) == (state, reason)
        return dict(row)

    row: dict[str, Any] = await eventually(check, within)
    return row


async def test_a_click_rings_the_manager_and_then_dials_the_customer(company: Office) -> None:
    assert await click(company) == (200, "OK")
    await company.rings("150")
    await outcome(company, "ringing")
    company.phone("150").answer()
    await until(lambda: company.line.ringing)
    await outcome(company, "dialled")
    assert company.line.ringing[0].invite is not None
    company.line.answer()
    await outcome(company, "talking")
    await company.shown(("out", ["150"]))
    company.phone("150").hang_up()
    record = await company.recorded(type="out", phone=C, result="answered", code="150", userId=CODES["150"])
    row = await outcome(company, "answered")
    assert row["call_unique_id"] == record["externalId"]
    assert row["finished_at"] is not None
    assert row["manager_unique_id"] != row["call_unique_id"]

    async def logged() -> None:
        rows = await company.lab.sql.fetch(
            "SELECT * FROM integration_logs WHERE event_type LIKE 'make_call%' ORDER BY id"
        )
        assert [(item["event_type"], item["status"]) for item in rows] == [
            ("make_call", "success"),
            ("make_call:outcome", "success"),
        ]
        assert rows[1]["call_unique_id"] == record["externalId"]
        assert rows[1]["response_data"]["state"] == "answered"

    await eventually(logged)
    assert company.asterisk.commands[0] == (
        f"asterisk -rx 'channel originate LOCAL/150@inoffice application Dial LOCAL/+{C}@inoffice'"
    )
    await company.shown(("out", ["150"]))


async def test_a_click_may_show_the_manager_whom_they_will_talk_to(lab: Lab, asterisk: PrivateAsterisk) -> None:
    commands = (
        "database put extcall nextcall_{code} {phone}",
        "channel originate LOCAL/{code}@web-originate application Dial {customer}",
    )
    async with office(lab, asterisk, asterisk__originate=",".join(commands)) as company:
        assert await click(company) == (200, "OK")
        await company.rings("150")
        assert company.phone("150").ringing[0].peer == f"+{C}"
        await outcome(company, "ringing")
        company.line.on_ring = "answer"
        company.phone("150").answer()
        await until(lambda: company.line.talking)
        await company.shown(("out", ["150"]))
        company.phone("150").hang_up()
        await company.recorded(type="out", phone=C, result="answered", code="150")
        await outcome(company, "answered")


async def test_a_customer_who_does_not_answer(company: Office) -> None:
    company.line.on_ring = "busy"
    company.phone("150").on_ring = "answer"
    assert await click(company) == (200, "OK")
    await outcome(company, "no_answer")
    await company.recorded(type="out", phone=C, result="no answer", code="150")


async def test_a_manager_who_declines_is_no_call_of_the_customers(company: Office) -> None:
    assert await click(company) == (200, "OK")
    await company.rings("150")
    company.phone("150").refuse()
    row = await outcome(company, "failed", "declined")
    assert row["message"].startswith("Телефон 150 не принял звонок")
    await company.settled()
    assert not company.lab.events()
    assert not company.lab.records
    assert [reason for kind, reason in await company.lab.reasons() if kind == "dial"] == ["no_customer"]


async def test_a_phone_that_is_not_registered(company: Office) -> None:
    await company.phone("150").register(seconds=0)
    assert await click(company) == (200, "OK")
    await outcome(company, "failed", "not_registered")


async def test_an_extension_that_the_pbx_does_not_have(company: Office) -> None:
    assert await click(company, "700") == (200, "OK")
    row = await outcome(company, "failed", "no_such_extension")
    assert row["message"] == "На АТС нет такого внутреннего номера: 700"

    async def logged() -> None:
        rows = await company.lab.sql.fetch("SELECT * FROM integration_logs WHERE event_type = 'make_call:outcome'")
        assert [(item["status"], item["error_message"]) for item in rows] == [("error", row["message"])]

    await eventually(logged)


async def test_a_phone_that_is_busy(company: Office) -> None:
    call = await company.ring_group("150")
    company.phone("150").on_ring = "busy"
    assert await click(company) == (200, "OK")
    await outcome(company, "failed", "busy")
    company.line.hang_up(call)


async def test_asterisk_that_is_not_running_is_told_at_once(company: Office) -> None:
    company.asterisk.cli("core stop now")

    async def refused() -> None:
        status, text = await click(company)
        assert (status, "Unable to connect to remote asterisk" in text) == (502, True)

    await eventually(refused)


async def test_a_live_call_is_redirected(company: Office) -> None:
    call = await company.ring_group("151")
    await company.shown(("in", ["150", "151", "152"]))
    channel = company.lab.popups[0]["callExternalId"]
    hosts = SshHosts(_settings(company.asterisk))
    control = PbxControl(_settings(company.asterisk), hosts)
    enterprise = Enterprise(number=NUMBER, ip="127.0.0.1")
    try:
        (name,) = [item.name for item in await control.channels(enterprise) if item.unique_id == channel]
        for extension, other in (("999999", name), ("153", "SIP/nobody-00000001")):
            with pytest.raises(PbxError):
                await control.redirect_channel(enterprise, other, extension)
        assert call.state == "talking"
        assert await control.may_originate(enterprise)
        assert "151" in await control.show_phone(enterprise, "151")
        await control.redirect_channel(enterprise, name, "153")
        await company.rings("153")
        company.phone("153").answer()
        await until(lambda: company.phone("153").talking)
        assert call.state == "talking"
    finally:
        await hosts.close()
    company.line.hang_up(call)
    await company.recorded(type="in", phone=C, result="answered", code="151")


def _settings(asterisk: PrivateAsterisk) -> Asterisk:
    return Asterisk(
        ssh_port=asterisk.ssh_port,
        ssh_user=ssh_user(),
        ssh_key=str(asterisk.key),
        known_hosts=str(asterisk.known_hosts),
    )


@pytest.mark.alone
async def test_a_click_is_answered_in_less_than_half_the_time_of_a_fresh_ssh(
    lab: Lab, asterisk: PrivateAsterisk
) -> None:
    """Side by side in one run, so that a slow machine slows both (issue: bars)."""
    await lab.add_company()
    ssh = [
        *("ssh", "-F", "none", "-i", str(asterisk.key), "-p", str(asterisk.ssh_port)),
        *("-o", f"UserKnownHostsFile={asterisk.known_hosts}", "-o", "BatchMode=yes", f"{ssh_user()}@127.0.0.1"),
        "asterisk -rx 'channel originate LOCAL/700@inoffice application Dial LOCAL/+375290000001@inoffice'",
    ]
    clicks: list[float] = []
    fresh: list[float] = []
    async with lab.daemon(**asterisk.settings(asterisk__repeat_seconds=0)) as daemon:
        query = {"clientId": NUMBER, "userId": "1", "code": "700", "phone": f"+{C}"}
        for number in range(CLICKS):
            began = time.perf_counter()
            answer = await daemon.send("GET", f"{daemon.public}/retailcrm/make-call", params=query)
            clicks.append(time.perf_counter() - began)
            assert answer == (200, "OK")
            if number % 3 == 0:
                began = time.perf_counter()
                process = await asyncio.create_subprocess_exec(*ssh)
                assert await process.wait() == 0
                fresh.append(time.perf_counter() - began)
    p95 = statistics.quantiles(clicks[1:], n=20)[-1]
    other = statistics.quantiles(fresh, n=20)[-1]
    figures = f"click p95 {p95 * 1000:.1f} ms, fresh ssh p95 {other * 1000:.1f} ms, ratio {p95 / other:.2f}"
    sys.stdout.write(figures)
    assert sum("originate" in command for command in asterisk.commands) == CLICKS + len(fresh)
    assert p95 < other / 2, figures
    assert p95 < 0.150 or other > CALM_SSH_SECONDS, figures
