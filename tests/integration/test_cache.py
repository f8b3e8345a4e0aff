"""What the daemon tells of its configuration in memory, and how fresh that is."""

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

import asyncpg

from tests.lab import API_KEY, Lab, eventually

OFF = "UPDATE enterprises SET integrations_config['retailcrm']['enabled'] = 'false'"
ON = "UPDATE enterprises SET integrations_config['retailcrm']['enabled'] = 'true'"
LISTENERS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'vochi-integrations listen'"


def moment(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()


async def test_an_enterprise_and_its_crms(lab: Lab) -> None:
    await lab.add_company()
    await lab.add_company("0368", "t2", extensions=(), enabled=None)
    await lab.sql.execute("INSERT INTO enterprises(number) VALUES ('0369')")
    async with lab.daemon() as daemon:
        status, answer = await daemon.get("/integrations/0367")
        assert (status, answer["enterprise_number"]) == (200, "0367")
        assert answer["integrations"] == {"retailcrm": True}
        assert 0 <= answer["age_seconds"] < 5
        assert moment(answer["expires_at"]) - moment(answer["cached_at"]) == 90
        assert abs(moment(answer["cached_at"]) - time.time()) < 5
        assert (await daemon.get("/integrations/0368"))[1]["integrations"] == {"retailcrm": False}
        assert (await daemon.get("/integrations/0369"))[1]["integrations"] == {"retailcrm": False}
        assert (await daemon.get("/integrations/9999"))[0] == 404
        assert (await daemon.get("/api/active-enterprises"))[1] == {"active_enterprises": ["0367"], "count": 1}
        assert (await daemon.get("/api/config-cache/active-enterprises"))[1]["count"] == 1
        assert [item["enterprise_number"] for item in (await daemon.get("/cache/entries"))[1]["entries"]]


async def test_configurations_written_in_odd_ways_stop_nobody(lab: Lab) -> None:
    """A JSON string written twice is read; what is no object counts as nothing."""
    await lab.add_company()
    twice = json.dumps({"retailcrm": {"enabled": True, "domain": lab.crm_url, "api_key": API_KEY}})
    odd: dict[str, Any] = {
        "1": twice,
        "2": "not json",
        "3": [1, 2],
        "4": 5,
        "5": None,
        "6": {"retailcrm": "text"},
        "7": {"retailcrm": {"enabled": "yes", "domain": 5, "api_key": [], "user_extensions": [1], "timezone": "Mars"}},
        "8": {"retailcrm": None, "uon": {"enabled": True}},
    }
    for number, config in odd.items():
        await lab.sql.execute("INSERT INTO enterprises(number, integrations_config) VALUES ($1, $2)", number, config)
    async with lab.daemon() as daemon:
        seen = {number: (await daemon.get(f"/integrations/{number}"))[1]["integrations"]["retailcrm"] for number in odd}
        assert seen == {number: number == "1" for number in odd}
        assert (await daemon.get("/integrations/0367"))[1]["integrations"] == {"retailcrm": True}


async def test_a_change_by_psql_is_seen_within_a_second(lab: Lab) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon:
        for change, expected in ((OFF, False), (ON, True), (OFF, False)):
            await lab.sql.execute(change)

            async def seen(expected: bool = expected) -> None:
                assert (await daemon.get("/integrations/0367"))[1]["integrations"]["retailcrm"] is expected

            await eventually(seen, 1.0)
        assert (await daemon.get("/stats"))[1]["cache_stats"]["invalidations"] == 3


async def test_a_burst_of_changes_is_few_queries(lab: Lab) -> None:
    await lab.add_company()
    await lab.sql.execute("INSERT INTO enterprises(number) SELECT 'x' || i FROM generate_series(1, 90) i")
    async with lab.daemon() as daemon:
        before = (await daemon.get("/stats"))[1]["database_queries"]
        await lab.sql.execute("UPDATE enterprises SET name = 'renamed'")

        async def all_noticed() -> None:
            assert (await daemon.get("/stats"))[1]["cache_stats"]["invalidations"] == 91

        await eventually(all_noticed)
        await lab.sql.execute(OFF)

        async def seen() -> None:
            assert (await daemon.get("/integrations/0367"))[1]["integrations"]["retailcrm"] is False

        await eventually(seen)
        assert (await daemon.get("/stats"))[1]["database_queries"] - before < 60


async def test_a_change_of_very_many_rows_is_one_notification(lab: Lab) -> None:
    await lab.add_company()
    await lab.sql.execute("INSERT INTO enterprises(number) SELECT 'x' || i FROM generate_series(1, 200) i")
    async with lab.daemon() as daemon:
        await lab.sql.execute("UPDATE enterprises SET active = false")

        async def seen() -> None:
            stats = (await daemon.get("/stats"))[1]["cache_stats"]
            assert (stats["invalidations"], stats["total_entries"]) == (1, 201)
            assert (await daemon.get("/integrations/0367"))[1]["integrations"]["retailcrm"] is False

        await eventually(seen)


async def test_invalidating_and_refreshing_by_hand(lab: Lab) -> None:
    """As the old services did it, and as an operator does it where no trigger can run."""
    await lab.add_company()
    async with lab.daemon() as daemon:
        async with lab.sql.transaction():
            await lab.sql.execute("SET LOCAL session_replication_role = replica")
            await lab.sql.execute(OFF)
        assert (await daemon.get("/integrations/0367"))[1]["integrations"]["retailcrm"] is True
        status, answer = await daemon.send("POST", daemon.internal + "/cache/invalidate/0367")
        assert (status, "0367" in answer["message"]) == (200, True)
        assert (await daemon.get("/integrations/0367"))[1]["integrations"]["retailcrm"] is False
        async with lab.sql.transaction():
            await lab.sql.execute("SET LOCAL session_replication_role = replica")
            await lab.sql.execute(ON)
        assert (await daemon.send("POST", daemon.internal + "/cache/refresh"))[0] == 200
        assert (await daemon.get("/integrations/0367"))[1]["integrations"]["retailcrm"] is True
        status, answer = await daemon.send("POST", daemon.internal + "/api/config-cache/refresh/0367")
        assert (status, answer["refreshed"], answer["config"]["domain"]) == (200, True, lab.crm_url)
        assert answer["config"]["api_key"] == "****0001"
        assert (await daemon.send("POST", daemon.internal + "/api/config-cache/refresh/9999"))[0] == 404
        status, answer = await daemon.send("POST", daemon.internal + "/api/config-cache/refresh-all")
        assert (status, answer) == (200, {"result": {"refreshed": ["0367"], "skipped": []}})


async def test_statistics_count_hits_and_misses(lab: Lab) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon:
        for _ in range(3):
            await daemon.get("/integrations/0367")
        await daemon.get("/integrations/9999")
        _, stats = await daemon.get("/stats")
        cache = stats["cache_stats"]
        assert (cache["hits"], cache["misses"], cache["hit_ratio"], cache["total_entries"]) == (3, 1, 0.75, 1)
        assert cache["last_full_refresh"].endswith("Z")
        assert stats["uptime_seconds"] >= 0
        assert stats["database_queries"] > 0


async def test_a_killed_listen_connection_comes_back_with_a_full_reload(lab: Lab) -> None:
    await lab.add_company()
    async with lab.daemon(cache__heartbeat=0.5) as daemon:
        pid = await lab.sql.fetchval(LISTENERS)
        await lab.sql.execute("SELECT pg_terminate_backend($1)", pid)
        await lab.sql.execute(OFF)

        async def seen() -> None:
            assert await lab.sql.fetchval(LISTENERS) not in (None, pid)
            assert (await daemon.get("/integrations/0367"))[1]["integrations"]["retailcrm"] is False

        await eventually(seen, 5.0)


async def test_a_silent_listen_connection_is_noticed_within_three_heartbeats(lab: Lab) -> None:
    """The backend is stopped as a half-open connection would be: alive, and never answering."""
    await lab.add_company()
    async with lab.daemon(cache__heartbeat=0.5) as daemon:
        pid = await lab.sql.fetchval(LISTENERS)
        stop = await asyncio.create_subprocess_exec("kill", "-STOP", str(pid))
        assert await stop.wait() == 0
        try:
            began = time.monotonic()
            await lab.sql.execute(OFF)

            async def seen() -> None:
                assert (await daemon.get("/integrations/0367"))[1]["integrations"]["retailcrm"] is False

            await eventually(seen, 5.0)
            assert time.monotonic() - began < 3 * 0.5 + 0.5
        finally:
            await (await asyncio.create_subprocess_exec("kill", "-CONT", str(pid))).wait()


async def test_while_nobody_listens_old_entries_are_read_again_on_use(lab: Lab) -> None:
    """Single flight: many askers, one query; and never a query while the entry is young."""
    await lab.add_company()
    async with lab.daemon(cache__ttl_seconds=0.3) as daemon, blocked_listener(lab):

        async def deaf() -> None:
            assert (await daemon.get("/stats"))[1]["cache_stats"]["listening"] is False

        await eventually(deaf)
        await lab.sql.execute(OFF)

        async def seen() -> None:
            assert (await daemon.get("/integrations/0367"))[1]["integrations"]["retailcrm"] is False

        await eventually(seen, 2.0)
        await eventually_old(daemon)
        before = (await daemon.get("/stats"))[1]["database_queries"]
        await asyncio.gather(*(daemon.get("/integrations/0367") for _ in range(50)))
        assert (await daemon.get("/stats"))[1]["database_queries"] - before <= 8


async def eventually_old(daemon: Any) -> None:
    _, answer = await daemon.get("/cache/entries")

    async def old() -> None:
        _, now = await daemon.get("/cache/entries")
        assert now["entries"][0]["age_seconds"] > 0.35

    assert answer
    await eventually(old)


class blocked_listener:  # noqa: N801 - read as a verb
    """Let no LISTEN connection in: the role may have no more connections than it has now."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    async def __aenter__(self) -> None:
        self._role = await self._lab.sql.fetchval("SELECT current_user")
        await self._lab.sql.execute(
            "CREATE OR REPLACE FUNCTION refuse_listeners() RETURNS event_trigger LANGUAGE plpgsql AS"
            " $$ BEGIN IF current_setting('application_name') LIKE '% listen' THEN RAISE 'no'; END IF; END $$"
        )
        await self._lab.sql.execute(
            "CREATE EVENT TRIGGER refuse_listeners ON login EXECUTE FUNCTION refuse_listeners()"
        )
        await self._lab.sql.execute("ALTER EVENT TRIGGER refuse_listeners ENABLE ALWAYS")
        pid = await self._lab.sql.fetchval(LISTENERS)
        await self._lab.sql.execute("SELECT pg_terminate_backend($1)", pid)

    async def __aexit__(self, *_: object) -> None:
        await self._lab.sql.execute("DROP EVENT TRIGGER refuse_listeners")


async def test_two_companies_with_one_token_are_one_at_a_time(lab: Lab) -> None:
    await lab.add_company("0367")
    await lab.add_company("0368", extensions=())
    await lab.sql.execute("UPDATE enterprises SET active = false WHERE number = '0367'")
    async with lab.daemon() as daemon:
        await daemon.post("start", {"UniqueId": "1.1"})
        assert await lab.sql.fetchval("SELECT enterprise_number FROM call_events") == "0368"


async def test_the_health_page_says_what_is_missing(lab: Lab, sql: asyncpg.Connection) -> None:
    async with lab.daemon() as daemon:
        for origin in (daemon.public, daemon.internal):
            status, answer = await daemon.send("GET", origin + "/health")
            assert (status, answer["status"], answer["reasons"]) == (200, "ok", [])
            assert answer["version"]
