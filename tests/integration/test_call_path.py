"""A call's events over HTTP become pop-ups and one record at the CRM."""

import asyncio
import time
from typing import Any

import pytest

from tests.kinds import GROUP, KINDS, LINE, C, Event, dial, hangup, start, talk
from tests.lab import CODES, DaemonUnderTest, Lab, eventually, until
from vochi_integrations.demo.check import popup, record
from vochi_integrations.demo.sequences import ExpectedPopup, Sequence

WIDE: dict[str, Any] = {"delivery__enterprise_rate": 100_000, "delivery__enterprise_concurrency": 1_000}


def fresh_id(suffix: int = 6) -> str:
    return f"{int(time.time())}.{suffix}"


async def post(daemon: DaemonUnderTest, unique_id: str, *events: Event) -> None:
    for _, kind, body in events:
        await daemon.post(kind, body | ({"UniqueId": unique_id} if body["UniqueId"] else {}))


async def test_every_kind_of_call_reaches_the_crm_as_it_should(lab: Lab) -> None:
    """All at once, as on a busy day; each with ids and a customer of its own."""
    await lab.add_company()
    await lab.give_mobile()
    lab.crm.switch(rate_limit=False)
    async with lab.daemon(**WIDE) as daemon:
        played = await asyncio.gather(*(daemon.play(kind, run=run) for run, kind in enumerate(KINDS, 1)))

        def all_there() -> None:
            assert {call.name: seen(lab, call) for call in played} == {call.name: wanted(call) for call in played}

        await eventually(all_there, 20)
    assert not list(lab.account.screens.open)
    assert lab.account.totals.duplicates == 0
    assert not await lab.sql.fetchval("SELECT count(*) FROM open_calls")


def wanted(call: Sequence) -> tuple[list[ExpectedPopup], list[Any]]:
    return call.expect.popups, [call.expect.record] if call.expect.record else []


def seen(lab: Lab, call: Sequence) -> tuple[list[ExpectedPopup], list[Any]]:
    ids = {event["UniqueId"] for _, _, event in call.events if event.get("UniqueId")}
    popups = [popup(event) for event in lab.popups if event["callExternalId"] in ids]
    return popups, [record(item) for item in lab.records if item["externalId"] in ids]


async def test_a_pop_up_comes_while_it_rings_and_the_record_after_it(lab: Lab) -> None:
    await lab.add_company()
    await lab.sql.execute(
        "INSERT INTO gsm_lines(enterprise_number, line_id, phone_number) VALUES ('0367', $1, '80 17 200-00-01')", LINE
    )
    call = fresh_id()
    async with lab.daemon(retailcrm__record_url="https://pbx.example/{enterprise}/{unique_id}") as daemon:
        await post(daemon, call, start(0), dial(1, GROUP))
        await until(lambda: lab.popups)
        assert lab.popups == [
            {
                "phone": f"+{C}",
                "type": "in",
                "codes": GROUP,
                "callExternalId": call,
                "externalPhone": "+375172000001",
            }
        ]
        assert not lab.records
        await post(daemon, call, *talk(4, 12, "151", 1)[:3])
        await until(lambda: lab.events("hangup"))
        assert [(event["codes"], event["hangupStatus"]) for event in lab.events("hangup")] == [
            (["150", "152"], "no answered")
        ]
        await post(daemon, call, hangup(20, ["151"], "2"))
        await until(lambda: lab.records)
    (sent,) = lab.records
    assert sent | {"date": "", "duration": 0, "durationWaiting": 0} == {
        "date": "",
        "type": "in",
        "phone": C,
        "code": "151",
        "userId": CODES["151"],
        "result": "answered",
        "duration": 0,
        "durationWaiting": 0,
        "externalId": call,
        "externalPhone": "375172000001",
        "recordUrl": f"https://pbx.example/0367/{call}",
    }
    assert [(event["codes"], event["hangupStatus"]) for event in lab.events("hangup")][1:] == [(["151"], "answered")]


async def test_each_attempt_is_in_the_journal_of_the_enterprise_without_secrets(lab: Lab) -> None:
    await lab.add_company()
    call = fresh_id()
    async with lab.daemon() as daemon:
        await post(daemon, call, dial(0, ["151"], 1), hangup(9, ["151"], "2", 1))

        async def logged() -> list[Any]:
            rows = await lab.sql.fetch("SELECT * FROM integration_logs ORDER BY event_type")
            assert len(rows) == 3
            return rows

        rows = await eventually(logged)
    assert [(row["event_type"], row["status"], row["call_unique_id"]) for row in rows] == [
        ("call_event:hangup", "success", call),
        ("call_event:out", "success", call),
        ("calls_upload", "success", call),
    ]
    assert rows[1]["request_data"]["codes"] == ["151"]
    assert rows[1]["response_data"] == {"success": True}
    assert lab.account.api_key not in str([dict(row) for row in rows])


async def test_the_crms_unknown_extensions_are_kept_with_the_delivery(lab: Lab) -> None:
    await lab.add_company(user_extensions={})
    async with lab.daemon() as daemon:
        await post(daemon, fresh_id(), dial(0, ["150", "199"]))

        async def answered() -> None:
            rows = await lab.deliveries(kind="popup", status="done")
            assert [row["response"] for row in rows] == [{"success": True, "notExistCodes": ["199"]}]

        await eventually(answered)
    assert lab.popups[0]["codes"] == ["150", "199"]


async def test_who_is_not_mapped_sees_nothing_and_the_trace_says_so(lab: Lab) -> None:
    await lab.add_company(user_extensions={"1002": "150", "1003": None})
    call = fresh_id()
    async with lab.daemon() as daemon:
        await post(daemon, call, dial(0, GROUP), hangup(9, ["151"], "2"))
        await until(lambda: lab.records)
        rows = await lab.deliveries(status="skipped")
    assert [event["codes"] for event in lab.popups] == [["150"]]
    assert [(row["kind"], row["reason"], row["payload"]["codes"]) for row in rows] == [
        ("popup", "no_mapping", ["151", "152"])
    ]
    assert not {"userId", "code"} & lab.records[0].keys()


async def test_a_second_dial_shows_the_card_only_to_those_it_adds(lab: Lab) -> None:
    await lab.add_company()
    call = fresh_id()
    async with lab.daemon() as daemon:
        await post(daemon, call, dial(0, ["157"]), dial(1, ["161", "153", "157"]), dial(2, ["157", "153"]))
        await until(lambda: len(lab.popups) == 2)
        assert [event["codes"] for event in lab.popups] == [["157"], ["161", "153"]]
        assert await lab.reasons() == [("dial", None), ("dial", None), ("dial", "already_shown")]


async def test_a_repeat_is_counted_and_does_nothing(lab: Lab) -> None:
    await lab.add_company()
    call = fresh_id()
    async with lab.daemon() as daemon:
        for _ in range(3):
            await post(daemon, call, dial(0, GROUP))
        await post(daemon, call, hangup(9, ["151"], "2"), hangup(9, ["151"], "2"), hangup(11, ["150"], "2"))
        await until(lambda: lab.records)
        rows = await lab.sql.fetch("SELECT event_type, reason, repeats FROM call_events ORDER BY id")
    assert [tuple(row) for row in rows] == [("dial", None, 2), ("hangup", None, 1), ("hangup", "duplicate", 0)]
    assert len(lab.popups) == len(lab.records) == 1
    assert lab.account.totals.duplicates == 0


async def test_a_hangup_alone_shows_a_card_only_while_it_still_helps(lab: Lab) -> None:
    await lab.add_company()
    just_now, long_ago, recovered = fresh_id(1), "1757840400.2", fresh_id(3)
    ended = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + 3 * 3600))
    event = hangup(30, ["151"], "2")[2] | {"StartTime": ended, "EndTime": ended}
    async with lab.daemon() as daemon:
        await daemon.post("hangup", event | {"UniqueId": just_now})
        await daemon.post("hangup", hangup(30, ["151"], "2")[2] | {"UniqueId": long_ago})
        await daemon.post("download", event | {"UniqueId": recovered})
        await until(lambda: len(lab.records) == 3)

        async def skipped() -> None:
            rows = await lab.deliveries(kind="popup", status="skipped")
            assert {(row["call_external_id"], row["reason"]) for row in rows} == {
                (long_ago, "expired"),
                (recovered, "recovered_call"),
            }

        await eventually(skipped)
    assert [(item["type"], item["callExternalId"]) for item in lab.events()] == [("in", just_now), ("hangup", just_now)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE enterprises SET active = false", "enterprise_inactive"),
        ("UPDATE enterprises SET integrations_config = '{}'", "integration_off"),
        ("UPDATE enterprises SET integrations_config['retailcrm']['enabled'] = 'false'", "integration_off"),
        ("UPDATE enterprises SET integrations_config = integrations_config #- '{retailcrm,api_key}'", "not_configured"),
        ("UPDATE enterprises SET integrations_config = integrations_config #- '{retailcrm,domain}'", "not_configured"),
    ],
)
async def test_a_company_that_gets_nothing_has_its_events_kept_with_the_reason(
    lab: Lab, change: str, reason: str
) -> None:
    await lab.add_company()
    await lab.sql.execute(change)
    call = fresh_id()
    async with lab.daemon() as daemon:
        await post(daemon, call, start(0), dial(1, GROUP), hangup(9, ["151"], "2"))
        assert await lab.reasons() == [("start", "informational"), ("dial", reason), ("hangup", reason)]
        assert {row["reason"] for row in await lab.deliveries()} <= {reason}
    assert not lab.events()
    assert not lab.records


async def test_a_company_switched_back_on_gets_the_records_that_waited_but_no_old_pop_up(lab: Lab) -> None:
    await lab.add_company()
    lab.crm.switch(fault="503")
    call = fresh_id()
    async with lab.daemon(delivery__retry_base=0.05) as daemon:
        await post(daemon, call, dial(0, GROUP), hangup(9, ["151"], "2"))
        await lab.sql.execute("UPDATE enterprises SET integrations_config['retailcrm']['enabled'] = 'false'")

        async def parked() -> None:
            assert [row["reason"] for row in await lab.deliveries(kind="record", status="pending")] == [
                "integration_off"
            ]

        await eventually(parked)
        lab.crm.switch(fault=None)
        await lab.sql.execute("UPDATE enterprises SET integrations_config['retailcrm']['enabled'] = 'true'")
        await until(lambda: lab.records)
    assert [item["externalId"] for item in lab.records] == [call]
    assert not lab.popups


async def test_a_changed_mapping_works_in_the_very_next_call(lab: Lab) -> None:
    await lab.add_company(user_extensions={})
    async with lab.daemon() as daemon:
        await lab.sql.execute(
            "UPDATE enterprises SET integrations_config['retailcrm']['user_extensions'] = '{\"1002\": \"152\"}'"
        )

        async def changed() -> None:
            unique_id = f"{time.time():.6f}"
            await post(daemon, unique_id, dial(0, GROUP))
            shown = await until(lambda: [item for item in lab.popups if item["callExternalId"] == unique_id])
            assert shown[0]["codes"] == ["152"]

        await eventually(changed, 1.0)
