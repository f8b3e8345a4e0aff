"""Calls on a real Asterisk: what the CRM sees of each kind."""

import pytest

from tests.asterisk.office import LINE, Office
from tests.asterisk.private import LINES
from tests.kinds import C
from tests.lab import CODES, until

GROUP = ["150", "151", "152"]


async def test_a_ring_group_is_answered(company: Office) -> None:
    await company.ring_group("151")
    await company.shown(("in", GROUP))
    company.line.hang_up()
    record = await company.recorded(
        type="in", phone=C, result="answered", code="151", userId=CODES["151"], externalPhone="375172000001"
    )
    assert record["externalId"] == company.lab.popups[0]["callExternalId"]
    assert {item["hangupStatus"] for item in company.lab.events("hangup")} == {"answered", "no answered"}


async def test_nobody_answers(company: Office) -> None:
    company.calls_in()
    await company.rings(*GROUP)
    company.line.hang_up(company.line.calls[0])
    await company.recorded(type="in", phone=C, result="no answer", code=None, userId=None, duration=0)
    await company.shown(("in", GROUP))


async def test_everybody_is_busy(company: Office) -> None:
    for extension in GROUP:
        company.phone(extension).on_ring = "busy"
    call = company.calls_in()
    await until(lambda: call.state == "over")
    await company.recorded(type="in", phone=C, result="no answer", code=None)


async def test_a_manager_calls_a_customer(company: Office) -> None:
    company.line.on_ring = "answer"
    call = company.phone("151").call(f"+{C}")
    await company.talks(call)
    await company.shown(("out", ["151"]))
    company.phone("151").hang_up(call)
    await company.recorded(
        type="out", phone=C, result="answered", code="151", userId=CODES["151"], externalPhone="375172000001"
    )


async def test_a_customer_is_busy(company: Office) -> None:
    company.line.on_ring = "busy"
    call = company.phone("151").call(f"+{C}")
    await until(lambda: call.state == "over")
    await company.recorded(type="out", phone=C, result="no answer", code="151")
    assert (call.refusal, company.line.calls[0].peer) == (486, "151")


async def test_the_reserve_line_is_used(company: Office) -> None:
    company.line.on_ring = "down"
    reserve = company.asterisk.lines[LINES[1]]
    reserve.on_ring = "answer"
    call = company.phone("151").call(f"+{C}")
    await company.talks(call)
    company.phone("151").hang_up(call)
    await company.recorded(type="out", phone=C, result="answered", code="151", externalPhone="375172000002")
    await company.shown(("out", ["151"]))


async def test_a_call_is_passed_on_blindly(company: Office) -> None:
    call = await company.ring_group("151")
    company.phone("151").transfer("153")
    await company.rings("153")
    await company.shown(("in", GROUP), ("in", ["153"]))
    company.phone("153").answer()
    await until(lambda: company.phone("153").talking)
    assert call.state == "talking"
    company.line.hang_up(call)
    await company.recorded(type="in", phone=C, result="answered", code="151")


async def test_a_call_is_passed_on_blindly_to_nobody(company: Office) -> None:
    call = await company.ring_group("151")
    company.phone("153").on_ring = "busy"
    company.phone("151").transfer("153")
    await until(lambda: call.state == "over")
    await company.recorded(type="in", phone=C, result="answered", code="151")


async def test_a_call_is_passed_on_after_a_word(company: Office) -> None:
    call = await company.ring_group("151")
    first = company.phone("151").talking[0]
    second = company.phone("151").call("153")
    await company.rings("153")
    company.phone("153").answer()
    await company.talks(second)
    company.phone("151").join(first, second)
    await until(lambda: not company.phone("151").talking)
    assert call.state == "talking"
    assert company.phone("153").talking
    company.line.hang_up(call)
    await company.recorded(type="in", phone=C, result="answered", code="151", userId=CODES["151"])
    await company.shown(("in", GROUP))


async def test_a_colleague_picks_a_call_up(company: Office) -> None:
    call = company.calls_in()
    await company.rings(*GROUP)
    picker = company.phone("153").call("*8")
    await company.talks(picker)
    await company.talks(call)
    company.line.hang_up(call)
    await company.recorded(type="in", phone=C, result="answered", code="153", userId=CODES["153"])


@pytest.mark.parametrize("answers", [True, False])
async def test_colleagues_among_themselves_are_no_business_of_the_crm(company: Office, *, answers: bool) -> None:
    call = company.phone("150").call("153")
    await company.rings("153")
    if answers:
        company.phone("153").answer()
        await company.talks(call)
    company.phone("150").hang_up(call)
    await company.settled()
    assert not company.lab.events()
    assert not company.lab.records
    assert ("hangup", "internal_call") in await company.lab.reasons()


async def test_two_customers_at_once_are_two_calls(company: Office) -> None:
    one = await company.ring_group("150")
    other = company.calls_in("375290000002")
    await company.rings("151", "152")
    company.phone("152").answer()
    await company.talks(other)
    for call in (one, other):
        company.line.hang_up(call)
    await until(lambda: len(company.lab.records) == 2)
    await company.settled()
    assert {(item["phone"], item["code"]) for item in company.lab.records} == {(C, "150"), ("375290000002", "152")}
    assert company.line.calls[0].target.startswith(f"sip:{LINE}@")
