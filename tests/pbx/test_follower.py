"""What becomes of a click is found out whoever hears it: another daemon, a later one, or only the PBX."""

from typing import Any

import pytest

from tests.kinds import C
from tests.lab import NUMBER, DaemonUnderTest, Lab, eventually, until
from tests.pbx.server import SshPbx

PHONE = f"+{C}"
MANAGER, CUSTOMER = "1757840400.1", "1757840403.4"
NOT_REGISTERED = "  * Name       : 151\n  Defaddr->IP  : (null)\n  Addr->IP     : (null)\n"
REGISTERED = "  * Name       : 151\n  Defaddr->IP  : (null)\n  Addr->IP     : 10.0.0.5:5060\n"


def channel(name: str, unique_id: str) -> str:
    return f"{name}!inoffice!151!1!Ring!AppDial!(Outgoing Line)!151!!!3!1!!{unique_id}\n"


class Pbx:
    """What `answer` of the SSH side says, as a test likes."""

    def __init__(self, pbx: SshPbx) -> None:
        self.channels = ""
        self.phone = REGISTERED
        self.extension = "-= 1 extension (2 priorities) in 1 context. =-\n"
        pbx.answer = self._answer

    def _answer(self, command: str) -> tuple[str, int]:
        for words, said in (
            ("core show channels", self.channels),
            ("sip show peer", self.phone),
            ("dialplan show", self.extension),
        ):
            if words in command:
                return said, 0
        return "", 0


async def click(daemon: DaemonUnderTest) -> None:
    query = {"clientId": NUMBER, "phone": PHONE, "code": "151"}
    assert await daemon.send("GET", f"{daemon.public}/retailcrm/make-call", params=query) == (200, "OK")


async def becomes(lab: Lab, state: str, reason: str | None = None, within: float = 15) -> dict[str, Any]:
    async def check() -> dict[str, Any]:
        (row,) = await lab.sql.fetch("SELECT * FROM click_calls")
        assert (row["state"], row["reason"]) == (state, reason)
        return dict(row)

    row: dict[str, Any] = await eventually(check, within)
    return row


async def post(daemon: DaemonUnderTest, kind: str, unique_id: str, **body: Any) -> None:
    await daemon.post(kind, {"UniqueId": unique_id, **body})


async def test_the_events_may_come_to_another_daemon(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    Pbx(pbx)
    async with lab.daemon(**pbx.settings()) as clicked, lab.daemon("other", **pbx.settings()) as other:
        await click(clicked)
        await post(other, "dial", MANAGER, Phone="", Extensions=["151"], CallType=2)
        await becomes(lab, "ringing")
        await post(other, "dial", CUSTOMER, Phone=C, Extensions=["151"], CallType=1, Trunk="0001363")
        await becomes(lab, "dialled")
        await post(other, "hangup", CUSTOMER, Phone=C, Extensions=["151"], CallType=1, CallStatus="0")
        row = await becomes(lab, "no_answer")
    assert (row["manager_unique_id"], row["call_unique_id"]) == (MANAGER, CUSTOMER)


async def test_a_click_of_a_daemon_that_died_is_followed_by_another(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    Pbx(pbx)
    async with lab.daemon(**pbx.settings()) as first:
        await click(first)
        await post(first, "dial", MANAGER, Phone="", Extensions=["151"], CallType=2)
        await becomes(lab, "ringing")
        await post(first, "dial", CUSTOMER, Phone=C, Extensions=["151"], CallType=1, Trunk="0001363")
    await lab.sql.execute("UPDATE click_calls SET followed_until = now() - interval '1 second'")
    async with lab.daemon("other", **pbx.settings()) as other:
        await becomes(lab, "dialled")
        await post(other, "hangup", CUSTOMER, Phone=C, Extensions=["151"], CallType=1, CallStatus="2")
        await becomes(lab, "answered")


async def test_a_pbx_that_tells_nothing_is_asked(lab: Lab, pbx: SshPbx) -> None:
    """Many dialplans do not tell of the manager's half: it is seen in the channel list, and seen to be gone."""
    await lab.add_company()
    talk = Pbx(pbx)
    talk.channels = channel("Local/151@inoffice-00000001;2", "1.1") + channel("SIP/151-00000002", "1.2")
    async with lab.daemon(**pbx.settings()) as daemon:
        await click(daemon)
        await becomes(lab, "ringing")
        talk.channels = channel("SIP/1510-00000009", "9.9")
        row = await becomes(lab, "not_lifted", within=25)
    assert row["message"] == "Сотрудник 151 не снял трубку"


@pytest.mark.parametrize(
    ("phone", "reason", "message"),
    [
        (NOT_REGISTERED, "not_registered", "Телефон 151 не зарегистрирован на АТС"),
        (REGISTERED, "declined", "Телефон 151 не принял звонок: занят, отклонён или в режиме «не беспокоить»"),
    ],
    ids=["not registered", "declined"],
)
async def test_why_nothing_rings(lab: Lab, pbx: SshPbx, phone: str, reason: str, message: str) -> None:
    await lab.add_company()
    Pbx(pbx).phone = phone
    async with lab.daemon(**pbx.settings()) as daemon:
        await click(daemon)
        assert (await becomes(lab, "failed", reason))["message"] == message


async def test_an_outcome_waits_for_postgresql(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    talk = Pbx(pbx)
    talk.extension = "There is no existence of '151@inoffice' extension\n"
    async with lab.daemon(**pbx.settings()) as daemon:
        await click(daemon)
        async with lab.sql.transaction():
            await lab.sql.execute("LOCK TABLE click_calls")
            await until(lambda: [item for item in pbx.commands if "dialplan show" in item], 10)
        await becomes(lab, "failed", "no_such_extension")


async def test_a_click_is_in_the_journal_although_the_daemon_stops_at_once(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    Pbx(pbx)
    async with lab.daemon(**pbx.settings()) as daemon:
        await click(daemon)
    rows = await lab.sql.fetch("SELECT event_type, status FROM integration_logs")
    assert [tuple(row) for row in rows] == [("make_call", "success")]
    await becomes(lab, "taken")
