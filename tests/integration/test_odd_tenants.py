"""Odd settings and odd bodies: a clear answer, nothing lost, nobody else disturbed."""

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.integration.test_call_path import fresh_id, post
from tests.kinds import dial, hangup
from tests.lab import API_KEY, NUMBER, Lab, eventually, until
from vochi_integrations.db import migrate
from vochi_integrations.settings import mask_dsn


async def test_numbers_no_computer_holds_in_one_config_stop_nobody(lab: Lab) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon:
        await lab.sql.execute("INSERT INTO enterprises (number, integrations_config) VALUES ('9', '{\"x\": 1e400}')")

        async def known() -> None:
            assert (await daemon.get("/integrations/9"))[0] == 200

        await eventually(known, 1.0)
        await post(daemon, fresh_id(), dial(0, ["151"]))
        await until(lambda: lab.popups)


@pytest.mark.parametrize(
    "broken", [{"api_key": "a\nb"}, {"domain": "https://" + "a" * 70 + ".example"}, {"domain": "https://a..b"}]
)
async def test_records_wait_for_a_config_that_cannot_be_used(lab: Lab, broken: dict[str, str]) -> None:
    await lab.add_company(**broken)
    await lab.sql.execute("UPDATE enterprises SET integrations_config['retailcrm']['enabled'] = 'true'")
    call = fresh_id()
    async with lab.daemon() as daemon:
        await post(daemon, call, dial(0, ["151"]), hangup(9, ["151"], "2"))

        async def skipped() -> None:
            assert {row["reason"] for row in await lab.deliveries()} == {"not_configured"}

        await eventually(skipped)
        await lab.sql.execute(
            "UPDATE enterprises SET integrations_config['retailcrm'] = integrations_config['retailcrm'] || $1",
            {"domain": lab.crm_url, "api_key": API_KEY},
        )

        async def works() -> None:
            await post(daemon, fresh_id(7), dial(0, ["151"]))
            assert lab.popups

        await eventually(works)


async def test_a_config_stored_as_a_string_is_read_at_every_level(lab: Lab) -> None:
    await lab.add_company()
    await lab.sql.execute(
        """UPDATE enterprises SET integrations_config = jsonb_build_object('retailcrm', to_jsonb((
               jsonb_set(integrations_config -> 'retailcrm', '{user_extensions}', to_jsonb(
                   (integrations_config #> '{retailcrm,user_extensions}')::text)))::text))"""
    )
    async with lab.daemon() as daemon:
        await post(daemon, fresh_id(), dial(0, ["151", "555"]))
        popup = (await until(lambda: lab.popups))[0]
    assert popup["codes"] == ["151"]


@pytest.mark.parametrize(
    ("kind", "odd"),
    [
        ("dial", {"Extensions": [f"{number}" for number in range(100, 1000)]}),
        ("hangup", {"CallStatus": "2", "Extensions": ["151"], "record_url": "https://example.com/\x00.wav"}),
        (
            "hangup",
            {"UniqueId": "test", "CallStatus": "2", "Extensions": ["151"], "StartTime": "0001-01-01 00:00:00"},
        ),
    ],
)
async def test_an_event_with_a_token_and_an_id_is_taken_whatever_else_it_says(
    lab: Lab, kind: str, odd: dict[str, Any]
) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon:
        await daemon.post(kind, {"UniqueId": fresh_id(), "Phone": "375290000001", "CallType": 0} | odd)
        await until(lambda: lab.popups if kind == "dial" else lab.records)


async def test_a_body_that_is_not_what_its_headers_say_is_refused(lab: Lab) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon:
        headers = {"Content-Encoding": "gzip", "Token": "375290000000"}
        status, body = await daemon.send("POST", f"{daemon.public}/dial", data=b"{}", headers=headers)
        assert (status, body["error"]) == (400, "bad_request")


async def test_a_search_with_nul_finds_nothing(lab: Lab) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon:
        assert await daemon.get(f"/api/trace/{NUMBER}?q=%00x") == (
            200,
            {"calls": [], "clicks": [], "is_cut": False},
        )


async def test_any_second_hangup_is_a_repeat_also_of_an_internal_call(lab: Lab) -> None:
    await lab.add_company()
    call = fresh_id()
    async with lab.daemon() as daemon:

        async def dispatch(status: str) -> Any:
            raw = {"Phone": "152", "Extensions": ["150"], "CallType": 2, "CallStatus": status}
            body = {"token": "375290000000", "uniqueId": call, "event_type": "hangup", "raw": raw}
            return (await daemon.send("POST", f"{daemon.internal}/dispatch/call-event", json=body))[1]

        assert await dispatch("2") == {"success": True}
        assert await dispatch("0") == {"status": "ignored", "reason": "duplicate"}


async def test_a_card_that_a_killed_daemon_may_have_shown_is_closed_at_the_end(lab: Lab) -> None:
    await lab.add_company()
    call = fresh_id()
    lab.crm.switch(fault="hang")
    async with lab.daemon(delivery__lease=0.5, server__shutdown_seconds=0.1, delivery__timeout=30) as daemon:
        await post(daemon, call, dial(0, ["151"]))

        async def asked() -> None:
            assert lab.account.totals.requests

        await eventually(asked)
    lab.crm.switch(fault=None)
    async with lab.daemon() as daemon:
        await post(daemon, call, hangup(9, ["151"], "2"))
        closed = await until(lambda: lab.events("hangup"))
    assert [(event["callExternalId"], event["codes"]) for event in closed] == [(call, ["151"])]
    assert [row["reason"] for row in await lab.deliveries(kind="popup")] == ["interrupted"]


async def test_older_tables_get_every_column_the_daemon_reads(empty: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(empty)
    await connection.execute((Path(__file__).parents[1] / "samples" / "live_database.sql").read_text())
    await connection.execute(
        """ALTER TABLE users DROP follow_me_number, DROP is_admin; ALTER TABLE gsm_lines DROP phone_number;
           ALTER TABLE integration_logs DROP response_data;
           DROP VIEW IF EXISTS recent_calls CASCADE;
           ALTER TABLE call_events DROP data_source CASCADE, DROP received_timestamp CASCADE,
               DROP event_timestamp CASCADE"""
    )
    await migrate(empty)
    async with Lab.open(empty, connection, tmp_path) as lab, lab.daemon() as daemon:
        assert (await daemon.get("/health"))[1]["status"] == "ok"
    await connection.close()


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://127.0.0.1:1/db?user=u&password=hunter2",
        "postgresql://u:hunter2#more@127.0.0.1/db",
        "postgresql://u:hunter2@[bad/db",
        "host=127.0.0.1 password=hunter2 dbname=x",
        "host=127.0.0.1 password='hunter2 and more' dbname=x",
        "postgresql://u:hunter2@127.0.0.1:5432/db",
    ],
)
def test_no_dsn_shows_its_password(dsn: str) -> None:
    masked = mask_dsn(dsn)
    assert "hunter2" not in masked
    assert "more" not in masked
    assert "****" in masked
