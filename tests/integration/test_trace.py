"""The trace answers why: every call with its events, its deliveries and one sentence."""

from tests.integration.test_call_path import fresh_id, post
from tests.integration.test_several_daemons import settled
from tests.kinds import GROUP, C, dial, hangup, start
from tests.lab import Lab


async def test_a_call_is_found_by_id_phone_extension_and_time(lab: Lab) -> None:
    await lab.add_company()
    call, other = fresh_id(1), fresh_id(2)
    async with lab.daemon() as daemon:
        await post(daemon, call, start(0), dial(1, GROUP), hangup(9, ["151"], "2"))
        await post(daemon, other, dial(0, ["161"], phone="375290000009"))
        await settled(lab)

        async def found(**query: str) -> list[str]:
            status, answer = await daemon.send("GET", f"{daemon.internal}/api/trace/0367", params=query)
            assert status == 200, answer
            return [item["unique_id"] for item in answer["calls"]]

        for query in (call, C, "+375 29 000-00-01", "000-00-01", "152"):
            assert await found(q=query) == [call], query
        assert await found() == [other, call]
        assert await found(q="777777") == await found(q="5") == await found(q="31.02.2025") == []
        assert await found(q="152", until="2020-01-01T00:00:00Z") == await found(q=C, since="2100-01-01") == []
        assert await found(since="2020-01-01", until="2100-01-01") == [other, call]
        assert (await daemon.get("/api/trace/0367?since=yesterday"))[0] == 400
        assert (await daemon.get("/api/trace/9999"))[0] == 404
        _, answer = await daemon.get(f"/api/trace/0367?q={call}")
    (shown,) = answer["calls"]
    assert [event["event_type"] for event in shown["events"]] == ["start", "dial", "hangup"]
    assert [(row["kind"], row["status"]) for row in shown["deliveries"]] == [
        ("popup", "done"),
        ("popup_over", "done"),
        ("record", "done"),
    ]
    assert shown["verdict"] == "Карточка показана. Звонок записан в историю."
