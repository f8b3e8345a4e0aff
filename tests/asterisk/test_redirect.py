"""Smart redirect by a real dialplan with CURL and the hosts' cuts, against the real daemon and the emulated CRM."""

from pathlib import Path
from string import Template

import pytest

from tests.asterisk.office import LINE, Office
from tests.kinds import C
from tests.lab import CODES, TOKEN, eventually, until
from vochi_integrations.emulators.retailcrm.people import Customer

GROUP = ["150", "151", "152"]
DIALPLAN = Path(__file__).parent / "etc" / "redirect.dialplan"
ASK = {
    "cuts": " same => n,Gosub(getcustomerdata,s,1($" + "{CALLERID(num)},$" + "{EXTEN}))\n"
    ' same => n,ExecIf($["$' + '{CALLNAME}" != ""]?Set(CALLERID(name)=$' + "{CALLNAME}))",
    "json": " same => n,Gosub(vochi-ask,s,1($" + "{EXTEN},%s,%s))\n same => n,Set(NEXT=$" + "{VOCHI_NEXT})",
}
STRANGE = [
    ("Жук, Виктор", "Жук Виктор"),
    ('ООО "Ромашка" (опт) [1]; $' + "{SHELL(id)}", "ООО Ромашка опт 1 SHELLid"),
    ('","DialPlan":"mngr9_x_1"}', "DialPlan:mngr9_x_1"),
    ("a\\b\nc\td", "abcd"),
    ("", ""),
]


@pytest.fixture(params=["cuts", "json"])
async def office(company: Office, request: pytest.FixtureRequest) -> Office:
    """A company whose line has smart redirect, with a context for each manager (facts: asterisk_hosts §5).

    It is asked for as the provider's hosts do, by cuts, and as docs/asterisk/vochi.conf does, by JSON.
    """
    rows = await company.lab.sql.fetch("SELECT id, phone_number FROM user_internal_phones ORDER BY id")
    managers = "\n".join(
        f"[mngr{row['id']}_{LINE}_1]\nexten => _X.,1,Gosub(vochi-ring,s,1({row['phone_number']},1))\n"
        " same => n,Gosub(vochi-ring,s,1($" + "{OFFICE},30))\n same => n,Hangup()\n"
        for row in rows
    )
    url = company.daemon.public
    ask = ASK["json"] % (url, TOKEN) if request.param == "json" else ASK["cuts"]
    parts = {"TOKEN": TOKEN, "URL": url, "MANAGERS": managers, "ASK": ask}
    file = company.asterisk.root / "etc" / "extensions.conf"
    file.write_text(Template(DIALPLAN.read_text()).substitute(parts))
    assert "reloaded" in company.asterisk.cli("dialplan reload")
    line = {"enabled": True, "do_routing": True, "send_customer_name": True}
    await company.lab.sql.execute(
        "UPDATE enterprises SET integrations_config = integrations_config || jsonb_build_object('smart', $1::jsonb)",
        {"lines": {f"gsm:{LINE}": line}},
    )

    async def known() -> None:
        _, found = await company.daemon.get(f"/api/who-gets/0367?phone={C}&trunk={LINE}")
        assert found["source"] != "off"

    await eventually(known)
    return company


def named(office: Office, name: str, phone: str, extension: str = "151") -> None:
    office.lab.account.customers[phone] = Customer(501, "", name, phone, manager_id=CODES[extension])


async def test_the_responsible_manager_rings_and_sees_the_customers_name(office: Office) -> None:
    named(office, "Жук Виктор", "375290000021")
    call = office.calls_in("375290000021")
    await office.rings("151")
    assert office.phone("151").calls[0].theirs.startswith('"Жук Виктор"')
    assert not office.phone("150").calls
    office.phone("151").answer()
    await office.talks(call)
    office.line.hang_up(call)
    await office.recorded(type="in", result="answered", code="151")
    await office.shown(("in", ["151"]))


async def test_when_they_do_not_answer_the_group_rings(office: Office) -> None:
    named(office, "Жук Виктор", "375290000022")
    call = office.calls_in("375290000022")
    await office.rings("151")
    await until(lambda: office.phone("150").ringing and office.phone("152").ringing)
    office.line.hang_up(call)
    await office.recorded(type="in", result="no answer")
    await office.shown(("in", ["151"]), ("in", ["150", "152"]))


@pytest.mark.parametrize(("number", "name", "shown"), [(30 + at, *case) for at, case in enumerate(STRANGE)])
async def test_no_name_drops_a_call(office: Office, number: int, name: str, shown: str) -> None:
    phone = f"3752900000{number}"
    named(office, name, phone)
    office.calls_in(phone)
    await office.rings("151")
    assert office.phone("151").calls[0].theirs.partition("<")[0].strip().strip('"') in (shown, phone)
    assert not office.phone("150").calls


@pytest.mark.parametrize("fault", ["outage", "hang", "500"])
async def test_while_the_crm_fails_the_group_rings(office: Office, fault: str) -> None:
    named(office, "Жук Виктор", "375290000040")
    office.lab.crm.switch(fault=fault)
    office.calls_in("375290000040")
    await office.rings(*GROUP)
    office.lab.crm.switch(fault=None)


async def test_a_context_that_does_not_exist_leaves_the_call_to_the_group(office: Office) -> None:
    """Only vochi.conf looks first; the hosts have a context for everybody."""
    if "vochi-ask" not in (office.asterisk.root / "etc" / "extensions.conf").read_text():
        return
    named(office, "Жук Виктор", "375290000050")
    office.asterisk.cli("dialplan remove context mngr2_0001363_1")
    office.calls_in("375290000050")
    await office.rings(*GROUP)
