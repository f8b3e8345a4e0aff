"""The same dialplan on chan_pjsip, as a newer Asterisk has it."""

import pytest

from tests.asterisk.office import Office
from tests.asterisk.test_click import click, outcome
from tests.kinds import C
from tests.lab import CODES, until

pytestmark = pytest.mark.parametrize("asterisk", ["PJSIP"], indirect=True)


async def test_a_ring_group_is_answered(company: Office) -> None:
    await company.ring_group("151")
    await company.shown(("in", ["150", "151", "152"]))
    company.line.hang_up()
    await company.recorded(
        type="in", phone=C, result="answered", code="151", userId=CODES["151"], externalPhone="375172000001"
    )


async def test_a_manager_calls_a_customer(company: Office) -> None:
    company.line.on_ring = "answer"
    call = company.phone("151").call(f"+{C}")
    await company.talks(call)
    await company.shown(("out", ["151"]))
    company.phone("151").hang_up(call)
    await company.recorded(type="out", phone=C, result="answered", code="151", externalPhone="375172000001")


async def test_a_call_is_passed_on_blindly(company: Office) -> None:
    call = await company.ring_group("151")
    company.phone("151").transfer("153")
    await company.rings("153")
    company.phone("153").answer()
    await until(lambda: company.phone("153").talking)
    assert call.state == "talking"
    company.line.hang_up(call)
    await company.recorded(type="in", phone=C, result="answered", code="151")


async def test_a_click_rings_the_manager_and_then_dials_the_customer(company: Office) -> None:
    company.line.on_ring = company.phone("150").on_ring = "answer"
    assert await click(company) == (200, "OK")
    await company.shown(("out", ["150"]))
    await until(lambda: company.line.talking)
    company.line.hang_up()
    await company.recorded(type="out", phone=C, result="answered", code="150")
    await outcome(company, "answered")


async def test_a_phone_that_is_not_registered(company: Office) -> None:
    await company.phone("150").register(seconds=0)
    assert await click(company) == (200, "OK")
    await outcome(company, "failed", "not_registered")
