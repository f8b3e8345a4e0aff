"""The store of configurations on a real database: nothing lost, nothing shown, everything can be undone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import orjson
import pytest
from cryptography.fernet import Fernet

from tests.lab import NUMBER
from vochi_integrations.cipher import Cipher
from vochi_integrations.configs import Change, ConfigStore
from vochi_integrations.db import connected
from vochi_integrations.errors import BadRequestError, UnknownEnterpriseError
from vochi_integrations.settings import Secret

CRM = "retailcrm"
KEY, OTHER = (Secret(Fernet.generate_key().decode()) for _ in range(2))
ADMIN = "Анна"


@pytest.fixture
async def configs(dsn: str, sql: asyncpg.Connection) -> AsyncIterator[ConfigStore]:
    await sql.execute("INSERT INTO enterprises (number) VALUES ($1)", NUMBER)
    async with connected(dsn) as database:
        yield ConfigStore(database, Cipher())


@pytest.fixture
async def sealing(dsn: str, configs: ConfigStore) -> AsyncIterator[ConfigStore]:
    async with connected(dsn) as database:
        yield ConfigStore(database, Cipher([KEY]))


async def raw(sql: asyncpg.Connection) -> Any:
    return await sql.fetchval("SELECT integrations_config FROM enterprises WHERE number = $1", NUMBER)


async def set_raw(sql: asyncpg.Connection, value: object) -> None:
    await sql.execute("UPDATE enterprises SET integrations_config = $1 WHERE number = $2", value, NUMBER)


async def merge(configs: ConfigStore, **patch: Any) -> dict[str, Any]:
    return await configs.merge(NUMBER, CRM, patch, by=ADMIN, action="save")


async def test_a_merge_touches_only_what_was_sent(configs: ConfigStore, sql: asyncpg.Connection) -> None:
    await set_raw(
        sql, {"uon": {"x": 1}, CRM: {"odd": [1], "nothing": None, "domain": "a", "user_extensions": {"1": "150"}}}
    )
    merged = await merge(configs, domain="b", region=None, nothing_new=None, events={"in": False})
    expected = {"odd": [1], "nothing": None, "domain": "b", "user_extensions": {"1": "150"}, "events": {"in": False}}
    assert merged == await configs.get(NUMBER, CRM) == expected
    assert await raw(sql) == {"uon": {"x": 1}, CRM: expected}
    assert (await merge(configs, events={"out": False}))["events"] == {"in": False, "out": False}
    assert (await merge(configs, events={"in": None}))["events"] == {"out": False}


async def test_nobody_s_keys_are_lost_by_writers_at_the_same_time(configs: ConfigStore, dsn: str) -> None:
    async with connected(dsn) as database:
        other = ConfigStore(database, Cipher())
        for place in range(50):
            await asyncio.gather(
                merge(configs, **{f"a{place}": place}),
                merge(other, **{f"b{place}": place}),
                configs.patch_extensions(NUMBER, CRM, {f"1{place}": f"{100 + place}"}, by=ADMIN),
                other.patch_extensions(NUMBER, CRM, {f"2{place}": f"{200 + place}"}, by=ADMIN),
            )
    config = await configs.get(NUMBER, CRM) or {}
    extensions = config.pop("user_extensions")
    assert config == {f"{letter}{place}": place for letter in "ab" for place in range(50)}
    assert extensions == {f"{one}{place}": f"{one * 100 + place}" for one in (1, 2) for place in range(50)}
    assert len(await configs.versions(NUMBER, CRM, 1000)) == 200


async def test_one_number_ends_with_one_user_whoever_gives_it(configs: ConfigStore) -> None:
    for _ in range(50):
        await asyncio.gather(
            *(configs.patch_extensions(NUMBER, CRM, {user: "150"}, by=ADMIN) for user in ("1", "2", "3"))
        )
        assert list(((await configs.get(NUMBER, CRM)) or {})["user_extensions"].values()) == ["150"]


async def test_extensions_are_patched(configs: ConfigStore, sql: asyncpg.Connection) -> None:
    await set_raw(sql, {CRM: {"user_extensions": {"1": "150", "2": 151, "3": " 152 ", "4": None}}})
    patched = await configs.patch_extensions(NUMBER, CRM, {"5": "151", "6": " 152", "1": "", "7": None}, by=ADMIN)
    assert patched == {"5": "151", "6": "152"}
    assert await configs.patch_extensions(NUMBER, CRM, {"5": "152", "6": "151"}, by=ADMIN) == {"5": "152", "6": "151"}
    with pytest.raises(BadRequestError, match="150"):
        await configs.patch_extensions(NUMBER, CRM, {"5": "150", "6": "150"}, by=ADMIN)


@pytest.mark.parametrize("level", ["whole", "part", "map"])
async def test_a_configuration_stored_as_a_string_is_merged(
    configs: ConfigStore, sql: asyncpg.Connection, level: str
) -> None:
    extensions: Any = {"1": "150"}
    part: Any = {"domain": "a", "user_extensions": orjson.dumps(extensions).decode() if level == "map" else extensions}
    whole: Any = {"uon": {"x": 1}, CRM: orjson.dumps(part).decode() if level == "part" else part}
    await set_raw(sql, orjson.dumps(whole).decode() if level == "whole" else whole)
    assert await configs.patch_extensions(NUMBER, CRM, {"2": "151"}, by=ADMIN) == {"1": "150", "2": "151"}
    await merge(configs, domain="b")
    expected = {"uon": {"x": 1}, CRM: {"domain": "b", "user_extensions": {"1": "150", "2": "151"}}}
    assert await raw(sql) == expected
    assert [version.changes for version in await configs.versions(NUMBER, CRM)] == [
        (Change(path=("domain",), before="a", after="b"),),
        (Change(path=("user_extensions", "2"), after="151"),),
    ]


@pytest.mark.parametrize("odd", [None, "", "no json", "[1]", [1], 5, '{"retailcrm": 5}', {CRM: "x"}, {CRM: None}])
async def test_what_is_no_configuration_is_an_empty_one(
    configs: ConfigStore, sql: asyncpg.Connection, odd: object
) -> None:
    await set_raw(sql, odd)
    assert (await configs.get(NUMBER, CRM)) in (None, {})
    assert await merge(configs, domain="b") == {"domain": "b"}


async def test_an_unknown_enterprise(configs: ConfigStore) -> None:
    for work in (
        configs.get("9", CRM),
        configs.merge("9", CRM, {}, by=ADMIN, action="save"),
        configs.patch_extensions("9", CRM, {}, by=ADMIN),
        configs.drop("9", CRM, by=ADMIN),
        configs.undo("9", CRM, 1, by=ADMIN),
    ):
        with pytest.raises(UnknownEnterpriseError):
            await work
    assert await configs.get(NUMBER, CRM) is None


@pytest.mark.parametrize("same", ["", None, "****", "****5678", " key-12345678 ", "key-12345678"])
async def test_a_key_that_was_not_entered_stays(sealing: ConfigStore, sql: asyncpg.Connection, same: object) -> None:
    await merge(sealing, api_key="key-12345678", domain="a")
    stored = (await raw(sql))[CRM]["api_key"]
    assert stored.startswith("fernet:")
    assert (await merge(sealing, api_key=same, domain="b"))["api_key"] == "key-12345678"
    assert (await raw(sql))[CRM]["api_key"] == stored
    assert (await merge(sealing, api_key="another"))["api_key"] == "another"


async def test_a_plain_key_is_encrypted_by_any_save(
    configs: ConfigStore, sealing: ConfigStore, sql: asyncpg.Connection
) -> None:
    await merge(configs, api_key="key-12345678")
    assert (await raw(sql))[CRM]["api_key"] == "key-12345678"
    assert (await sealing.get(NUMBER, CRM)) == {"api_key": "key-12345678"}
    await sealing.patch_extensions(NUMBER, CRM, {"1": "150"}, by=ADMIN)
    assert (await raw(sql))[CRM]["api_key"].startswith("fernet:")
    assert (await sealing.get(NUMBER, CRM) or {})["api_key"] == "key-12345678"
    assert (await configs.get(NUMBER, CRM) or {})["api_key"] == ""
    assert [change.path for change in (await sealing.versions(NUMBER, CRM))[0].changes] == [("user_extensions", "1")]


async def test_versions_show_no_secret(configs: ConfigStore, sealing: ConfigStore, sql: asyncpg.Connection) -> None:
    await merge(configs, api_key="plain-secret-1", client_id="client-secret", token_id="token-secret")
    await merge(sealing, api_key="sealed-secret-2")
    await sealing.drop(NUMBER, CRM, by=ADMIN)
    rows = await sql.fetch("SELECT * FROM integration_config_versions")
    assert "secret" not in repr(rows)
    versions = await sealing.versions(NUMBER, CRM)
    assert "fernet" not in repr(versions)
    assert versions[1].changes == (Change(path=("api_key",), before="****", after="****"),)
    assert [(version.by, version.action) for version in versions] == [(ADMIN, "drop"), (ADMIN, "save"), (ADMIN, "save")]


async def test_a_save_without_a_change_is_no_version(sealing: ConfigStore) -> None:
    for _ in range(2):
        await merge(sealing, domain="a", api_key="key-12345678")
    assert len(await sealing.versions(NUMBER, CRM)) == 1


async def test_an_undo_restores_what_its_version_changed_and_nothing_else(sealing: ConfigStore) -> None:
    await merge(sealing, domain="a", region="BY", events={"in": True})
    await merge(sealing, domain="b", region=None, timezone="Europe/Minsk", events={"in": False})
    wrong = (await sealing.versions(NUMBER, CRM))[0]
    await merge(sealing, domain="c", record_owner="last")
    undone = await sealing.undo(NUMBER, CRM, wrong.id, by="Пётр")
    assert undone.config == {"domain": "a", "region": "BY", "events": {"in": True}, "record_owner": "last"}
    assert (undone.touched_later, undone.not_kept) == ((("domain",),), ())
    latest = (await sealing.versions(NUMBER, CRM))[0]
    assert (latest.by, latest.action, latest.undoes) == ("Пётр", "undo", wrong.id)
    again = await sealing.undo(NUMBER, CRM, latest.id, by=ADMIN)
    assert (again.config["domain"], again.config["timezone"], "region" in again.config) == ("c", "Europe/Minsk", False)


async def test_an_undo_of_a_mapping_keeps_one_number_with_one_user(sealing: ConfigStore) -> None:
    await sealing.patch_extensions(NUMBER, CRM, {"1": "150"}, by=ADMIN)
    await sealing.patch_extensions(NUMBER, CRM, {"1": "151"}, by=ADMIN)
    moved = (await sealing.versions(NUMBER, CRM))[0]
    await sealing.patch_extensions(NUMBER, CRM, {"2": "150"}, by=ADMIN)
    undone = await sealing.undo(NUMBER, CRM, moved.id, by=ADMIN)
    assert undone.config["user_extensions"] == {"1": "150"}


async def test_an_undo_of_a_removal_brings_back_all_but_what_a_registration_made(
    sealing: ConfigStore, sql: asyncpg.Connection
) -> None:
    await merge(sealing, api_key="key-12345678", domain="a", client_id="c", token_id="t", enabled=True, registered_at=1)
    await merge(sealing, unpushed_extensions={"1": "150"})
    await sealing.patch_extensions(NUMBER, CRM, {"1": "150"}, by=ADMIN)
    assert await sealing.drop(NUMBER, CRM, by=ADMIN)
    assert not await sealing.drop(NUMBER, CRM, by=ADMIN)
    assert await raw(sql) == {}
    undone = await sealing.undo(NUMBER, CRM, (await sealing.versions(NUMBER, CRM))[0].id, by=ADMIN)
    assert undone.config == {
        "api_key": "key-12345678",
        "domain": "a",
        "enabled": True,
        "user_extensions": {"1": "150"},
    }
    assert undone.not_kept == (("client_id",), ("token_id",))


async def test_a_key_that_was_plain_or_cannot_be_read_is_not_restored(
    configs: ConfigStore, sealing: ConfigStore, dsn: str
) -> None:
    await merge(configs, api_key="plain-secret-1")
    await merge(configs, api_key="plain-secret-2")
    with pytest.raises(BadRequestError, match="enter"):
        await configs.undo(NUMBER, CRM, (await configs.versions(NUMBER, CRM))[0].id, by=ADMIN)
    await merge(sealing, api_key="sealed-secret-3")
    await merge(sealing, api_key="sealed-secret-4", domain="a")
    version = (await sealing.versions(NUMBER, CRM))[0].id
    async with connected(dsn) as database:
        undone = await ConfigStore(database, Cipher([OTHER])).undo(NUMBER, CRM, version, by=ADMIN)
        assert undone.not_kept == (("api_key",),)
    assert (await sealing.undo(NUMBER, CRM, version, by=ADMIN)).config == {"api_key": "sealed-secret-3"}


async def test_there_is_no_such_version(sealing: ConfigStore) -> None:
    with pytest.raises(BadRequestError, match="77"):
        await sealing.undo(NUMBER, CRM, 77, by=ADMIN)
