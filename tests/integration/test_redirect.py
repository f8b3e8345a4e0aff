"""Smart redirect against the emulated CRM: healthy, slow, dead, hanging; byte-exact, in time, from the cache."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cut import cut
from tests.integration.test_call_path import fresh_id, post
from tests.kinds import LINE, dial, hangup, start, talk
from tests.lab import CODES, NUMBER, TOKEN, DaemonUnderTest, Lab, eventually, until
from tests.pbx.server import SshPbx, ssh_pbx
from vochi_integrations.db import queries
from vochi_integrations.emulators.retailcrm.people import Customer
from vochi_integrations.pbx import callers
from vochi_integrations.pbx.redirect import SAFE

CUSTOMER = "+375290000001"
STRANGER = "+375290000009"
PATH = "/api/callevent/getcustomerdata"
MANAGER = "/api/v5/telephony/manager"
BUDGET = 800.0


@pytest.fixture
async def pbx(tmp_path: Path) -> AsyncIterator[SshPbx]:
    async with ssh_pbx(tmp_path) as running:
        yield running


def smart(mode: str = "routing+name", key: str = f"gsm:{LINE}", **line: Any) -> dict[str, object]:
    settings = {"enabled": True, "do_routing": True, "algorithm": "retailcrm", "send_customer_name": True, **line}
    return {"mode": mode, "lines": {key: settings}}


async def set_smart(lab: Lab, config: object) -> None:
    await lab.sql.execute(
        "UPDATE enterprises SET integrations_config = integrations_config || jsonb_build_object('smart', $1::jsonb)",
        config,
    )


def customers(lab: Lab, extension: str = "151", phones: Iterable[str] = (CUSTOMER,)) -> None:
    """Let the manager with an extension be responsible for customers."""
    for number, phone in enumerate(phones, 501):
        digits = phone.lstrip("+")
        lab.account.customers[digits] = Customer(number, "Виктор", "Жук", digits, manager_id=CODES[extension])


def inquiries(lab: Lab) -> int:
    return sum(request.path == MANAGER for request in lab.account.requests)


@asynccontextmanager
async def a_company(lab: Lab, config: object = None, **overrides: Any) -> AsyncIterator[DaemonUnderTest]:
    await lab.add_company()
    await set_smart(lab, smart() if config is None else config)
    customers(lab)
    async with lab.daemon(**overrides) as daemon:
        yield daemon


async def ask(
    daemon: DaemonUnderTest, phone: Any = CUSTOMER, trunk: Any = LINE, token: str | None = TOKEN, **options: Any
) -> bytes:
    """Ask as the dialplan does; whatever happens it is answered 200 and in JSON."""
    body = {"UniqueId": "1757840400.6", "Phone": phone, "TrunkId": trunk, "LoadDialPlan": "true"}
    headers = {"Token": token} if token is not None else {}
    given: dict[str, Any] = {"json": body, "headers": headers} | options
    async with daemon.session.post(daemon.public + PATH, **given) as response:
        answer = await response.read()
        assert (response.status, response.content_type) == (200, "application/json")
        return answer


async def id_of(lab: Lab, extension: str) -> int:
    found = await lab.sql.fetchval("SELECT id FROM user_internal_phones WHERE phone_number = $1", extension)
    assert isinstance(found, int)
    return found


async def ask_us(daemon: DaemonUnderTest, **body: Any) -> tuple[int, Any]:
    return await daemon.send("POST", daemon.internal + "/api/smart-redirect", json=body)


async def test_the_responsible_manager_gets_the_call_and_sees_the_name(lab: Lab) -> None:
    async with a_company(lab) as daemon:
        context = f"mngr{await id_of(lab, '151')}_{LINE}_1"
        answer = await ask(daemon)
        assert answer == f'{{"Name":"Жук Виктор","DialPlan":"{context}"}}'.encode()
        assert await ask(daemon) == answer
        assert cut(answer) == ("Жук Виктор", context)
        assert inquiries(lab) == 1
        async with daemon.session.post(daemon.internal + PATH + "/", headers={"Token": TOKEN}, data=b"{}") as response:
            assert await response.read() == SAFE
        status, found = await ask_us(daemon, enterprise_number=NUMBER, phone=CUSTOMER)
        assert status == 200
        assert found.pop("elapsed_ms") < BUDGET
        assert found == {"extension": "151", "manager_id": CODES["151"], "source": "retailcrm"}
        assert inquiries(lab) == 1


async def test_what_is_not_a_question_gets_the_safe_default(lab: Lab) -> None:
    async with a_company(lab) as daemon:
        odd: list[dict[str, Any]] = [
            {"token": None},
            {"token": ""},
            {"token": "375290000099"},
            {"json": None, "data": b"not json"},
            {"json": None, "data": b""},
            {"json": None, "data": b"[1,2]"},
            {"json": None, "data": b'{"Phone":"' + b"9" * 70_000 + b'"}'},
            {"json": None, "data": b"{}", "headers": {"Token": TOKEN, "Content-Encoding": "gzip"}},
            {"phone": None},
            {"phone": {"a": 1}},
            {"trunk": "0009999"},
            {"trunk": None},
            {"trunk": "a,b"},
            {"trunk": ["x"]},
        ]
        for case in odd:
            assert await ask(daemon, **case) == SAFE, case
        assert inquiries(lab) == 0


async def test_a_question_is_read_whatever_its_content_type(lab: Lab) -> None:
    """The hosts' Asterisk may send JSON as a form, and no headers of ours (facts: asterisk_lab §8)."""
    async with a_company(lab) as daemon:
        body = f'{{"UniqueId":"1.1","Phone":"{CUSTOMER}","TrunkId":"{LINE}","Token":"{TOKEN}"}}'
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert cut(await ask(daemon, json=None, data=body, headers=form))[1]
        wrong = {"Content-Type": "text/plain", "Token": "wrong"}
        assert cut(await ask(daemon, json=None, data=body, headers=wrong))[1]


async def test_settings_decide_by_line(lab: Lab) -> None:
    await lab.sql.execute(
        "INSERT INTO gsm_lines(id, enterprise_number, line_id, line_name) VALUES (1, $1, $2, 'Главная, 1')",
        NUMBER,
        LINE,
    )
    await lab.sql.execute("INSERT INTO sip_unit(id, enterprise_number, line_name) VALUES (1, $1, '3880000')", NUMBER)
    await lab.sql.execute("INSERT INTO shops(id, enterprise_number, name) VALUES (1, $1, 'Магазин')", NUMBER)
    await lab.sql.execute("INSERT INTO shop_lines VALUES (1, 1, $1)", NUMBER)
    await lab.sql.execute("INSERT INTO shop_sip_lines VALUES (1, 1, $1)", NUMBER)
    both: dict[str, Any] = {"send_line_name": True, "send_shop_name": True, "shop_name_order": 1}
    async with a_company(lab) as daemon:
        manager = await id_of(lab, "151")

        async def becomes(config: object, name: str, context: str, trunk: str = LINE) -> None:
            await set_smart(lab, config)

            async def seen() -> None:
                assert cut(await ask(daemon, trunk=trunk)) == (name, context)

            await eventually(seen)

        routed = f"mngr{manager}_{LINE}_1"
        await becomes(smart(**both), "Магазин | Главная 1 | Жук Виктор", routed)
        await becomes(smart("name-only", **both), "Магазин | Главная 1 | Жук Виктор", "")
        await becomes(smart("off"), "", "")
        await becomes(smart(do_routing=False), "Жук Виктор", "")
        await becomes(smart(enabled=False), "", "")
        await becomes(smart(send_customer_name=False), "", routed)
        await becomes(
            smart(key="sip:3880000", **both), "Магазин | 3880000 | Жук Виктор", f"mngr{manager}_3880000_1", "3880000"
        )
        await becomes(smart(key="gsm:3880000"), "Жук Виктор", f"mngr{manager}_3880000_1", "3880000")
        await lab.sql.execute("UPDATE shops SET name = 'Склад'")
        await becomes(smart(send_customer_name=False, send_shop_name=True), "Склад", routed)


async def test_our_own_mapping_beats_the_crms_extension(lab: Lab) -> None:
    async with a_company(lab) as daemon:
        await lab.sql.execute(
            "UPDATE enterprises SET integrations_config['retailcrm']['user_extensions'] = $1",
            {str(CODES["151"]): "152"},
        )
        context = f"mngr{await id_of(lab, '152')}_{LINE}_1"

        async def seen() -> None:
            assert cut(await ask(daemon))[1] == context

        await eventually(seen)
        assert (await ask_us(daemon, enterprise_number=NUMBER, phone=CUSTOMER))[1]["extension"] == "152"


async def test_without_a_mapping_the_crms_extension_counts_if_it_is_ours(lab: Lab) -> None:
    await lab.add_company(user_extensions={}, extensions=["151"])
    await set_smart(lab, smart(send_customer_name=False))
    customers(lab, "151", [CUSTOMER])
    customers(lab, "150", [STRANGER])
    async with lab.daemon() as daemon:
        assert cut(await ask(daemon))[1] == f"mngr{await id_of(lab, '151')}_{LINE}_1"
        assert await ask(daemon, STRANGER) == SAFE


async def test_who_answered_last_is_next(lab: Lab) -> None:
    """The customer has nobody in the CRM; 150 talked with them first, 151 last; the last call was missed."""
    async with a_company(lab, smart(send_customer_name=False)) as daemon:
        lab.account.customers.clear()
        assert await ask(daemon) == SAFE
        calls = [
            [start(0), dial(1, ["150", "151"]), *talk(4, 12, "150", 1), hangup(20, ["150"], "2")],
            [start(0), dial(1, ["150", "151"]), *talk(4, 12, "151", 2), hangup(20, ["150"], "2", 2)],
            [start(0), dial(1, ["152"]), hangup(20, [""], "0")],
        ]
        for number, events in enumerate(calls, 1):
            await post(daemon, fresh_id(number), *events)
        first, last = [f"mngr{await id_of(lab, extension)}_{LINE}_1" for extension in ("150", "151")]
        assert cut(await ask(daemon))[1] == last
        status, found = await ask_us(daemon, enterprise_number=NUMBER, phone="80290000001")
        assert (status, found["extension"], found["source"]) == (200, "151", "last_call")
        assert found["manager_id"] == CODES["151"]
        for algorithm, context in (("first_call", first), ("last_call", last)):
            await set_smart(lab, smart(algorithm=algorithm, send_customer_name=False))

            async def seen(context: str = context) -> None:
                assert cut(await ask(daemon))[1] == context

            await eventually(seen)
        customers(lab, "152")
        assert cut(await ask(daemon))[1] == last


async def test_our_own_service_is_told_why_nobody_was_found(lab: Lab) -> None:
    async with a_company(lab, smart("off"), smart_redirect__budget_ms=300) as daemon:
        lab.account.customers.clear()
        status, found = await ask_us(daemon, enterprise_number=NUMBER, phone=STRANGER)
        assert status == 200
        assert found.pop("elapsed_ms") < 300
        assert found == {"extension": None, "manager_id": None, "source": "none"}
        lab.crm.switch(fault="hang")
        assert (await ask_us(daemon, enterprise_number=NUMBER, phone=CUSTOMER))[1]["source"] == "timeout"
        lab.crm.switch(fault="outage")
        assert (await ask_us(daemon, enterprise_number=NUMBER, phone="375290000077"))[1]["source"] == "error"
        for body, expected in (
            ({"enterprise_number": "9999", "phone": CUSTOMER}, 404),
            ({"enterprise_number": NUMBER}, 400),
            ({"enterprise_number": NUMBER, "phone": "abc"}, 400),
            ({"enterprise_number": NUMBER, "phone": ""}, 400),
            ({"enterprise_number": NUMBER, "phone": [1]}, 400),
        ):
            assert (await ask_us(daemon, **body))[0] == expected
        await lab.sql.execute("UPDATE enterprises SET active = false")

        async def asks_nobody() -> None:
            found = (await ask_us(daemon, enterprise_number=NUMBER, phone="375290000078"))[1]
            assert (found["extension"], found["source"]) == (None, "none")

        await eventually(asks_nobody)
        assert (await daemon.send("POST", daemon.internal + "/api/smart-redirect", data=b"{"))[0] == 400
        assert (await daemon.send("POST", daemon.public + "/api/smart-redirect", json={}))[0] == 404


async def timed(daemon: DaemonUnderTest, phone: str, session: aiohttp.ClientSession) -> tuple[float, bytes]:
    body = {"UniqueId": "1.1", "Phone": phone, "TrunkId": LINE, "LoadDialPlan": "true"}
    began = time.perf_counter()
    async with session.post(daemon.public + PATH, json=body, headers={"Token": TOKEN}) as response:
        answer = await response.read()
    return (time.perf_counter() - began) * 1000, answer


def p99(times: Iterable[float]) -> float:
    ordered = sorted(times)
    return ordered[int(len(ordered) * 0.99)]


@pytest.mark.parametrize(
    "trouble", [{}, {"latency_ms": 5_000}, {"fault": "outage"}, {"fault": "hang"}, {"fault": "500"}, {"fault": "drip"}]
)
@pytest.mark.alone
async def test_the_budget_holds_whatever_the_crm_does(lab: Lab, trouble: dict[str, Any]) -> None:
    phones = [f"37529{number:07}" for number in range(120)]
    async with a_company(lab, delivery__enterprise_rate=1_000) as daemon:
        customers(lab, "151", phones)
        lab.crm.switch(rate_limit=False, **trouble)
        gate = asyncio.Semaphore(8)

        async def one(phone: str) -> tuple[float, bytes]:
            async with gate:
                return await timed(daemon, phone, lab.session)

        found = await asyncio.gather(*(one(phone) for phone in phones))
        assert p99(milliseconds for milliseconds, _ in found) <= BUDGET
        contexts = {cut(answer)[1] for _, answer in found}
        assert contexts == ({""} if trouble else {f"mngr{await id_of(lab, '151')}_{LINE}_1"})
        lab.crm.switch(fault=None, latency_ms=0)


@pytest.mark.alone
async def test_a_known_caller_is_answered_within_five_milliseconds_while_the_crm_hangs(lab: Lab) -> None:
    async with a_company(lab) as daemon:
        answer = await ask(daemon)
        lab.crm.switch(fault="hang")
        times = []
        for _ in range(200):
            milliseconds, again = await timed(daemon, CUSTOMER, lab.session)
            assert again == answer
            times.append(milliseconds)
        assert sorted(times)[len(times) // 2] <= 5.0
        lab.crm.switch(fault=None)


async def test_other_work_that_hangs_does_not_hold_the_answer(lab: Lab) -> None:
    """Pop-ups and records wait for a CRM that takes them and never answers; the question has a lane of its own."""
    async with a_company(lab, delivery__timeout=30) as daemon:
        lab.crm.switch(fault="hang")
        for number in range(8):
            await daemon.post("dial", dial(0, ["151"])[2] | {"UniqueId": fresh_id(number), "Phone": STRANGER})
        await until(lambda: len(lab.account.requests) >= 4)
        lab.crm.switch(fault=None)
        assert cut(await ask(daemon))[1]


async def test_a_slow_answer_serves_the_next_call(lab: Lab) -> None:
    async with a_company(lab, smart_redirect__budget_ms=100) as daemon:
        lab.crm.switch(latency_ms=400)
        assert await ask(daemon) == SAFE

        async def known() -> None:
            assert cut(await ask(daemon))[1]

        await eventually(known)
        assert inquiries(lab) == 1


async def test_the_beginning_of_a_call_asks_ahead(lab: Lab) -> None:
    async with a_company(lab) as daemon:
        await daemon.post("start", start(0)[2] | {"UniqueId": fresh_id()})
        await until(lambda: inquiries(lab) == 1)
        assert cut(await ask(daemon))[1]
        await daemon.post("start", start(0)[2] | {"UniqueId": fresh_id(2), "Trunk": "0009999", "Phone": STRANGER})
        assert inquiries(lab) == 1


async def test_old_knowledge_is_renewed_and_answers_while_the_crm_says_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(callers, "FAILED_SECONDS", 0.0)
    async with a_company(lab, smart_redirect__budget_ms=400) as daemon:
        assert cut(await ask(daemon))[1] == f"mngr{await id_of(lab, '151')}_{LINE}_1"
        customers(lab, "150")
        answer = await ask(daemon)
        assert cut(answer)[1] == f"mngr{await id_of(lab, '150')}_{LINE}_1"
        for fault in ("outage", "hang"):
            lab.crm.switch(fault=fault)
            milliseconds, again = await timed(daemon, CUSTOMER, lab.session)
            assert again == answer
            assert milliseconds < 400
        lab.crm.switch(fault=None)


async def test_a_failing_crm_is_asked_again_after_a_moment_and_not_before(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "FAILED_SECONDS", 0.5)
    async with a_company(lab) as daemon:
        lab.crm.switch(fault="500")
        for _ in range(5):
            assert await ask(daemon) == SAFE
        assert inquiries(lab) == 1
        lab.crm.switch(fault=None)

        async def recovered() -> None:
            assert cut(await ask(daemon))[1]

        await eventually(recovered)
        assert inquiries(lab) == 2


async def test_every_decision_is_kept_with_its_source_and_time(lab: Lab) -> None:
    async with a_company(lab) as daemon:
        await ask(daemon)
        await ask_us(daemon, enterprise_number=NUMBER, phone=STRANGER, unique_id="1.7")

        async def kept() -> list[dict[str, Any]]:
            rows = await lab.sql.fetch("SELECT * FROM integration_logs WHERE integration_type = 'smart' ORDER BY id")
            assert len(rows) == 2
            return [dict(row) for row in rows]

        first, second = await eventually(kept)
        assert (first["event_type"], first["status"], first["call_unique_id"]) == (
            "smart_redirect",
            "success",
            "1757840400.6",
        )
        assert first["response_data"]["source"] == "retailcrm"
        assert 0 < first["response_data"]["elapsed_ms"] < BUDGET
        assert (second["call_unique_id"], second["response_data"]["source"]) == ("1.7", "none")


async def test_a_body_that_never_comes_is_answered_in_time(lab: Lab) -> None:
    async with a_company(lab, smart_redirect__budget_ms=200) as daemon:
        host, port = daemon.public.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nToken: {TOKEN}\r\nContent-Length: 100\r\n\r\n"
        began = time.perf_counter()
        writer.write(head.encode())
        answer = await reader.readuntil(SAFE)
        assert (time.perf_counter() - began) * 1000 <= 200
        assert answer.startswith(b"HTTP/1.1 200 ")
        writer.close()


@pytest.mark.parametrize("query", ["last_talks_of_number", "first_talks_of_number"])
async def test_a_customers_calls_are_found_by_index(lab: Lab, query: str) -> None:
    """Among a hundred thousand hangups of many customers; the plan is the one made before the values are known, too."""
    await lab.sql.execute(
        "INSERT INTO call_events(enterprise_number, unique_id, call_unique_id, event_type, event_hash, event_sequence,"
        " raw_data) SELECT $1, i::text, i::text, 'hangup', decode(md5(i::text), 'hex'), 1, jsonb_build_object("
        "'Phone', '+3752900' || lpad((i % 20000)::text, 5, '0'), 'CallStatus', '2', 'CallType', 0)"
        " FROM generate_series(1, 100000) i",
        NUMBER,
    )
    await lab.sql.execute("ANALYZE call_events")
    for mode in ("force_custom_plan", "force_generic_plan"):
        await lab.sql.execute(f"SET plan_cache_mode = {mode}")
        await lab.sql.execute(f"PREPARE {mode}(text, text, int) AS {queries()[query]}")
        plan = await lab.sql.fetch(f"EXPLAIN (ANALYZE) EXECUTE {mode}('0367', '290000077', 10)")
        text = "\n".join(row[0] for row in plan)
        assert "call_events_talks" in text
        assert "call_events_stream" in text
        assert "Seq Scan" not in text
        assert "call_events_pkey" not in text


async def test_a_channel_is_moved_in_the_background_and_the_pbx_is_believed_only_by_its_words(
    lab: Lab, pbx: SshPbx
) -> None:
    """Asterisk's exit status is 0 whatever happened: a redirect counts when its answer says so."""
    channel, said = f"SIP/{LINE}-00000004", ""
    pbx.answer = lambda _: (said, 0)
    async with a_company(lab, **pbx.settings()) as daemon:
        body = {"enterprise_number": NUMBER, "phone": CUSTOMER, "channel": channel, "unique_id": "1.7"}
        assert (await ask_us(daemon, **body | {"phone": STRANGER}))[1]["extension"] is None
        assert (await ask_us(daemon, **body | {"channel": "SIP/1;reboot x"}))[0] == 400

        async def kept(*statuses: str) -> None:
            rows = await lab.sql.fetch("SELECT * FROM integration_logs WHERE event_type = 'channel_redirect'")
            assert [row["status"] for row in rows] == list(statuses)
            assert {tuple(row["request_data"].values()) for row in rows} == {(channel, "151")}
            assert rows[0]["response_data"] == {"reason": "no_such_channel"}

        assert (await ask_us(daemon, **body))[1]["extension"] == "151"
        await eventually(lambda: kept("error"))
        said = f"Channel '{channel}' successfully redirected to inoffice,151,1"
        assert (await ask_us(daemon, **body))[1]["extension"] == "151"
        await eventually(lambda: kept("error", "success"))
    moved = f"asterisk -rx 'channel redirect {channel} inoffice,151,1'"
    assert [command for command in pbx.commands if "channel redirect" in command] == [moved] * 2


async def test_an_administrator_sees_who_would_get_a_call(lab: Lab) -> None:
    """Without a line by the CRM and our history; with a line as its dialplan would be answered."""
    async with a_company(lab) as daemon:
        context = f"mngr{await id_of(lab, '151')}_{LINE}_1"

        async def who(phone: str, number: str = NUMBER, **query: str) -> tuple[int, Any]:
            url = f"{daemon.internal}/api/who-gets/{number}"
            return await daemon.send("GET", url, params={"phone": phone, **query})

        status, found = await who("+375 (29) 000-00-01")
        assert status == 200
        assert 0 < found.pop("elapsed_ms") < BUDGET
        expected = {"extension": "151", "manager_id": str(CODES["151"]), "source": "retailcrm", "cached": False}
        assert found == {**expected, "context": None, "name": ""}
        again = (await who(CUSTOMER, trunk=LINE))[1]
        assert again.pop("elapsed_ms") < 50
        assert again == {**expected, "cached": True, "context": context, "name": "Жук Виктор"}
        assert (await who(CUSTOMER, trunk="0009999"))[1]["source"] == "line_off"
        assert (await who(STRANGER))[1]["source"] == "none"
        assert (await who("abc"))[0] == 400
        assert (await who(CUSTOMER, number="9999"))[0] == 404
        assert await lab.sql.fetchval("SELECT count(*) FROM integration_logs") == 0


async def test_a_tenant_may_keep_its_crm_from_routing(lab: Lab) -> None:
    async with a_company(lab) as daemon:
        await lab.sql.execute("UPDATE enterprises SET integrations_config['retailcrm']['smart_redirect'] = 'false'")

        async def seen(name: str) -> None:
            assert cut(await ask(daemon)) == (name, "")

        await eventually(lambda: seen("Жук Виктор"))
        assert (await ask_us(daemon, enterprise_number=NUMBER, phone=CUSTOMER))[1]["extension"] is None
        await set_smart(lab, smart(send_customer_name=False))
        await eventually(lambda: seen(""))
