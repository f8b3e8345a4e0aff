"""The emulator on a real port: driven by the official `retailcrm` package, then rule by rule and fault by fault."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import retailcrm
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, FormData, web
from aiohttp.test_utils import TestClient, TestServer

from vochi_integrations.emulators.retailcrm import CRM, Account, Crm, Fault, User, create_app
from vochi_integrations.emulators.retailcrm.people import STAFF

CODE = "vochi-telephony"
EVENT = {"phone": "+375290000001", "type": "in", "codes": ["150"], "callExternalId": "1757840400.1"}
CALL = {
    "date": "2025-09-14 12:00:00",
    "type": "in",
    "phone": "375290000001",
    "code": "150",
    "userId": 16,
    "result": "answered",
    "duration": 42,
    "durationWaiting": 7,
    "externalId": "1757840400.1",
    "recordUrl": "https://pbx.example/records/1.mp3",
}
EVENT_URL = "/api/v5/telephony/call/event"
UPLOAD_URL = "/api/v5/telephony/calls/upload"
EDIT_URL = f"/api/v5/integration-modules/{CODE}/edit"

Server = TestServer
Client = TestClient[web.Request, web.Application]
StartServer = Callable[..., Awaitable[Server]]


def module(**telephony: Any) -> dict[str, Any]:
    return {
        "code": CODE,
        "integrationCode": CODE,
        "active": True,
        "name": "Telephony",
        "logo": "https://pbx.example/logo.svg",
        "baseUrl": "https://pbx.example",
        "clientId": "6f1c",
        "integrations": {
            "telephony": {
                "makeCallUrl": "https://pbx.example/retailcrm/make-call",
                "inputEventSupported": True,
                "outputEventSupported": True,
                "hangupEventSupported": True,
                "additionalCodes": [{"userId": 16, "code": "150"}, {"userId": "18", "code": "151"}],
                **telephony,
            },
        },
    }


@pytest.fixture
def accounts() -> list[Account]:
    crowd = [*STAFF, *(User(100 + number, "Пётр", f"Номер {number}") for number in range(41))]
    return [Account(users=crowd), Account("second-key", "second"), Account("poor-key", "poor", scopes=["user_read"])]


@pytest.fixture
async def server(accounts: list[Account], aiohttp_server: StartServer) -> Server:
    return await aiohttp_server(create_app(accounts))


@pytest.fixture
def crm(server: Server) -> Crm:
    assert server.app
    return server.app[CRM]


@pytest.fixture
def demo(crm: Crm) -> Account:
    crm.switch(rate_limit=False)
    return crm.accounts["demo-key"]


@pytest.fixture
async def client(server: Server, demo: Account, aiohttp_client: Callable[..., Awaitable[Client]]) -> Client:
    return await aiohttp_client(server, headers={"X-API-KEY": "demo-key"}, timeout=ClientTimeout(total=5))


@pytest.fixture
async def registered(client: Client) -> Client:
    await post(client, EDIT_URL, integrationModule=module())
    return client


@pytest.fixture
def official(server: Server, demo: Account) -> Callable[..., Awaitable[Any]]:
    """The official client, synchronous, in a thread: `await official("users", {"active": 1})`."""
    package = retailcrm.v5(str(server.make_url("")).rstrip("/"), "demo-key")

    async def call(method: str, *arguments: Any) -> Any:
        return await asyncio.to_thread(getattr(package, method), *arguments)

    return call


async def post(client: Client, path: str, **parameters: Any) -> tuple[int, Any]:
    """Composite parameters as JSON strings in an urlencoded form, as the official clients send them."""
    form = {name: json.dumps(value) for name, value in parameters.items()}
    return await answer_of(await client.post(path, data=form))


async def get(client: Client, path: str, **query: str) -> tuple[int, Any]:
    return await answer_of(await client.get(path, params=query))


async def answer_of(response: ClientResponse) -> tuple[int, Any]:
    return response.status, await response.json()


def connections(server: Server) -> list[Any]:
    assert server.runner
    assert server.runner.server
    return server.runner.server.connections


async def eventually(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not check():
            await asyncio.sleep(0)


class TestTheOfficialClient:
    async def test_reads_what_an_account_is(self, official: Callable[..., Awaitable[Any]]) -> None:
        assert (await official("api_versions")).get_response()["versions"] == ["3.0", "4.0", "5.0"]
        credentials = (await official("api_credentials")).get_response()
        assert "telephony_write" in credentials["scopes"]
        assert credentials["sitesAvailable"] == ["shop"]
        assert (await official("system_info")).get_response()["publicUrl"].startswith("http://127.0.0.1:")

    async def test_registers_a_module_and_reads_it_back(self, official: Callable[..., Awaitable[Any]]) -> None:
        created = await official("integration_module_edit", module())
        assert (created.get_status_code(), created.get_response()) == (201, {"success": True, "info": []})
        stored = (await official("integration_module", CODE)).get_response()["integrationModule"]
        assert stored["integrations"]["telephony"]["additionalCodes"] == [
            {"userId": 16, "code": "150"},
            {"userId": 18, "code": "151"},
        ]
        edited = await official("integration_module_edit", stored)
        assert (edited.get_status_code(), edited.get_response()["info"]) == (200, [])

    async def test_is_told_of_an_unknown_module(self, official: Callable[..., Awaitable[Any]]) -> None:
        answer = await official("integration_module", "unknown")
        assert (answer.get_status_code(), answer.get_error_msg()) == (404, "Not found")

    async def test_is_refused_with_an_error_for_each_field(self, official: Callable[..., Awaitable[Any]]) -> None:
        answer = await official(
            "integration_module_edit", {**module(), "baseUrl": "", "logo": "https://a.example/1.jpg"}
        )
        assert (answer.get_status_code(), answer.get_error_msg()) == (400, "Errors in the entity format")
        assert answer.get_errors() == {"baseUrl": "This value should not be blank", "logo": "Logo image must be svg"}

    async def test_sends_events_and_calls(self, official: Callable[..., Awaitable[Any]], demo: Account) -> None:
        await official("integration_module_edit", module())
        event = await official("telephony_call_event", {**EVENT, "codes": ["150", "555"], "userIds": [16, 42]})
        assert event.get_response() == {"success": True, "notExistCodes": ["555"], "notExistUsers": [42]}
        upload = await official("telephony_calls_upload", [CALL])
        assert upload.get_response() == {"success": True, "processedCallsCount": 1, "duplicateCalls": []}
        again = await official("telephony_calls_upload", [CALL])
        assert again.get_response() == {"success": True, "processedCallsCount": 0, "duplicateCalls": ["1757840400.1"]}
        assert len(demo.events) == len(demo.calls) == 1

    async def test_pages_through_users(self, official: Callable[..., Awaitable[Any]]) -> None:
        # Without filters the package sends the scalar `filter=None`; the CRM has to live with that.
        first = (await official("users")).get_response()
        assert first["pagination"] == {"limit": 20, "totalCount": 50, "currentPage": 1, "totalPageCount": 3}
        assert first["users"][0]["groups"][0]["code"] == "manager"
        last = (await official("users", {"active": 1}, 20, 3)).get_response()
        assert [user["id"] for user in last["users"]] == list(range(133, 141))
        refused = await official("users", None, 30)
        assert (refused.get_status_code(), list(refused.get_errors())) == (400, ["limit"])

    async def test_filters_users(self, official: Callable[..., Awaitable[Any]]) -> None:
        async def found(**filters: Any) -> list[int]:
            return [user["id"] for user in (await official("users", filters)).get_response()["users"]]

        assert await found(active=0) == [34, 36]
        assert await found(isManager=0) == [31]
        assert await found(status="busy") == [19]
        assert await found(email="user27@") == [27]
        assert await found(groups=["director", "accounting"]) == [27, 31]
        # A Python flag becomes `True`, which is no 0 or 1.
        assert (await official("users", {"active": True})).get_status_code() == 400
        assert (await official("users", {"extension": "150"})).get_status_code() == 400
        assert (await official("users", {"status": "asleep"})).get_status_code() == 400

    async def test_reads_and_changes_one_user(self, official: Callable[..., Awaitable[Any]], demo: Account) -> None:
        assert (await official("user", 16)).get_response()["user"]["firstName"] == "Анна"
        assert (await official("user", 999)).get_status_code() == 404
        assert (await official("user_status", 16, "dinner")).get_response() == {"success": True}
        assert demo.users[16].status == "dinner"
        assert (await official("user_status", 16, "asleep")).get_status_code() == 400
        groups = (await official("user_groups")).get_response()["groups"]
        assert [group["code"] for group in groups] == ["manager", "director", "accounting"]

    async def test_finds_the_responsible_manager(self, official: Callable[..., Awaitable[Any]]) -> None:
        await official("integration_module_edit", module())
        answer = (await official("telephony_manager", "375290000001", 1, 1)).get_response()
        assert (answer["manager"]["id"], answer["manager"]["code"], answer["customer"]["id"]) == (16, "150", 501)
        unknown = (await official("telephony_manager", "375290000099", 1, 1)).get_response()
        assert sorted(unknown) == ["links", "success"]
        # The package's own defaults, True and True, are sent as words.
        assert (await official("telephony_manager", "375290000001")).get_status_code() == 400

    async def test_finds_a_customer_by_phone(self, official: Callable[..., Awaitable[Any]]) -> None:
        found = (await official("customers", {"name": "+375290000002"})).get_response()["customers"]
        assert [(customer["id"], customer["managerId"]) for customer in found] == [(502, 18)]

    async def test_takes_success_false_with_200_for_success(
        self, official: Callable[..., Awaitable[Any]], crm: Crm
    ) -> None:
        crm.switch(fault="success_false")
        answer = await official("api_versions")
        assert answer.is_successful()
        assert not answer.get_response()["success"]

    async def test_cannot_read_an_html_error(self, official: Callable[..., Awaitable[Any]], crm: Crm) -> None:
        crm.switch(fault="405")
        with pytest.raises(ValueError, match="Expecting value"):
            await official("api_versions")


class TestTheWayIn:
    async def test_a_key_comes_in_the_header_the_query_or_the_form(self, server: Server) -> None:
        url, key = server.make_url("/api/credentials"), {"apiKey": "demo-key"}
        async with ClientSession(cookie_jar=DummyCookieJar()) as session:
            assert (await session.get(url, headers={"X-API-KEY": "demo-key"})).status == 200
            assert (await session.get(url, params=key)).status == 200
            event = {"event": json.dumps(EVENT), **key}
            sent = await answer_of(await session.post(server.make_url(EVENT_URL), data=event))
            assert sent == (400, {"success": False, "errorMsg": "Telephony not enabled"})

    @pytest.mark.parametrize(
        ("key", "status", "message"),
        [
            ({}, 400, '"apiKey" is missing.'),
            ({"X-API-KEY": ""}, 400, '"apiKey" is missing.'),
            ({"X-API-KEY": "stolen"}, 403, 'Wrong "apiKey" value.'),
            ({"X-API-KEY": "poor-key"}, 403, "Access denied."),
        ],
    )
    async def test_no_wrong_or_poor_key_is_let_in(
        self, server: Server, key: dict[str, str], status: int, message: str
    ) -> None:
        async with ClientSession() as session:
            answer = await answer_of(await session.post(server.make_url(EVENT_URL), data={}, headers=key))
        assert answer == (status, {"success": False, "errorMsg": message})

    @pytest.mark.parametrize(
        "path", ["/api/v5/credentials", "/api/v5/users/", f"{EVENT_URL}/", "/api/v4/users", EVENT_URL]
    )
    async def test_other_paths_are_no_methods(self, client: Client, path: str) -> None:
        assert await get(client, path) == (404, {"success": False, "errorMsg": "API method not found"})

    async def test_a_composite_parameter_is_one_json_string(self, registered: Client) -> None:
        async def refused(**request: Any) -> str:
            status, body = await answer_of(await registered.post(EVENT_URL, **request))
            assert status == 400
            return str(body["errorMsg"])

        nested = 'Input value "event" contains a non-scalar value'
        missing = "Parameter 'event' is missing"
        assert await refused(data={"event[phone]": "+375290000001", "event[type]": "in"}) == nested
        upload = FormData()
        upload.add_field("event", b"{}", filename="event.json")
        assert await refused(data=upload) == nested
        assert await refused(json={"event": EVENT}) == missing
        assert await refused(params={"event": json.dumps(EVENT)}) == missing
        assert await refused(data={"event": ""}) == missing
        assert await refused(data={"event": "{'phone'"}) == "Errors in the input parameters"
        broken = {"data": b"--x", "headers": {"Content-Type": "multipart/form-data"}}
        assert await refused(**broken) == missing

    async def test_multipart_is_accepted_as_well(self, registered: Client, demo: Account) -> None:
        form = FormData({"event": json.dumps(EVENT)}, default_to_multipart=True)
        assert await answer_of(await registered.post(EVENT_URL, data=form)) == (200, {"success": True})
        assert demo.events[0].event == EVENT

    async def test_more_than_the_limit_in_a_second_is_503_in_html(self, client: Client, crm: Crm) -> None:
        crm.switch(rate_limit=True)
        ordinary = [await client.get("/api/api-versions") for _ in range(11)]
        telephony = [await client.post(EVENT_URL, data={}) for _ in range(41)]
        assert [answer.status for answer in ordinary].count(200) == 10
        assert [answer.status for answer in telephony].count(400) == 40
        assert telephony[-1].status == 503
        assert telephony[-1].content_type == "text/html"
        assert crm.named["demo"].totals.limited == 2
        crm.switch(rate_limit=False)
        assert (await client.get("/api/api-versions")).status == 200

    async def test_every_request_is_noted_as_it_arrives(self, client: Client, demo: Account, crm: Crm) -> None:
        before = time.time(), time.perf_counter()
        await client.get("/api/api-versions")
        await client.get("/api/v5/nothing", params={"apiKey": "demo-key"})
        after = time.time(), time.perf_counter()
        first, second = demo.requests
        assert (first.method, first.path, first.status) == ("GET", "/api/api-versions", 200)
        assert (second.path, second.status) == ("/api/v5/nothing", 404)
        assert before[0] <= first.at <= second.at <= after[0]
        assert before[1] <= first.tick <= second.tick <= after[1]
        assert list(crm.requests) == [first, second]

    async def test_a_thousand_accounts_do_not_see_each_other(self, aiohttp_client: Any) -> None:
        crowd = [Account(f"key-{number}", f"shop-{number}") for number in range(1000)]
        client = await aiohttp_client(create_app(crowd), headers={"X-API-KEY": "key-777"})
        await post(client, EDIT_URL, integrationModule=module())
        assert await post(client, EVENT_URL, event=EVENT) == (200, {"success": True})
        assert [account.name for account in crowd if account.events] == ["shop-777"]


class TestTelephony:
    async def test_is_off_until_a_module_is_active(self, client: Client) -> None:
        off = {"success": False, "errorMsg": "Telephony not enabled"}
        assert await post(client, EVENT_URL, event=EVENT) == (400, off)
        await post(client, EDIT_URL, integrationModule={**module(), "active": False})
        assert await post(client, EVENT_URL, event=EVENT) == (400, off)
        status, body = await post(client, UPLOAD_URL, calls=[CALL])
        assert (status, body["errorMsg"]) == (400, "Telephony not enabled or not supports calls upload")
        await post(client, EDIT_URL, integrationModule={**module(), "freeze": True})
        assert (await post(client, EVENT_URL, event=EVENT))[0] == 400
        await post(client, EDIT_URL, integrationModule=module())
        assert await post(client, EVENT_URL, event=EVENT) == (200, {"success": True})

    async def test_a_bad_event_is_refused_and_not_kept(self, registered: Client, demo: Account) -> None:
        status, body = await post(registered, EVENT_URL, event={**EVENT, "type": "hangup", "extra": 1})
        assert (status, body["errorMsg"]) == (400, "Errors in the entity format")
        assert body["errors"] == {
            "hangupStatus": "This value should not be blank",
            "extra": "This form should not contain extra fields",
        }
        assert not demo.events

    async def test_a_popup_opens_on_the_named_screens_and_closes_with_its_status(
        self, registered: Client, demo: Account
    ) -> None:
        await post(registered, EVENT_URL, event={**EVENT, "codes": ["150", "999"], "userIds": [22]})
        assert sorted(user_id for user_id, _ in demo.screens.open) == [16, 22]
        await post(registered, EVENT_URL, event={**EVENT, "type": "hangup", "hangupStatus": "answered"})
        assert [user_id for user_id, _ in demo.screens.open] == [22]
        assert [(popup.user_id, popup.status) for popup in demo.screens.closed] == [(16, "answered")]

    async def test_at_most_fifty_calls_at_once(self, registered: Client, demo: Account) -> None:
        batch = [{**CALL, "externalId": str(number)} for number in range(51)]
        assert (await post(registered, UPLOAD_URL, calls=batch))[0] == 400
        assert (await post(registered, UPLOAD_URL, calls=[]))[0] == 400
        assert (await post(registered, UPLOAD_URL, calls=CALL))[0] == 400
        assert not demo.calls
        status, body = await post(registered, UPLOAD_URL, calls=batch[:50])
        assert (status, body["processedCallsCount"], len(demo.calls)) == (200, 50, 50)

    async def test_a_repeat_is_counted_and_compared_but_not_stored(self, registered: Client, demo: Account) -> None:
        await post(registered, UPLOAD_URL, calls=[CALL, CALL])
        await post(registered, UPLOAD_URL, calls=[{**CALL, "duration": 43}])
        stored = demo.calls["1757840400.1"]
        assert (stored.uploads, stored.changed, stored.call["duration"]) == (3, 1, 42)
        assert (demo.totals.calls, demo.totals.duplicates, demo.totals.uploads) == (1, 2, 2)

    async def test_one_bad_call_spoils_its_batch(self, registered: Client, demo: Account) -> None:
        status, body = await post(registered, UPLOAD_URL, calls=[CALL, {**CALL, "externalId": "2", "result": "missed"}])
        assert (status, list(body["errors"])) == (400, ["calls[1].result"])
        assert not demo.calls

    async def test_or_only_itself_when_so_switched(self, registered: Client, demo: Account, crm: Crm) -> None:
        crm.switch("demo", one_bad_call="460")
        batch = [CALL, {**CALL, "externalId": "2", "result": "missed"}, "nonsense"]
        status, body = await post(registered, UPLOAD_URL, calls=batch)
        assert (status, body["success"]) == (460, False)
        assert body["uploadedCalls"] == [{"externalId": "1757840400.1"}]
        assert body["failedCalls"] == [{"externalId": "2"}]
        assert list(demo.calls) == ["1757840400.1"]

    async def test_the_history_is_read_newest_first_by_cursor(self, registered: Client) -> None:
        for number in range(25):
            await post(registered, UPLOAD_URL, calls=[{**CALL, "externalId": str(number), "result": "no answer"}])
        _, first = await get(registered, "/api/v5/telephony/calls")
        assert first["calls"][0]["externalId"] == "24"
        assert first["calls"][0]["isMissed"]
        assert first["calls"][0]["manager"] == {"id": 16, "firstName": "Анна", "lastName": "Иванова"}
        _, rest = await get(registered, "/api/v5/telephony/calls", cursor=first["pagination"]["nextCursor"])
        assert [call["externalId"] for call in rest["calls"]] == ["4", "3", "2", "1", "0"]
        assert "nextCursor" not in rest["pagination"]
        assert (await get(registered, "/api/v5/telephony/calls", limit="30"))[0] == 400
        assert (await get(registered, "/api/v5/telephony/calls", cursor="newest"))[0] == 400

    async def test_the_manager_depends_on_status_and_being_there(self, registered: Client) -> None:
        async def manager(phone: str, **query: str) -> Any:
            _, body = await get(registered, "/api/v5/telephony/manager", phone=phone, **query)
            return body.get("manager")

        busy, gone, plain = "375290000003", "375290000005", "+375290000002"
        assert await manager(busy) is None
        assert (await manager(busy, ignoreStatus="1"))["id"] == 19
        assert await manager(gone, ignoreStatus="1") is None
        assert (await manager(plain))["code"] == "151"
        assert (await get(registered, "/api/v5/telephony/manager"))[1]["errorMsg"] == "Parameter 'phone' is missing"
        # What a plus becomes when a client forgets to encode it.
        assert (await registered.get("/api/v5/telephony/manager?phone=+375290000002")).status == 400


class TestModules:
    async def test_an_edit_without_codes_wipes_them(self, registered: Client) -> None:
        bare = module()
        del bare["integrations"]["telephony"]["additionalCodes"]
        assert (await post(registered, EDIT_URL, integrationModule=bare))[0] == 200
        _, body = await get(registered, f"/api/v5/integration-modules/{CODE}")
        assert body["integrationModule"]["integrations"]["telephony"]["additionalCodes"] == []
        _, event = await post(registered, EVENT_URL, event=EVENT)
        assert event == {"success": True, "notExistCodes": ["150"]}

    async def test_what_the_account_does_not_know_is_named(self, client: Client) -> None:
        unknown = {
            "additionalCodes": [{"userId": 999, "code": "199"}],
            "externalPhones": [{"siteCode": "moon", "externalPhone": "+375172000000"}],
        }
        answer = await post(client, EDIT_URL, integrationModule=module(**unknown))
        info = {"notExistUsersIds": [999], "notExistSiteCodes": ["moon"]}
        assert answer == (201, {"success": True, "info": info})

    async def test_nested_form_fields_are_no_module(self, client: Client) -> None:
        response = await client.post(EDIT_URL, data={"integrationModule[code]": CODE})
        status, body = await answer_of(response)
        assert (status, body["errorMsg"]) == (400, 'Input value "integrationModule" contains a non-scalar value')

    @pytest.mark.parametrize(
        "path",
        [
            f"/api/v5/users?page={'9' * 5000}",
            "/api/v5/users?page=0",
            "/api/v5/users?page=x",
            "/api/v5/user-groups?limit=250",
        ],
    )
    async def test_pages_are_counted_from_one_in_given_sizes(self, client: Client, path: str) -> None:
        assert (await client.get(path)).status == 400


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            (Fault.ERROR_500, (500, "application/json", 0)),
            (Fault.ERROR_503, (503, "text/html", 0)),
            (Fault.ERROR_405, (405, "text/html", 0)),
            (Fault.SUCCESS_FALSE, (200, "application/json", 0)),
            (Fault.INVALID_JSON, (200, "application/json", 1)),
        ],
    )
    async def test_a_false_answer(
        self, registered: Client, demo: Account, fault: Fault, expected: tuple[int, str, int]
    ) -> None:
        demo.switch({"fault": fault})
        response = await registered.post(EVENT_URL, data={"event": json.dumps(EVENT)})
        assert (response.status, response.content_type, len(demo.events)) == expected
        assert '"success":true}' not in await response.text()

    @pytest.mark.parametrize(("fault", "stored"), [(Fault.OUTAGE, 0), (Fault.RESET, 1)])
    async def test_a_broken_connection(
        self, registered: Client, demo: Account, caplog: pytest.LogCaptureFixture, fault: Fault, stored: int
    ) -> None:
        demo.switch({"fault": fault})
        with pytest.raises(ClientError):
            await post(registered, UPLOAD_URL, calls=[CALL])
        assert len(demo.calls) == stored
        assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]

    async def test_a_hang_is_answered_when_released(self, registered: Client, demo: Account, crm: Crm) -> None:
        crm.switch("demo", fault="hang")
        waiting = asyncio.create_task(post(registered, EVENT_URL, event=EVENT))
        await eventually(lambda: len(demo.requests) == 2)
        assert not demo.events
        crm.switch("demo", latency_ms=0)
        crm.switch("demo", fault=None)
        assert await waiting == (200, {"success": True})

    async def test_a_hang_forgets_whoever_gave_up(
        self, server: Server, registered: Client, demo: Account, crm: Crm
    ) -> None:
        crm.switch("demo", fault="hang")
        with pytest.raises(TimeoutError):
            await registered.post(EVENT_URL, data={"event": json.dumps(EVENT)}, timeout=ClientTimeout(total=0.05))
        await eventually(lambda: not connections(server))
        crm.switch(fault=None)
        await registered.get("/api/api-versions")
        assert [request.status for request in demo.requests] == [201, 0, 200]
        assert not demo.events

    async def test_a_lost_answer_leaves_the_call_stored(self, registered: Client, demo: Account, crm: Crm) -> None:
        demo.switch({"fault": "lost_answer"})
        waiting = asyncio.create_task(post(registered, UPLOAD_URL, calls=[CALL]))
        await eventually(lambda: len(demo.calls) == 1)
        crm.switch("demo", drip_ms=1)
        await registered.get("/_state")
        assert not waiting.done()
        crm.switch(fault=None)
        with pytest.raises(ClientError):
            await waiting
        _, body = await post(registered, UPLOAD_URL, calls=[CALL])
        assert body["duplicateCalls"] == ["1757840400.1"]

    async def test_a_shutdown_ends_hangs_delays_and_streams(
        self, server: Server, registered: Client, demo: Account, crm: Crm
    ) -> None:
        stream = await registered.get("/_stream")
        crm.switch("demo", fault="hang")
        hung = asyncio.create_task(post(registered, EVENT_URL, event=EVENT))
        await eventually(lambda: len(demo.requests) == 2)
        crm.switch("second", latency_ms=600_000)
        slow = registered.get("/api/api-versions", headers={"X-API-KEY": "second-key"})
        delayed = asyncio.create_task(slow.__aenter__())
        await eventually(lambda: crm.named["second"].totals.requests == 1)
        started = time.perf_counter()
        await server.close()
        assert time.perf_counter() - started < 1
        assert (await delayed).status == 200
        with pytest.raises(ClientError):
            await hung
        assert (await stream.content.read()).startswith(b"data: ")

    async def test_a_delay_comes_after_the_event_was_taken(self, registered: Client, demo: Account, crm: Crm) -> None:
        demo.switch({"latency_ms": 600_000})
        waiting = asyncio.create_task(post(registered, EVENT_URL, event=EVENT))
        await eventually(lambda: len(demo.events) == 1)
        assert not waiting.done()
        crm.stop()
        assert await waiting == (200, {"success": True})

    async def test_a_slow_drip_is_a_whole_answer_in_the_end(self, registered: Client, demo: Account) -> None:
        demo.switch({"fault": "drip", "drip_ms": 0.1})
        assert await post(registered, EVENT_URL, event=EVENT) == (200, {"success": True})

    async def test_one_account_fails_alone(self, client: Client, crm: Crm) -> None:
        crm.switch("second", fault="500")
        assert (await client.get("/api/api-versions")).status == 200
        assert (await client.get("/api/api-versions", headers={"X-API-KEY": "second-key"})).status == 500


class TestTheBackDoor:
    async def test_switches_are_set_and_read_over_http(self, client: Client, crm: Crm) -> None:
        change = {"account": "demo", "latency_ms": 5, "fault": "503", "rate_limit": False, "one_bad_call": "460"}
        assert (await client.post("/_control", json=change)).status == 200
        everyone = await client.post("/_control", json={"account": None, "flap_seconds": 3})
        demo = {"latency_ms": 5, "fault": "503", "rate_limit": False, "one_bad_call": "460", "flap_seconds": 3}
        switched = (await everyone.json())["accounts"]["demo"]
        assert {name: switched[name] for name in demo} == demo
        untouched = {name: value for name, value in switched.items() if name not in demo}
        assert untouched == {
            "drip_ms": 50,
            "user_list": "whole",
            "codes_at_root": False,
            "refuses_actions": False,
            "activation_fails": False,
        }
        _, body = await get(client, "/_control")
        assert body["all"] == {**body["accounts"]["second"]}
        assert body["all"]["flap_seconds"] == crm.switches.flap_seconds == 3
        assert (await client.get("/api/api-versions")).status == 503

    @pytest.mark.parametrize(
        "body",
        [
            b'{"account":"demo","speed":1}',
            b'{"fault":"earthquake"}',
            b'{"account":"nobody","fault":null}',
            b'{"account":["demo"]}',
            b'{"changes":{}}',
            b'{"self":1}',
            b"[]",
            b"{",
        ],
    )
    async def test_a_wrong_switch_is_400_and_changes_nothing(self, client: Client, crm: Crm, body: bytes) -> None:
        before = crm.switches
        response = await client.post("/_control", data=body)
        assert (response.status, list(await response.json())) == (400, ["error"])
        assert crm.switches == before

    async def test_the_state_is_read_and_cleared(self, registered: Client) -> None:
        await post(registered, EVENT_URL, event=EVENT)
        await post(registered, UPLOAD_URL, calls=[CALL])
        response = await registered.get("/_state", params={"requests": "1"})
        assert "demo-key" not in await response.text()
        state = (await response.json())["accounts"]["demo"]
        assert (state["events"][0]["event"], state["calls"][0]["call"]) == (EVENT, CALL)
        assert (state["totals"]["requests"], len(state["requests"])) == (3, 3)
        assert (await registered.delete("/_state")).status == 200
        _, cleared = await get(registered, "/_state", account="demo")
        assert (cleared["accounts"]["demo"]["events"], cleared["accounts"]["demo"]["calls"]) == ([], [])
        assert await post(registered, EVENT_URL, event=EVENT) == (200, {"success": True})
        assert (await registered.get("/_state", params={"account": "nobody"})).status == 400
        assert (await registered.delete("/_state", params={"account": "nobody"})).status == 400

    async def test_the_call_button_asks_the_module(self, client: Client, aiohttp_server: StartServer) -> None:
        async def make_call(request: web.Request) -> web.Response:
            return web.json_response(dict(request.query), status=202)

        pbx = web.Application()
        pbx.router.add_get("/make-call", make_call)
        address = str((await aiohttp_server(pbx)).make_url("/make-call"))
        await post(client, EDIT_URL, integrationModule=module(makeCallUrl=address))
        clicked = {"account": "demo", "userId": 16, "phone": "+375290000001"}
        answer = await (await client.post("/_click", json=clicked)).json()
        asked = {"clientId": "6f1c", "code": "150", "phone": "+375290000001", "userId": "16"}
        assert (answer["status"], json.loads(answer["body"])) == (202, asked)

    async def test_the_call_button_reaches_this_machine_only(self, client: Client) -> None:
        async def refused(**click: Any) -> str:
            status, body = await answer_of(await client.post("/_click", json={"account": "demo", **click}))
            assert status == 400
            return str(body["error"])

        click = {"userId": 16, "phone": "+375290000001"}
        assert await refused(**click) == "no active module has a makeCallUrl"
        await post(client, EDIT_URL, integrationModule=module())
        assert await refused(**click) == "makeCallUrl is not on this machine"
        assert "userId" in await refused(phone="+375290000001")
        assert "nobody" in await refused(**click, account="nobody")
        await post(client, EDIT_URL, integrationModule=module(makeCallUrl="http://localhost:1/"))
        assert (await client.post("/_click", json={"account": "demo", **click})).status == 502


class TestThePage:
    async def test_is_russian_first_and_english_when_asked(self, client: Client) -> None:
        page = await client.get("/")
        assert "Экраны менеджеров" in await page.text()
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
        english = await (await client.get("/", params={"lang": "en", "account": "second"})).text()
        assert "Call history" in english
        assert "second-key" not in english
        assert (await client.get("/", params={"account": "nobody"})).status == 404
        for name in ("emulator.css", "emulator.js"):
            assert (await client.get(f"/static/{name}")).status == 200

    async def test_streams_a_popup_as_it_opens_and_the_call_as_it_comes(self, registered: Client) -> None:
        stream = await registered.get("/_stream", params={"account": "demo"})

        async def state_with(name: str) -> Any:
            async for line in stream.content:
                state = json.loads(line.removeprefix(b"data: ")) if line.strip() else {}
                if state.get(name):
                    return state
            raise AssertionError(name)

        await post(registered, EVENT_URL, event={**EVENT, "externalPhone": "+375172000000"})
        shown = await state_with("popups")
        popup = shown["popups"][0]
        assert (popup["user_id"], popup["customer"], popup["line"]) == (16, "Наталья Мельник", "+375172000000")
        assert shown["managers"][0] == {"id": 16, "name": "Анна Иванова", "code": "150", "status": "free"}
        assert shown["callable"]
        await post(registered, UPLOAD_URL, calls=[CALL])
        row = (await state_with("calls"))["calls"][0]
        assert (row["manager"], row["talk"], row["wait"], row["result"]) == ("Анна Иванова", 42, 7, "answered")
        stream.close()

    async def test_wakes_nobody_once_the_browser_has_left(self, registered: Client, demo: Account) -> None:
        stream = await registered.get("/_stream")
        await stream.content.readline()
        assert len(demo.listeners) == 1
        stream.close()

        def has_left() -> bool:
            demo.tell()
            return not demo.listeners

        await eventually(has_left)
