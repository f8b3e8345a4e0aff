"""The trace answers why: every call with its events, its deliveries and one sentence."""

from typing import Any

import pytest

from tests.integration.test_call_path import fresh_id, post
from tests.integration.test_several_daemons import settled
from tests.kinds import GROUP, C, dial, hangup, start
from tests.lab import NUMBER, DaemonUnderTest, Lab
from vochi_integrations.ops import trace


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


async def search(daemon: DaemonUnderTest, **query: str) -> dict[str, Any]:
    status, answer = await daemon.send("GET", f"{daemon.internal}/api/trace/{NUMBER}", params=query)
    assert status == 200, answer
    found: dict[str, Any] = answer
    return found


async def test_a_call_that_rings_nobody_yet_is_found_by_its_number(lab: Lab) -> None:
    await lab.add_company()
    waiting, other = fresh_id(1), fresh_id(2)
    async with lab.daemon() as daemon:
        await post(daemon, waiting, start(0))
        await post(daemon, other, start(0, phone="375290000009"))
        for query in (C, "0001", "000-00-01"):
            assert [call["unique_id"] for call in (await search(daemon, q=query))["calls"]] == [waiting], query
        assert (await search(daemon, q=C, until="2020-01-01"))["calls"] == []


async def add_click(lab: Lab, phone: str, code: str, reason: str | None, call: str | None = None) -> None:
    await lab.sql.execute(
        "INSERT INTO click_calls (enterprise_number, source, code, phone, guarding, state, reason, call_unique_id)"
        " VALUES ($1, 'retailcrm', $2, $3, false, $4, $5, $6)",
        *(NUMBER, code, phone, "failed" if reason else "answered", reason, call),
    )


async def test_a_click_that_led_to_no_call_is_found_by_phone_extension_and_time(lab: Lab) -> None:
    await lab.add_company()
    await add_click(lab, f"+{C}", "151", "not_registered")
    await add_click(lab, "375290000009", "152", None, fresh_id())
    async with lab.daemon() as daemon:
        for query in ({"q": C}, {"q": "0001"}, {"q": "151"}, {"since": "2020-01-01"}, {}):
            ((click),) = (await search(daemon, **query))["clicks"]
            assert (click["code"], click["phone"], click["reason"]) == ("151", f"+{C}", "not_registered"), query
            assert click["verdict"] == (
                "Звонок по клику не начался: телефон сотрудника не зарегистрирован на АТС. Проверить добавочный →"
            )
        for query in ({"q": "152"}, {"q": "0009"}, {"q": "1757840400.6"}, {"until": "2020-01-01"}, {"q": "5"}):
            assert (await search(daemon, **query))["clicks"] == [], query


async def test_the_latest_call_is_found_also_when_there_is_too_much_to_look_through(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latest names the last number and the last list of extensions in their indexes; a cut search says so."""
    await lab.add_company()
    first, second, latest = fresh_id(1), fresh_id(2), fresh_id(3)
    async with lab.daemon() as daemon:
        await post(daemon, first, dial(0, ["150", "151"], phone="375290010001"))
        await post(daemon, second, dial(0, ["150", "151", "152"], phone="375290020001"))
        await post(daemon, latest, dial(0, ["161", "151"], phone="375290090001"))
        whole = [await search(daemon, q=query) for query in ("0001", "151")]
        monkeypatch.setattr(trace, "NUMBERS_LOOKED_AT", 1)
        monkeypatch.setattr(trace, "LISTS_LOOKED_AT", 1)
        monkeypatch.setattr(trace, "LATEST_LOOKED_AT", 1)
        cut = [await search(daemon, q=query) for query in ("0001", "151")]
        exact = await search(daemon, q="375290090001")
    for answer in whole:
        assert [call["unique_id"] for call in answer["calls"]] == [latest, second, first]
        assert not answer["is_cut"]
    for answer in cut:
        assert [call["unique_id"] for call in answer["calls"]] == [latest, first]
        assert answer["is_cut"]
    assert ([call["unique_id"] for call in exact["calls"]], exact["is_cut"]) == ([latest], False)
