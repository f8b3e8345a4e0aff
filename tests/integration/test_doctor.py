"""`doctor`: every check green on a good daemon, and each one red when what it looks at is broken; the bundle."""

import io
import json
import zipfile
from typing import Any

import pytest

from tests.integration.test_call_path import fresh_id, post
from tests.integration.test_commands import run, serving
from tests.kinds import dial, hangup, start
from tests.lab import API_KEY, CODES, NUMBER, TOKEN, DaemonUnderTest, Lab, eventually, until
from tests.ssh_host import SshHost

CLIENT_ID = "client-id-of-0367"
PUBLIC_URL = "https://bot.example.com"
PHONE = "375290000001"


async def good(lab: Lab) -> None:
    """A company as a registration leaves it."""
    await lab.add_company(client_id=CLIENT_ID)
    module = lab.account.modules["vochi-telephony"]
    module["clientId"] = CLIENT_ID
    module["integrations"]["telephony"]["makeCallUrl"] = f"{PUBLIC_URL}/retailcrm/make-call"


async def examined(daemon: DaemonUnderTest, number: str | None = NUMBER) -> dict[str, tuple[str, str, str]]:
    """Return the findings by check: verdict, what was said, the fix."""
    status, answer = await daemon.get("/api/doctor" + (f"?enterprise={number}" if number else ""))
    assert status == 200
    found = {item["check"]: (item["verdict"], item["said"], item["fix"]) for item in answer["findings"]}
    assert answer["ok"] is all(verdict != "bad" for verdict, _, _ in found.values())
    return found


async def test_a_good_daemon_and_company_are_green(lab: Lab, pbx: SshHost) -> None:
    await good(lab)
    overrides = {
        **pbx.settings(),
        "server__public_url": PUBLIC_URL,
        "secrets__keys": "kDLUbB4q8nnd6h0A0LZQ4mR5nN3MJHqjDq0Jv5tQm1c=",
    }
    async with lab.daemon("state", **overrides) as daemon:
        await post(daemon, fresh_id(1), start(0))
        await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": fresh_id()})
        found = await examined(daemon)
        assert lab.popups
    not_green = {check: item for check, item in found.items() if item[0] != "ok"}
    assert set(not_green) == {"insecure_urls"}, "the lab's CRM is on this machine"
    assert {"database", "clock", "migrations", "daemon", "listen", "spool", "configs", "crm_key", "crm_scopes"} <= set(
        found
    )
    assert {"crm_module", "crm_make_call", "crm_client_id", "crm_codes", "crm_event", "mapping", "host"} <= set(found)


async def test_the_test_event_shows_no_card_and_writes_no_record(lab: Lab) -> None:
    await good(lab)
    async with lab.daemon() as daemon:
        await examined(daemon)
    assert [event["type"] for event in lab.events()] == ["hangup"]
    assert not lab.records
    assert not await lab.deliveries()


async def test_a_refused_key_is_red_and_the_rest_is_skipped(lab: Lab) -> None:
    await lab.add_company(api_key="wrong")
    async with lab.daemon() as daemon:
        found = await examined(daemon)
    assert found["crm_key"][0] == "bad"
    assert "ключ" in found["crm_key"][2]
    assert {check for check, item in found.items() if item[0] == "skipped" and check.startswith("crm")} == {
        "crm_scopes", "crm_account", "crm_module", "crm_make_call", "crm_client_id", "crm_codes", "crm_event",
    }  # fmt: skip


async def test_what_is_wrong_in_the_crm_is_named(lab: Lab) -> None:
    await good(lab)
    module = lab.account.modules["vochi-telephony"]
    module["active"] = False
    module["clientId"] = "another"
    module["integrations"]["telephony"]["makeCallUrl"] = "https://old.example.com/make-call"
    module["integrations"]["telephony"]["additionalCodes"].pop()
    lab.account.put_module("vochi-telephony", module)
    async with lab.daemon(server__public_url=PUBLIC_URL) as daemon:
        found = await examined(daemon)
    assert {check for check, item in found.items() if item[0] == "bad"} - {"host", "pbx_login"} == {
        "crm_module", "crm_make_call", "crm_client_id", "crm_event",
    }  # fmt: skip
    assert found["crm_codes"][0] == "warning"
    assert PUBLIC_URL in found["crm_make_call"][2]
    assert "another" not in str(found)


async def test_no_module_at_all(lab: Lab) -> None:
    await good(lab)
    lab.account.modules.clear()
    async with lab.daemon() as daemon:
        found = await examined(daemon)
    assert found["crm_module"][:2] == ("bad", "не зарегистрирован")


async def test_extensions_without_a_person_and_the_cards_they_lost(lab: Lab) -> None:
    users = {str(user): code for code, user in CODES.items() if code not in {"151", "153"}}
    await lab.add_company(user_extensions={**users, "77": "999"})
    async with lab.daemon() as daemon:
        await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": fresh_id()})
        found = await examined(daemon)
    assert found["mapping"][0] == "warning"
    assert "151, 153" in found["mapping"][1]
    assert "999" in found["mapping_strangers"][1]
    assert "151 (1)" in found["lost_popups"][1]


async def test_a_company_that_is_off_unknown_or_misconfigured(lab: Lab) -> None:
    await lab.add_company(enabled=False)
    await lab.add_company("0368", "token-2", domain="")
    await lab.add_company("0369", "token-3")
    await lab.sql.execute("UPDATE enterprises SET active = false WHERE number = '0369'")
    async with lab.daemon() as daemon:
        assert (await examined(daemon))["integration"][0] == "bad"
        found = await examined(daemon, "0368")
        assert found["integration"][:2] == ("bad", "domain is not set")
        assert "0368" in found["configs"][1]
        assert (await examined(daemon, "0369"))["enterprise"][0] == "bad"
        assert (await examined(daemon, "9999"))["enterprise"][0] == "bad"
        assert "enterprise" not in await examined(daemon, None)


async def test_a_host_whose_clock_is_wrong(lab: Lab) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon:
        assert (await examined(daemon))["host"][0] == "bad"
        began = int(fresh_id().split(".")[0]) - 300
        await post(daemon, f"{began}.1", dial(0, ["151"], 1))
        assert (await examined(daemon))["host_clock"][0] == "skipped", "an outgoing call does not tell"
        await post(daemon, f"{began}.2", start(0))
        assert (await examined(daemon))["host_clock"][0] == "ok", "an event that was late"
        for number in range(3, 5):
            await post(daemon, f"{began}.{number}", start(0))
        found = await examined(daemon)
    assert found["host_clock"][0] == "warning"
    assert "отстают на 30" in found["host_clock"][1]


async def doctor(lab: Lab, *arguments: str, **environ: str) -> tuple[int, str]:
    settings = {
        "VOCHI_DATABASE__DSN": lab.dsn,
        "VOCHI_SERVER__STATE_DIR": str(lab.folder / "state"),
        "VOCHI_SERVER__INTERNAL_PORT": "1",
        "VOCHI_CRM__ALLOW_INSECURE_URLS": "true",
        **environ,
    }
    code, out, errors = await run("doctor", *arguments, cwd=lab.folder, **settings)
    assert errors == ""
    return code, out


async def test_the_command_asks_the_running_daemon(lab: Lab, pbx: SshHost) -> None:
    await good(lab)
    async with serving(lab) as (_, daemon):
        await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": fresh_id()})
        environ = {
            "VOCHI_SERVER__INTERNAL_PORT": daemon.internal.rpartition(":")[2],
            "VOCHI_SERVER__PUBLIC_URL": PUBLIC_URL,
            **{f"VOCHI_{name.upper()}": str(given) for name, given in pbx.settings().items()},
        }
        code, out = await doctor(lab, "--enterprise", NUMBER, **environ)
        assert (code, out.splitlines()[-1]) == (0, "Всё в порядке.")
        assert "✓ Служба: принимает события" in out
        assert "✓ Ключ API: RetailCRM принимает ключ" in out
        code, out = await doctor(lab, "--json", **environ)
        assert code == 0
        assert {item["check"] for item in json.loads(out)} >= {"database", "daemon", "listen"}


async def test_the_command_without_a_daemon_is_red_and_says_how_to_start_it(lab: Lab) -> None:
    code, out = await doctor(lab)
    assert code == 1
    assert "✗ Служба: не отвечает на 127.0.0.1:1" in out
    assert "systemctl start" in out
    assert out.splitlines()[-1] == "Красных: 1."


async def test_the_command_without_a_database_says_what_it_still_can(lab: Lab) -> None:
    code, out = await doctor(lab, VOCHI_DATABASE__DSN="postgresql://someone:hidden@127.0.0.1:1/nowhere")
    assert code == 1
    assert "someone:****@127.0.0.1:1" in out
    assert "hidden" not in out
    assert "✓ Запасной диск" in out


async def test_missing_migrations_are_named(lab: Lab) -> None:
    await lab.sql.execute("DELETE FROM vochi_migrations WHERE name = '0014_ops'")
    code, out = await doctor(lab)
    assert code == 1
    assert "не применены: 0014_ops" in out


async def test_the_index_of_an_older_service_is_named(lab: Lab) -> None:
    await lab.sql.execute("CREATE UNIQUE INDEX ux_old ON call_events (unique_id, event_type)")
    try:
        code, out = await doctor(lab)
    finally:
        await lab.sql.execute("DROP INDEX ux_old")
    assert code == 1
    assert "DROP INDEX ux_old" in out


async def test_a_folder_that_cannot_be_written_is_red(lab: Lab) -> None:
    (lab.folder / "taken").write_text("")
    code, out = await doctor(lab, VOCHI_SERVER__STATE_DIR=str(lab.folder / "taken" / "state"))
    assert code == 1
    assert "✗ Запасной диск" in out


async def bundled(data: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


async def test_the_bundle_has_what_support_asks_for_and_no_secret_and_no_phone(lab: Lab) -> None:
    await good(lab)
    await lab.add_company("0368", "token-of-0368")
    call = fresh_id()
    async with lab.daemon() as daemon:
        await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": call})
        await daemon.post("hangup", hangup(9, ["151"], "2", 1)[2] | {"UniqueId": call})
        await until(lambda: lab.records)
        await eventually(lambda: _logged(lab))
        async with lab.session.get(f"{daemon.internal}/api/support-bundle?enterprise={NUMBER}") as response:
            assert response.status == 200
            assert response.content_type == "application/zip"
            assert f"vochi-support-{NUMBER}-" in response.headers["Content-Disposition"]
            files = await bundled(await response.read())
    assert set(files) == {
        "README.txt", "versions.json", "settings.json", "doctor.txt", "doctor.json", "stats.json", "log.jsonl",
        "deliveries.json", "attempts.json", "events.json", "configs.json",
    }  # fmt: skip
    deliveries: list[dict[str, Any]] = json.loads(files["deliveries.json"])
    assert {row["kind"] for row in deliveries} == {"popup", "popup_over", "record"}
    assert {row["call_external_id"] for row in deliveries} == {call}
    assert {row["event_type"] for row in json.loads(files["events.json"])} == {"dial", "hangup"}
    assert len(json.loads(files["attempts.json"])) == 3
    assert json.loads(files["configs.json"])[0]["integrations_config"]["retailcrm"]["api_key"] == "****"
    everything = "\n".join(files.values())
    for secret in (API_KEY, TOKEN, CLIENT_ID, f"secret-{NUMBER}", "token-of-0368", PHONE):
        where = everything.find(secret)
        assert where < 0, everything[max(0, where - 200) : where + 50]


async def _logged(lab: Lab) -> None:
    assert await lab.sql.fetchval("SELECT count(*) FROM integration_logs") == 3


@pytest.mark.parametrize("number", ["", "9999"])
async def test_a_bundle_of_nobody_is_still_a_bundle(lab: Lab, number: str) -> None:
    async with (
        lab.daemon() as daemon,
        lab.session.get(f"{daemon.internal}/api/support-bundle?enterprise={number}") as response,
    ):
        files = await bundled(await response.read())
    assert json.loads(files["deliveries.json"]) == []
