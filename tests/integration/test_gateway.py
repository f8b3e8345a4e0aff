"""The gateway routes: events that the provider's own services pass on."""

from typing import Any

import pytest

from tests.integration.test_call_path import fresh_id
from tests.kinds import GROUP, dial, hangup
from tests.lab import TOKEN, DaemonUnderTest, Lab, until

DONE = (200, {"success": True})
REPEATED = (200, {"status": "ignored", "reason": "duplicate"})


async def dispatch(daemon: DaemonUnderTest, path: str = "/dispatch/call-event", **body: Any) -> tuple[int, Any]:
    return await daemon.send("POST", daemon.internal + path, json=body)


def passed_on(event: tuple[float, str, dict[str, Any]], unique_id: str, token: str = TOKEN) -> dict[str, Any]:
    raw = event[2] | {"UniqueId": unique_id, "Token": "whatever"}
    return {"token": token, "uniqueId": unique_id, "event_type": event[1], "raw": raw}


@pytest.mark.parametrize("path", ["/dispatch/call-event", "/dispatch/call-event/", "/internal/retailcrm/call-event"])
@pytest.mark.parametrize("token", [TOKEN, "secret-0367"])
async def test_a_call_passed_on_pops_up_once_and_is_recorded_once(lab: Lab, path: str, token: str) -> None:
    await lab.add_company()
    call = fresh_id()
    async with lab.daemon() as daemon:
        assert await dispatch(daemon, path, **passed_on(dial(0, GROUP), call, token)) == DONE
        assert await dispatch(daemon, path, **passed_on(dial(0, GROUP), call, token)) == REPEATED
        ended = passed_on(hangup(9, ["151"], "2"), call, token) | {"record_url": "https://pbx.example/1.mp3"}
        assert await dispatch(daemon, path, **ended) == DONE
        assert await dispatch(daemon, path, **passed_on(hangup(10, ["150"], "2"), call, token)) == REPEATED
        await until(lambda: lab.records)
    assert [event["codes"] for event in lab.popups] == [GROUP]
    assert [record["recordUrl"] for record in lab.records] == ["https://pbx.example/1.mp3"]


async def test_the_same_event_by_two_routes_is_one(lab: Lab) -> None:
    await lab.add_company()
    call = fresh_id()
    async with lab.daemon() as daemon:
        await daemon.post("dial", dial(0, GROUP)[2] | {"UniqueId": call})
        assert await dispatch(daemon, **passed_on(dial(0, GROUP), call)) == REPEATED
        await until(lambda: lab.popups)
        assert await lab.sql.fetchval("SELECT repeats FROM call_events") == 1
    assert len(lab.popups) == 1


async def test_a_recovered_hangup_is_recorded_without_a_pop_up(lab: Lab) -> None:
    await lab.add_company()
    call = fresh_id()
    async with lab.daemon() as daemon:
        recovered = passed_on(hangup(9, ["151"], "2"), call, "secret-0367") | {"origin": "download"}
        assert await dispatch(daemon, **recovered) == DONE
        assert await dispatch(daemon, **recovered) == REPEATED
        await until(lambda: lab.records)
    assert not lab.events()


@pytest.mark.parametrize(
    ("change", "status", "names"),
    [
        ({"token": "wrong"}, 404, "token"),
        ({"token": None}, 404, "token"),
        ({"token": ""}, 404, "token"),
        ({"event_type": "bridge"}, 400, "event_type"),
        ({"event_type": ["dial"]}, 400, "event_type"),
        ({"raw": None}, 400, "raw"),
        ({"raw": "{}"}, 400, "raw"),
        ({"uniqueId": None}, 400, "uniqueId"),
        ({"uniqueId": "x" * 65}, 400, "uniqueId"),
        ({"record_url": 5}, 400, "record_url"),
    ],
    ids=str,
)
async def test_a_bad_event_says_what_to_change(lab: Lab, change: dict[str, Any], status: int, names: str) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon:
        got, answer = await dispatch(daemon, **(passed_on(dial(0, GROUP), "1.1") | change))
        assert got == status
        assert names in answer["message"]
        assert (await daemon.send("POST", daemon.internal + "/dispatch/call-event", data=b"{"))[0] == 400
        assert await lab.reasons() == []


async def test_events_by_enterprise_number(lab: Lab) -> None:
    await lab.add_company()
    call, recovered = fresh_id(1), fresh_id(2)
    async with lab.daemon() as daemon:
        url = daemon.internal + "/api/events"

        async def send(kind: str, payload: Any, number: Any = "0367") -> tuple[int, Any]:
            body = {"enterprise_number": number, "event_type": kind, "payload": payload}
            return await daemon.send("POST", url, json=body)

        ended = hangup(9, ["151"], "2")[2] | {"record_url": "https://pbx.example/2.mp3"}
        assert await send("dial", dial(0, GROUP)[2] | {"UniqueId": call}) == (200, {"status": "ok"})
        assert await send("hangup", ended | {"UniqueId": call}) == (200, {"status": "ok"})
        assert await send("download", ended | {"UniqueId": recovered}) == (200, {"status": "ok"})
        assert (await send("dial", {"UniqueId": "1"}, "9999"))[0] == 404
        assert (await send("dial", {}))[0] == 400
        assert (await send("dial", [1]))[0] == 400
        assert (await send("ring", {"UniqueId": "1"}))[0] == 400
        assert (await daemon.send("POST", url, data=b""))[0] == 400
        await until(lambda: len(lab.records) == 2)
    assert {event["callExternalId"] for event in lab.popups} == {call}
    assert {record["recordUrl"] for record in lab.records} == {"https://pbx.example/2.mp3"}


async def test_the_oldest_senders_have_only_caller_ids(lab: Lab) -> None:
    """No Phone, no CallType: direction and customer come from who is internal (user_spec_ru, RetailCRM сервис)."""
    await lab.add_company()
    incoming = {"CallerIDNum": "375290000001", "Extensions": ["150"], "ConnectedLineNum": "<unknown>"}
    outgoing = {"CallerIDNum": "151", "ConnectedLineNum": "375290000001"}
    async with lab.daemon() as daemon:
        for call, raw in (("5.1", incoming), ("5.2", outgoing)):
            await dispatch(daemon, token=TOKEN, uniqueId=call, event_type="dial", raw=raw)
        await until(lambda: len(lab.popups) == 2)
    shown = {event["callExternalId"]: (event["type"], event["phone"], event["codes"]) for event in lab.popups}
    assert shown == {"5.1": ("in", "+375290000001", ["150"]), "5.2": ("out", "+375290000001", ["151"])}
