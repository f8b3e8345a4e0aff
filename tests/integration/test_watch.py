"""Alerts reach the operator and the enterprise: once, from one of several daemons, with their end."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from aiohttp import web

from tests.integration.test_call_path import fresh_id
from tests.integration.test_metrics import scraped, value
from tests.kinds import dial
from tests.lab import NUMBER, TOKEN, DaemonUnderTest, Lab, eventually, until
from vochi_integrations.db import connected
from vochi_integrations.serve import listening

FAST = {"alerts__interval": 0.05, "breaker__failures": 1, "delivery__retry_base": 0.05}


class Post:
    """Takes what a webhook and Telegram's API would."""

    def __init__(self) -> None:
        self.webhook: list[dict[str, Any]] = []
        self.telegram: list[tuple[str, dict[str, Any]]] = []
        self.status = 200
        self.busy_for: int | None = None
        self.hangs = False
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        if request.path == "/hook":
            self.webhook.append(body)
            if self.hangs:
                await asyncio.Event().wait()
            return web.Response(status=self.status)
        self.telegram.append((request.path, body))
        if self.busy_for is None:
            return web.Response(status=self.status)
        answer = {"ok": False, "error_code": 429, "parameters": {"retry_after": self.busy_for}}
        return web.json_response(answer, status=429)

    def rules(self, status: str = "firing") -> list[str]:
        return [body["rule"] for body in self.webhook if body["status"] == status]

    def settings(self) -> dict[str, object]:
        return {
            **FAST,
            "alerts__webhook_url": f"{self.url}/hook",
            "alerts__telegram_api": self.url,
            "alerts__telegram_token": "1:operator",
            "alerts__telegram_chat": "-100",
        }


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    found, app = Post(), web.Application()
    app.add_routes([web.post("/{path:.*}", found.take)])
    async with listening(app, "127.0.0.1", 0, "post", 0.5) as port:
        found.url = f"http://127.0.0.1:{port}"
        yield found


async def break_crm(lab: Lab, daemon: DaemonUnderTest, run: int = 0) -> None:
    lab.crm.switch(fault="500")
    await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": fresh_id(run)})


async def test_an_open_breaker_is_told_to_every_channel_and_so_is_its_end(lab: Lab, post: Post) -> None:
    await lab.add_company()
    await lab.sql.execute("UPDATE enterprises SET bot_token = '2:company', chat_id = '77'")
    overrides = post.settings() | {"alerts__tell_enterprises": "true", "breaker__open_seconds": 0.3}
    async with lab.daemon("state", **overrides) as daemon:
        await break_crm(lab, daemon)
        await until(lambda: len(post.telegram) == 2 and post.webhook)
        (body,) = post.webhook
        assert (body["rule"], body["enterprise"], body["integration"]) == ("breaker_open", NUMBER, "retailcrm")
        assert {path: body["chat_id"] for path, body in post.telegram} == {
            "/bot1:operator/sendMessage": "-100",
            "/bot2:company/sendMessage": "77",
        }
        assert NUMBER in post.telegram[0][1]["text"]
        (alert,) = (await daemon.get("/stats"))[1]["alerts"]
        assert (alert["rule"], alert["enterprise"]) == ("breaker_open", NUMBER)
        lab.crm.switch(fault=None)
        await asyncio.sleep(0.3)  # the breaker's pause, which nothing else ends
        await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": fresh_id(7)})
        await until(lambda: post.rules("resolved") == ["breaker_open"])
        assert (await daemon.get("/stats"))[1]["alerts"] == []


async def test_of_two_daemons_the_first_to_see_tells(lab: Lab, post: Post) -> None:
    """Both see the same failed record in the database they share."""
    await lab.add_company()
    async with lab.daemon("one", **post.settings()), lab.daemon("two", **post.settings()) as second:
        await fail_a_record(lab)
        await until(lambda: post.webhook)
        await eventually(lambda: _fires(second, "failed_records"))
        await lab.sql.execute("DELETE FROM integration_deliveries")
        await until(lambda: post.rules("resolved"))
        await eventually(lambda: _fires(second))
    assert post.rules() == ["failed_records"]
    assert post.rules("resolved") == ["failed_records"]


async def test_a_restart_does_not_tell_again(lab: Lab, post: Post) -> None:
    await lab.add_company()
    async with lab.daemon("state", **post.settings()):
        await fail_a_record(lab)
        await until(lambda: post.webhook)
    async with lab.daemon("state", **post.settings()) as daemon:
        await eventually(lambda: _fires(daemon, "failed_records"))
        await lab.sql.execute("DELETE FROM integration_deliveries")
        await until(lambda: post.rules("resolved"))
    assert post.rules() == ["failed_records"]


async def test_a_breaker_that_another_daemon_has_open_is_not_told_as_closed(lab: Lab, post: Post) -> None:
    """The second opens its own too, is restarted and sees no breaker any more; the first still does."""
    await lab.add_company()
    settings = post.settings() | {"breaker__open_seconds": 60, "alerts__interval": 0.2}
    async with lab.daemon("one", **settings) as first:
        async with lab.daemon("two", **settings) as second:
            await break_crm(lab, first)
            await until(lambda: post.rules() == ["breaker_open"])
            await break_crm(lab, second, 1)
            await eventually(lambda: _fires(second, "breaker_open"))
        async with lab.daemon("two", **settings) as second:
            await eventually(lambda: _fires(second))
            await fail_a_record(lab)
            await until(lambda: post.rules() == ["breaker_open", "failed_records"])
            assert post.rules("resolved") == []
        await lab.sql.execute("UPDATE enterprises SET integrations_config['retailcrm']['region'] = '\"PL\"'")
        await until(lambda: post.rules("resolved") == ["breaker_open"])


async def test_an_alert_told_while_the_database_was_away_is_told_as_over(lab: Lab, post: Post) -> None:
    """The table is locked: the alert is told without a row."""
    await lab.add_company()
    settings = post.settings() | {"breaker__open_seconds": 60}
    async with lab.daemon("state", **settings) as daemon:
        async with lab.sql.transaction():
            await lab.sql.execute("LOCK TABLE alert_states")
            await break_crm(lab, daemon)
            await until(lambda: "breaker_open" in post.rules(), 15.0)
        await lab.sql.execute("UPDATE enterprises SET integrations_config['retailcrm']['region'] = '\"PL\"'")
        await until(lambda: "breaker_open" in post.rules("resolved"), 10.0)


async def fail_a_record(lab: Lab) -> None:
    await lab.sql.execute(
        "INSERT INTO integration_deliveries (enterprise_number, integration_type, call_external_id, kind, dedupe_key,"
        " class, payload, status, reason, event_at, finished_at)"
        " VALUES ($1, 'retailcrm', '1.1', 'record', '', 'history', '{}', 'failed', 'crm_rejected', now(), now())",
        NUMBER,
    )


async def _fires(daemon: DaemonUnderTest, *rules: str) -> None:
    assert [alert["rule"] for alert in (await daemon.get("/stats"))[1]["alerts"]] == [*rules]


async def test_a_channel_that_fails_is_tried_again_and_holds_nothing_up(lab: Lab, post: Post) -> None:
    await lab.add_company()
    post.status = 503
    async with lab.daemon("state", **post.settings()) as daemon:
        await break_crm(lab, daemon)
        await until(lambda: len(post.webhook) == 2)
        assert (await daemon.get("/health"))[0] == 200
        assert post.rules() == ["breaker_open", "breaker_open"]


async def test_a_webhook_that_hangs_holds_no_telegram_up(lab: Lab, post: Post) -> None:
    await lab.add_company()
    post.hangs = True
    async with lab.daemon("state", **post.settings()) as daemon:
        await fail_a_record(lab)
        await until(lambda: len(post.telegram) == 1 and post.webhook)
        await break_crm(lab, daemon)
        await until(lambda: len(post.telegram) == 2)
        assert len(post.webhook) == 1


async def test_telegram_is_let_alone_for_as_long_as_it_asks(lab: Lab, post: Post) -> None:
    await lab.add_company()
    post.busy_for = 2
    async with lab.daemon("state", **post.settings()):
        await fail_a_record(lab)
        await until(lambda: post.telegram)
        post.busy_for, began = None, time.monotonic()
        await until(lambda: len(post.telegram) == 2)
        assert time.monotonic() - began > 1.9
    assert post.telegram[0] == post.telegram[1]


async def test_what_a_channel_does_not_take_is_counted(lab: Lab, post: Post) -> None:
    await lab.add_company()
    post.status = 404
    async with lab.daemon("state", **post.settings()) as daemon:
        await fail_a_record(lab)

        async def counted() -> None:
            samples = await scraped(daemon)
            assert value(samples, "vochi_alerts_dropped_total", channel="webhook") == 1
            assert value(samples, "vochi_alerts_dropped_total", channel="telegram") == 1

        await eventually(counted)
    assert len(post.webhook) == 1


@asynccontextmanager
async def refusing(lab: Lab, daemon: DaemonUnderTest) -> AsyncIterator[None]:
    """PostgreSQL takes no write inside the block, and the spool has no room for an event as large as this."""
    body = dial(0, ["151"], 1)[2] | {"UniqueId": fresh_id(8), "Token": TOKEN, "Filler": "x" * 60_000}
    async with lab.sql.transaction():
        await lab.sql.execute("LOCK TABLE call_events, host_hours")
        assert (await daemon.send("POST", f"{daemon.public}/dial", json=body))[0] == 503
        yield


async def well(daemon: DaemonUnderTest) -> None:
    status, said = await daemon.get("/health")
    assert (status, said["status"], said["reasons"]) == (200, "ok", [])


async def test_health_is_down_while_events_are_refused_whatever_else_is_well(lab: Lab) -> None:
    await lab.add_company()
    async with lab.daemon("state", server__spool_max_mb=0.01) as daemon:
        async with refusing(lab, daemon):
            status, said = await daemon.get("/health")
            assert (status, said["status"], said["reasons"]) == (503, "down", ["spool_full"])
        await break_crm(lab, daemon)
        await well(daemon)


async def test_a_quiet_host_needs_no_event_to_be_well_again(lab: Lab, post: Post) -> None:
    await lab.add_company()
    async with lab.daemon("state", server__spool_max_mb=0.01, **post.settings() | {"alerts__window": 0.5}) as daemon:
        async with refusing(lab, daemon):
            await until(lambda: "events_refused" in post.rules(), 10.0)
        await eventually(lambda: well(daemon))
        await eventually(lambda: _fires(daemon))


async def test_lost_listen_alone_is_not_called_a_database_that_is_away(lab: Lab) -> None:
    """A heartbeat that nothing can answer in time."""
    async with lab.daemon("state", cache__heartbeat=0.00001, alerts__interval=0.05) as daemon:

        async def deaf() -> None:
            status, said = await daemon.get("/health")
            assert (status, said["status"], said["reasons"]) == (200, "degraded", ["listen_lost"])

        await eventually(deaf)


async def test_lost_listen_and_no_data_are_told_while_the_database_refuses(lab: Lab, post: Post) -> None:
    """The daemon's own database is closed to it; it goes on looking, and says what it cannot see."""
    name = "vochi_alerts"
    await lab.sql.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await lab.sql.execute(f"CREATE DATABASE {name}")
    dsn = urlunsplit(urlsplit(lab.dsn)._replace(path=f"/{name}"))
    try:
        async with lab.daemon("state", database__dsn=dsn, cache__heartbeat=0.1, **post.settings()) as daemon:
            await lab.sql.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            await lab.sql.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            await until(lambda: {"listen_lost", "blind"} <= set(post.rules()))
            samples = await scraped(daemon)
            assert value(samples, "vochi_watched_age_seconds") > 4 * FAST["alerts__interval"]
            assert "vochi_backlog" not in {metric for metric, _ in samples}
            await lab.sql.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            await until(lambda: {"listen_lost", "blind"} <= set(post.rules("resolved")), 15.0)
            await eventually(lambda: _fires(daemon))
    finally:
        await lab.sql.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_a_host_silent_in_its_busy_hours_is_told_and_one_that_is_always_quiet_is_not(
    lab: Lab, post: Post
) -> None:
    await lab.add_company()
    await lab.add_company("0368", "token-2", api_key="test-key-0001")
    await weeks_of(lab, NUMBER, 40)
    await weeks_of(lab, "0368", 1)
    async with lab.daemon("state", **post.settings()) as daemon:
        await until(lambda: post.webhook)
        (body,) = post.webhook
        assert (body["rule"], body["enterprise"]) == ("host_silent", NUMBER)
        await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": fresh_id()}, TOKEN)
        await until(lambda: post.rules("resolved") == ["host_silent"])
        rows = await lab.sql.fetch("SELECT events FROM host_hours WHERE last_at > now() - interval '1 minute'")
        assert [row["events"] for row in rows] == [1]


SILENT = (
    "INSERT INTO alert_states (rule, enterprise_number, integration_type, text) VALUES ('host_silent', $1, '', 'x')"
)


@pytest.mark.parametrize("way", ["heard", "switched off", "removed"])
async def test_a_host_silent_for_weeks_is_over_only_when_it_is_heard_or_not_to_be_heard_any_more(
    lab: Lab, post: Post, way: str
) -> None:
    await lab.add_company()
    await weeks_of(lab, NUMBER, 40)
    await lab.sql.execute(
        "UPDATE host_hours SET hour = hour - interval '8 days', last_at = last_at - interval '8 days'"
    )
    await lab.sql.execute(SILENT, NUMBER)
    async with lab.daemon("state", **post.settings()) as daemon:
        await fail_a_record(lab)
        await until(lambda: post.rules() == ["failed_records"])
        await eventually(lambda: _fires(daemon, "host_silent", "failed_records"))
        assert post.rules("resolved") == []
        if way == "heard":
            await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": fresh_id()}, TOKEN)
        elif way == "switched off":
            await lab.sql.execute("UPDATE enterprises SET active = false")
        else:
            await lab.sql.execute("DELETE FROM enterprises")
        await until(lambda: post.rules("resolved") == ["host_silent"])


async def weeks_of(lab: Lab, number: str, events: int) -> None:
    """A host with so many events in each hour of five weeks, silent for the last three hours."""
    await lab.sql.execute(
        "INSERT INTO host_hours SELECT h, $1, $2, h + interval '50 minutes'"
        " FROM generate_series(date_trunc('hour', now()) - interval '5 weeks', now() - interval '3 hours',"
        " interval '1 hour') h",
        number,
        events,
    )


async def test_the_usual_hour_is_the_median_of_weeks_with_hours_without_events(lab: Lab) -> None:
    """Known for five weeks, heard in three of them at this hour: 0, 0, 10, 20, 90 makes 10."""
    for week, events in ((1, 10), (3, 20), (4, 90)):
        await note(lab, NUMBER, week * 168, events)
    await note(lab, NUMBER, 5 * 168 + 1, 7)
    await note(lab, "0368", 168, 50)
    async with connected(lab.dsn) as database:
        rows = await database.fetch("usual_hours", 2, 6)
    assert [(row["enterprise_number"], row["ago"], row["usual"]) for row in rows] == [(NUMBER, 0, 10), (NUMBER, 1, 0)]


async def note(lab: Lab, number: str, hours_ago: int, events: int) -> None:
    await lab.sql.execute(
        "INSERT INTO host_hours SELECT h, $1, $2, h FROM (SELECT date_trunc('hour', now(), 'UTC')"
        " - make_interval(hours => $3::int) AS h) x",
        number,
        events,
        hours_ago,
    )


async def test_what_was_heard_while_the_database_was_away_is_noted_later(lab: Lab) -> None:
    await lab.add_company()
    async with lab.daemon(alerts__interval=0.05) as daemon:
        async with lab.sql.transaction():
            await lab.sql.execute("LOCK TABLE host_hours")
            await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": fresh_id()})
        await eventually(lambda: _noted(lab.sql, 1))


async def _noted(sql: asyncpg.Connection, events: int) -> None:
    assert await sql.fetchval("SELECT sum(events) FROM host_hours") == events
