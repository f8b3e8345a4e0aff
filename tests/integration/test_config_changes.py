"""A saved change works in the very next call; what a company switched off is not sent; secrets stay secret."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cryptography.fernet import Fernet

from tests.integration.test_call_path import fresh_id, post
from tests.integration.test_commands import run, serving
from tests.kinds import dial, hangup
from tests.lab import API_KEY, CODES, NUMBER, DaemonUnderTest, Lab, eventually, until
from vochi_integrations.cipher import Cipher
from vochi_integrations.configs import ConfigStore
from vochi_integrations.db import connected
from vochi_integrations.integrations import NAMES
from vochi_integrations.keys import CONFIGS
from vochi_integrations.ops.secrets import rotate_secrets
from vochi_integrations.serve import running
from vochi_integrations.settings import Secret

CRM = "retailcrm"
ADMIN = "Анна"
OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
USER = str(CODES["151"])


@asynccontextmanager
async def opened(lab: Lab, **settings: object) -> AsyncIterator[tuple[DaemonUnderTest, ConfigStore]]:
    """A daemon and the store of configurations in it."""
    async with running(lab.settings(**settings)) as (served, public, internal):  # type: ignore[arg-type]
        yield DaemonUnderTest(lab.session, public, internal), served.internal[CONFIGS]


async def api_key(lab: Lab) -> str:
    return str(await lab.sql.fetchval("SELECT integrations_config #>> '{retailcrm,api_key}' FROM enterprises"))


async def test_the_very_next_call_uses_what_was_saved(lab: Lab) -> None:
    """With the triggers off: what the daemon saved itself it need not be told."""
    await lab.add_company()
    await lab.sql.execute("ALTER TABLE enterprises DISABLE TRIGGER USER")
    try:
        async with opened(lab) as (daemon, configs):
            for number in range(20):
                extension = ("151", "555")[number % 2]
                await configs.patch_extensions(NUMBER, CRM, {USER: extension}, by=ADMIN)
                await post(daemon, fresh_id(number), dial(0, ["151", "555"]))
                (row,) = [row for row in await lab.deliveries(kind="popup") if row["status"] != "skipped"][number:]
                assert row["payload"]["codes"] == [extension]
            await configs.merge(NUMBER, CRM, {"events": {"in": False}}, by=ADMIN, action="save")
            await post(daemon, fresh_id(50), dial(0, ["151"]))
            assert (await lab.deliveries())[-1]["reason"] == "event_off"
            await configs.drop(NUMBER, CRM, by=ADMIN)
            await post(daemon, fresh_id(51), dial(0, ["151"]))
            assert (await lab.reasons())[-1] == ("dial", "integration_off")
    finally:
        await lab.sql.execute("ALTER TABLE enterprises ENABLE TRIGGER USER")


async def test_other_daemons_are_told(lab: Lab) -> None:
    await lab.add_company()
    async with opened(lab) as (_, configs), lab.daemon("other") as other:
        await configs.patch_extensions(NUMBER, CRM, {USER: "555"}, by=ADMIN)

        async def works() -> None:
            await post(other, fresh_id(), dial(0, ["555"]))
            assert lab.popups

        await eventually(works, 1.0)


async def test_a_key_is_encrypted_in_the_table_and_sent_as_it_is(lab: Lab) -> None:
    await lab.add_company(api_key="wrong")
    async with opened(lab, secrets__keys=OLD) as (daemon, configs):
        await configs.merge(NUMBER, CRM, {"api_key": API_KEY}, by=ADMIN, action="save")
        assert (await api_key(lab)).startswith("fernet:")
        await post(daemon, fresh_id(), dial(0, ["151"]))
        await until(lambda: lab.popups)


async def test_a_company_whose_key_cannot_be_decrypted_waits_and_nobody_else_does(lab: Lab) -> None:
    stored = Cipher([Secret(OLD)]).encrypt(API_KEY)
    await lab.add_company()
    await lab.add_company("0500", "other-token")
    settings = {"VOCHI_SECRETS__KEYS": NEW, "VOCHI_LOGGING__LEVEL": "debug"}
    async with serving(lab, **settings) as (process, daemon):
        await lab.sql.execute(
            "UPDATE enterprises SET integrations_config['retailcrm']['api_key'] = $1 WHERE number = $2", stored, NUMBER
        )

        async def waits() -> None:
            await post(daemon, fresh_id(1), dial(0, ["151"]))
            assert "not_configured" in {row["reason"] for row in await lab.deliveries(enterprise_number=NUMBER)}

        await eventually(waits)
        other = fresh_id(2)
        await daemon.post("dial", dial(0, ["151"])[2] | {"UniqueId": other}, "other-token")
        await until(lambda: other in [popup["callExternalId"] for popup in lab.popups])
        process.terminate()
        logged = (await process.communicate())[0].decode()
    assert f'"enterprise":"{NUMBER}","integration":"retailcrm","problem":"api_key cannot be read: none of' in logged
    assert stored not in logged
    assert API_KEY not in logged
    assert "exception" not in logged


async def test_a_pop_up_that_waits_dies_with_its_call_although_closings_are_off(lab: Lab) -> None:
    await lab.add_company(events={"hangup": False})
    call = fresh_id()
    lab.crm.switch(fault="500")
    async with lab.daemon(delivery__retry_base=0.2, breaker__failures=100) as daemon:
        await post(daemon, call, dial(0, ["151"]))

        async def tried() -> None:
            assert lab.account.totals.requests

        await eventually(tried)
        await post(daemon, call, hangup(9, ["151"], "2"))
        lab.crm.switch(fault=None)
        await until(lambda: lab.records)

        async def ended() -> None:
            (popup,) = await lab.deliveries(kind="popup")
            assert (popup["status"], popup["reason"]) == ("expired", "call_over")

        await eventually(ended)
    assert lab.events() == []
    assert [(row["status"], row["reason"]) for row in await lab.deliveries(kind="popup_over")] == [
        ("skipped", "event_off")
    ]


@pytest.mark.parametrize("command", [["serve"], ["secrets", "rotate"]])
async def test_a_wrong_key_stops_the_start_with_its_name(lab: Lab, command: list[str]) -> None:
    code, _, errors = await run(
        *command, cwd=lab.folder, VOCHI_SECRETS__KEYS=f"{OLD},not-a-key-at-all", VOCHI_DATABASE__DSN=lab.dsn
    )
    assert code == 2
    assert "secrets.keys" in errors
    assert "not-a-key-at-all" not in errors
    assert errors.count("\n") == 1


async def rotate(lab: Lab, keys: str) -> tuple[int, str, str]:
    return await run("secrets", "rotate", cwd=lab.folder, VOCHI_SECRETS__KEYS=keys, VOCHI_DATABASE__DSN=lab.dsn)


async def test_secrets_rotate(lab: Lab) -> None:
    sealed, lost = Cipher([Secret(OLD)]), Cipher([Secret(Fernet.generate_key().decode())])
    await lab.add_company("1", "1", api_key="plain-key")
    await lab.add_company("2", "2", api_key=sealed.encrypt("old-key"))
    await lab.add_company("3", "3", api_key=lost.encrypt("lost-key"))
    await lab.sql.execute(
        "UPDATE enterprises SET integrations_config = to_jsonb((integrations_config || $1)::text) WHERE number = '2'",
        {"uon": {"api_key": "theirs"}},
    )
    async with connected(lab.dsn) as database:
        configs = ConfigStore(database, sealed)
        await configs.merge("2", CRM, {"api_key": "newer-key"}, by=ADMIN, action="save")
        code, out, errors = await rotate(lab, f"{NEW},{OLD}")
        assert (code, errors) == (1, "")
        assert out.splitlines() == [
            "API keys: 1 encrypted anew, 1 encrypted that were plain, 1 that no key decrypts",
            "kept for undo: 2 encrypted anew",
            "enterprise 3: api_key of retailcrm cannot be decrypted; enter it again",
        ]
        renewed = ConfigStore(database, Cipher([Secret(NEW)]))
        stored = [(await renewed.get(number, CRM) or {})["api_key"] for number in "123"]
        assert stored == ["plain-key", "newer-key", ""]
        other = await lab.sql.fetchval("SELECT integrations_config -> 'uon' FROM enterprises WHERE number = '2'")
        assert other == {"api_key": "theirs"}
        (version,) = await renewed.versions("2", CRM)
        assert (await renewed.undo("2", CRM, version.id, by=ADMIN)).config["api_key"] == "old-key"
        await lab.sql.execute("DELETE FROM enterprises WHERE number = '3'")
        code, out, _ = await rotate(lab, NEW)
        assert code == 0
        assert out.splitlines()[0] == "API keys: 2 already encrypted with the first key"


async def test_there_is_nothing_to_rotate_with(lab: Lab) -> None:
    code, _, errors = await rotate(lab, "")
    assert code == 2
    assert "secrets.keys" in errors


async def test_a_rotation_loses_nothing_of_those_who_write_meanwhile(lab: Lab) -> None:
    numbers = [f"{number}" for number in range(30)]
    for number in numbers:
        await lab.add_company(number, f"t{number}", api_key=f"plain-key-{number}")
    cipher = Cipher([Secret(NEW), Secret(OLD)])
    async with connected(lab.dsn) as database:
        configs = ConfigStore(database, cipher)

        async def write_all() -> None:
            for number in reversed(numbers):
                patch = {"written": True, "api_key": f"new-key-{number}"}
                await configs.merge(number, CRM, patch, by=ADMIN, action="save")

        (report, is_complete), _ = await asyncio.gather(rotate_secrets(lab.dsn, cipher, NAMES), write_all())
        assert is_complete, report
        for number in numbers:
            config = await configs.get(number, CRM) or {}
            assert (config["written"], config["api_key"]) == (True, f"new-key-{number}")


async def test_over_http_nothing_is_lost_shown_or_late(lab: Lab) -> None:
    """Two administrators at two daemons of one database, both at once, again and again."""
    await lab.add_company(user_extensions={}, api_key="another-key-0001")
    lab.crm.switch(rate_limit=False)
    async with (
        lab.daemon(secrets__keys=OLD) as daemon,
        lab.daemon("other", secrets__keys=OLD) as other,
    ):

        async def put(at: DaemonUnderTest, **config: object) -> Any:
            status, answer = await at.send("PUT", f"{at.internal}/api/config/{NUMBER}", json={"config": config})
            assert status == 200, answer
            return answer["config"]

        for number in range(25):
            await asyncio.gather(put(daemon, **{f"a{number}": number}), put(other, **{f"b{number}": number}))
        shown = await put(daemon, api_key=API_KEY, user_extensions={"1": "999"})
        assert shown.items() >= {f"{who}{number}": number for who in "ab" for number in range(25)}.items()
        assert (shown["api_key"], shown["user_extensions"]) == ("****" + API_KEY[-4:], {})
        assert (await put(other, **shown))["api_key"] == shown["api_key"]
        stored = await api_key(lab)
        assert stored.startswith("fernet:")
        assert Cipher([Secret(OLD)]).decrypt(stored) == API_KEY
        await post(daemon, fresh_id(), dial(0, ["151"]))
        await until(lambda: lab.popups)
