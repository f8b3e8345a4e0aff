"""The trace answers why: every call with its events, its deliveries and one sentence."""

import pytest

from tests.integration.test_call_path import fresh_id, post
from tests.integration.test_several_daemons import settled
from tests.kinds import GROUP, C, dial, hangup, start
from tests.lab import Lab
from vochi_integrations.domain import Reason
from vochi_integrations.ops.trace import WHY, verdict


async def test_a_call_is_found_by_id_phone_and_extension(lab: Lab) -> None:
    await lab.add_company()
    call, other = fresh_id(1), fresh_id(2)
    async with lab.daemon() as daemon:
        await post(daemon, call, start(0), dial(1, GROUP), hangup(9, ["151"], "2"))
        await post(daemon, other, dial(0, ["161"], phone="375290000009"))
        await settled(lab)
        for query in (call, C, "+375 29 000-00-01", "152"):
            status, answer = await daemon.send("GET", f"{daemon.internal}/api/trace/0367", params={"q": query})
            assert status == 200
            assert [found["unique_id"] for found in answer["calls"]] == [call], query
        assert len((await daemon.get("/api/trace/0367"))[1]["calls"]) == 2
        assert (await daemon.get("/api/trace/0367?q=777777"))[1] == {"calls": []}
        assert (await daemon.get("/api/trace/9999"))[0] == 404
        _, answer = await daemon.get(f"/api/trace/0367?q={call}")
    (found,) = answer["calls"]
    assert [event["event_type"] for event in found["events"]] == ["start", "dial", "hangup"]
    assert [(row["kind"], row["status"]) for row in found["deliveries"]] == [
        ("popup", "done"),
        ("popup_over", "done"),
        ("record", "done"),
    ]
    assert found["verdict"] == "Карточка показана. Звонок записан в историю."


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_words(reason: Reason) -> None:
    assert WHY[reason] in verdict([], [{"kind": "popup", "status": "skipped", "reason": reason}])


def test_a_call_that_caused_nothing_says_why() -> None:
    events = [{"reason": "informational"}, {"reason": "internal_call"}]
    assert verdict(events, []) == "В CRM ничего не отправлено: это внутренний звонок."
    assert verdict([{"reason": "informational"}], []) == "Звонок начался."
    assert verdict([], [{"kind": "record", "status": "pending", "reason": None}]) == "Звонок не записан в историю пока."
