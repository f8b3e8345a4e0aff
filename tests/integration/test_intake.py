"""What hosts may send: liberal acceptance, clear refusals, nothing disturbed."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kinds import GROUP, dial
from tests.lab import TOKEN, DaemonUnderTest, Lab, until
from vochi_integrations import journal, shedding

EVENT = {"Token": TOKEN, "UniqueId": "1757840400.6", "Phone": "375290000001", "Extensions": GROUP, "CallType": 0}
OK = (200, {"status": "ok"})
ROUTES = [
    "start",
    "dial",
    "bridge",
    "hangup",
    "bridge_create",
    "bridge_leave",
    "bridge_destroy",
    "new_callerid",
    "download",
]


async def send(daemon: DaemonUnderTest, body: Any, path: str = "/dial", **options: Any) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body)
    return await daemon.send("POST", daemon.public + path, data=data, **options)


@pytest.mark.parametrize("listener", ["public", "internal"])
async def test_every_route_takes_events_on_both_listeners_with_or_without_a_slash(lab: Lab, listener: str) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon:
        origin = getattr(daemon, listener)
        for number, route in enumerate(ROUTES):
            for slash in ("", "/"):
                body = EVENT | {"UniqueId": f"1.{number}{len(slash)}"}
                assert await daemon.send("POST", f"{origin}/{route}{slash}", json=body) == OK
    assert await lab.sql.fetchval("SELECT count(*) FROM call_events") == 2 * len(ROUTES)


async def test_the_token_of_the_body_wins_and_no_other_value_is_a_token(lab: Lab) -> None:
    await lab.add_company()
    await lab.add_company("0368", "", extensions=())
    async with lab.daemon() as daemon:
        without = {key: value for key, value in EVENT.items() if key != "Token"}
        header = {"Token": f" {TOKEN} "}
        assert await send(daemon, without, headers=header) == OK
        assert await send(daemon, EVENT, headers={"Token": "wrong"}) == OK
        no_tokens: list[object] = ["wrong", "", " ", "0367", "secret-0367", [], {}, True, 1.5]
        for token in no_tokens:
            status, answer = await send(daemon, EVENT | {"Token": token}, headers=header)
            assert (status, answer["error"]) == (401, "unknown_token"), token
        for body in (without, without | {"UniqueId": None}):
            assert (await send(daemon, body))[0] == 401


@pytest.mark.parametrize(
    "unique_id", [None, "", "   ", [], {}, True, "x" * 65, "a\x00b"], ids=lambda value: repr(value)[:12]
)
async def test_an_event_without_a_usable_id_is_refused(lab: Lab, unique_id: object) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon:
        status, answer = await send(daemon, EVENT | {"UniqueId": unique_id})
        assert (status, answer["error"]) == (400, "bad_request")
        assert "UniqueId" in answer["message"]
    assert await lab.reasons() == []


async def test_an_id_may_be_a_number_and_a_bridge_has_its_own(lab: Lab) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon:
        assert await send(daemon, EVENT | {"UniqueId": 1757840400.6}) == OK
        bridge = {"Token": TOKEN, "UniqueId": "", "BridgeUniqueid": "b-1"}
        assert await send(daemon, bridge, "/bridge_create") == OK
        assert (await send(daemon, bridge, "/bridge"))[0] == 400
        assert (await send(daemon, {"Token": TOKEN}, "/bridge_destroy"))[0] == 400
    ids = await lab.sql.fetch("SELECT unique_id FROM call_events ORDER BY id")
    assert [row["unique_id"] for row in ids] == ["1757840400.6", "b-1"]


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'"text"', b"null", b"5", b"\xff\xfe{}", b'{"Token": "\xff"}', b"{'a': 1}", b"[" * 20_000],
    ids=lambda data: repr(data[:10]),
)
async def test_what_is_no_json_object_is_refused(lab: Lab, data: bytes) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon:
        for headers in ({}, {"Token": TOKEN}):
            status, answer = await send(daemon, data, headers=headers)
            assert (status, answer["error"]) == (400, "bad_request")
        assert (await send(daemon, data, headers={"Token": "wrong"}))[0] == 401


async def test_a_large_body_is_refused_also_in_chunks(lab: Lab) -> None:
    async def chunks() -> Any:
        for _ in range(70):
            yield b" " * 1024

    await lab.add_company()
    async with lab.daemon() as daemon:
        full = json.dumps(EVENT | {"x": ""})
        exact = full[:-2] + "y" * (65_536 - len(full)) + full[-2:]
        assert len(exact) == 65_536
        assert await send(daemon, exact.encode()) == OK
        for data in (exact.encode() + b" ", b" " * 1_000_000, chunks()):
            status, answer = await daemon.send("POST", daemon.public + "/dial", data=data)
            assert (status, answer["error"]) == (413, "body_too_large")


async def test_wrong_methods_and_paths_are_json_errors(lab: Lab) -> None:
    async with lab.daemon() as daemon:
        status, answer = await daemon.send("GET", daemon.public + "/dial")
        assert (status, answer["error"]) == (405, "method_not_allowed")
        for path in (
            "/nothing",
            "/dispatch/call-event",
            "/stats",
            "/integrations/0367",
            "/cache/entries",
            "/api/events",
        ):
            status, answer = await daemon.send("POST", daemon.public + path, json={})
            assert (status, answer["error"]) == (404, "not_found"), path
        for number in ("abc", "12345678901", "-1", "0367x"):
            assert (await daemon.get(f"/integrations/{number}"))[0] == 404


async def test_nul_surrogates_and_deep_nesting_break_nothing(lab: Lab) -> None:
    await lab.add_company()
    deep = b'{"Token":"%s","UniqueId":"7.3","x":%s%s}' % (TOKEN.encode(), b"[" * 500, b"]" * 500)
    deeper = b'{"Token":"%s","UniqueId":"7.4","x":%s%s}' % (TOKEN.encode(), b"[" * 5000, b"]" * 5000)
    async with lab.daemon() as daemon:
        odd = {"UniqueId": "7.1", "Phone": "375\x00290000001", "na\x00me": ["\x00"], "y": "\\u0000"}
        results = await asyncio.gather(
            send(daemon, EVENT | odd),
            send(daemon, b'{"Token":"%s","UniqueId":"7.2","CallerIDName":"\\ud800"}' % TOKEN.encode()),
            send(daemon, deep),
            send(daemon, EVENT | {"UniqueId": "7.5"}),
        )
        assert list(results) == [OK] * 4
        assert (await send(daemon, deeper))[0] == 400
    kept = await lab.sql.fetch("SELECT unique_id, raw_data FROM call_events ORDER BY unique_id")
    assert [row["unique_id"] for row in kept] == ["7.1", "7.2", "7.3", "7.5"]
    assert kept[0]["raw_data"]["name"] == [""]
    assert "Token" not in kept[0]["raw_data"]


@pytest.mark.parametrize(
    "odd",
    [
        {"CallType": "0"},
        {"CallType": 0.0},
        {"Phone": 375290000001},
        {"Extensions": "150&151&152"},
        {"Extensions": ["SIP/150&PJSIP/151", "152@context/n", "<unknown>", ""]},
        {"Extensions": [150, 151, 152]},
        {"Trunk": None, "ExtPhone": {}},
    ],
    ids=str,
)
async def test_old_ways_of_writing_a_dial_are_understood(lab: Lab, odd: dict[str, object]) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon:
        assert await send(daemon, EVENT | odd) == OK
        await until(lambda: lab.popups)
    assert lab.popups[0] | {"callExternalId": ""} == {
        "phone": "+375290000001",
        "type": "in",
        "codes": GROUP,
        "callExternalId": "",
    }


@pytest.mark.parametrize(
    "odd",
    [
        {"CallType": "x"},
        {"CallType": []},
        {"Phone": ["375290000001"]},
        {"Phone": {}},
        {"Extensions": {"a": 1}},
        {"Extensions": [None, {}, []]},
        {"CallType": True},
    ],
    ids=str,
)
async def test_wrong_types_are_kept_and_ignored(lab: Lab, odd: dict[str, object]) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon:
        assert await send(daemon, EVENT | odd) == OK
        ((kind, reason),) = await lab.reasons()
    assert kind == "dial"
    assert reason in ("internal_call", "no_customer", "no_extension")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    "UniqueId",
    "Phone",
    "Extensions",
    "CallType",
    "CallStatus",
    "Trunk",
    "StartTime",
    "EndTime",
    "CallerIDNum",
    "ConnectedLineNum",
    "BridgeUniqueid",
    "ExtPhone",
    "record_url",
]


async def test_no_body_whatever_makes_a_server_error(lab: Lab) -> None:
    """Hundreds of random bodies on every route; the daemon answers 200 or 400, and a good call afterwards works."""
    await lab.add_company()
    bodies: list[tuple[str, dict[str, Any]]] = []

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.sampled_from(ROUTES), st.dictionaries(st.sampled_from(FIELDS), json_values))
    def collect(route: str, body: dict[str, Any]) -> None:
        bodies.append((route, body))

    collect()
    async with lab.daemon() as daemon:
        for route, body in bodies:
            status, _ = await send(daemon, {**body, "Token": TOKEN}, "/" + route)
            assert status in (200, 400), (route, body)
        await daemon.post("dial", dial(0, ["161"])[2] | {"UniqueId": "1757840400.999"})
        await until(lambda: any(event["codes"] == ["161"] for event in lab.popups))


def request_of(number: int, version: str = "1.1", *headers: str) -> bytes:
    body = json.dumps(EVENT | {"UniqueId": f"1757840400.{number}"}).encode()
    lines = [f"POST /dial HTTP/{version}", "Host: pbx", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """Read one answer as it is on the wire."""
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return status, headers, await reader.readexactly(int(headers["content-length"]))


async def test_the_answer_is_whole_on_every_kind_of_connection(lab: Lab) -> None:
    """One kept open, with requests sent ahead of their answers; one that closes; HTTP/1.0, as nginx speaks it."""
    await lab.add_company()
    async with lab.daemon() as daemon:
        port = int(daemon.public.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_of(1) + request_of(2))
        for _ in range(2):
            status, headers, body = await read_answer(reader)
            assert (status, body) == ("HTTP/1.1 200 OK", b'{"status":"ok"}')
            assert headers["content-type"].startswith("application/json")
            assert headers["date"].endswith("GMT")
        writer.write(request_of(3, "1.1", "Connection: close"))
        assert (await read_answer(reader))[2] == b'{"status":"ok"}'
        assert await reader.read() == b""
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_of(4, "1.0"))
        assert (await read_answer(reader))[2] == b'{"status":"ok"}'
        assert await reader.read() == b""
        writer.close()
    assert await lab.sql.fetchval("SELECT count(*) FROM call_events") == 4


async def test_a_host_that_asks_before_it_sends_is_told_to_go_on(lab: Lab) -> None:
    """curl does, for longer bodies; the answer it waits for comes before the body does."""
    await lab.add_company()
    async with lab.daemon() as daemon:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(daemon.public.rpartition(":")[2]))
        head, _, body = request_of(1, "1.1", "Expect: 100-continue").partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 Continue")
        writer.write(body)
        assert (await read_answer(reader))[2] == b'{"status":"ok"}'
        writer.close()


@pytest.mark.parametrize(
    ("module", "limit", "value"), [(shedding, "LONGEST_WAIT", -1.0), (journal, "WAITING_EVENTS", 0)]
)
async def test_what_would_wait_too_long_is_told_503_and_never_happened(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, module: object, limit: str, value: float
) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon:
        with monkeypatch.context() as full:
            full.setattr(module, limit, value)
            status, answer = await send(daemon, EVENT)
            assert (status, answer["error"]) == (503, "not_durable")
            assert "send it again" in answer["message"]
        assert not await lab.sql.fetchval("SELECT count(*) FROM call_events")
        assert (await daemon.get("/stats"))[1]["events_shed"] == 1
        assert await send(daemon, EVENT) == OK
    assert await lab.sql.fetchval("SELECT count(*) FROM call_events") == 1
