"""docs/nginx/vochi.conf in a real nginx, in front of two daemons."""

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.integration.test_call_path import fresh_id
from tests.integration.test_metrics import scraped, value
from tests.integration.test_systemd import free_ports
from tests.kinds import dial, hangup
from tests.lab import TOKEN, Lab, eventually, until
from tests.tools import needed
from vochi_integrations.serve import listening

CONF = Path(__file__).parents[2] / "docs" / "nginx" / "vochi.conf"
SHELL = """
daemon off;
master_process on;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/main-error.log;
{user}
events {{ worker_connections 512; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/vochi.conf;
}}
"""


class Nginx:
    """A running nginx. `logs` is everything it has written."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"

    def logs(self) -> str:
        return "".join(file.read_text("utf-8") for file in self.folder.glob("*.log"))


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that nginx's workers can reach."""
    with tempfile.TemporaryDirectory(prefix="vochi-nginx-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def conf_for(folder: Path, port: int, upstreams: list[str]) -> str:
    """Return the documented file, but for addresses, TLS and the folder of its logs."""
    text = CONF.read_text("utf-8").replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    text = re.sub(r"(?m)^    ssl_certificate.*\n", "", text).replace("/var/log/nginx", str(folder))
    server = next(line for line in text.splitlines() if "server 127.0.0.1:8019" in line)
    lines = [server.replace("127.0.0.1:8019", upstream) for upstream in upstreams]
    return text.replace(server, "\n".join(lines))


@asynccontextmanager
async def nginx(
    folder: Path, upstreams: list[str], session: aiohttp.ClientSession, changes: Mapping[str, str] | None = None
) -> AsyncIterator[Nginx]:
    """Run nginx inside the block, with some `changes` of the documented file's words."""
    tool, port = needed("nginx"), free_ports()[0]
    conf = conf_for(folder, port, upstreams)
    for words, others in (changes or {}).items():
        assert words in conf
        conf = conf.replace(words, others)
    (folder / "vochi.conf").write_text(conf, "utf-8")
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(SHELL.format(folder=folder, user=user), "utf-8")
    process = await asyncio.create_subprocess_exec(
        *(tool, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "start-error.log"))
    )
    found = Nginx(folder, port)

    async def answers() -> None:
        try:
            async with session.get(f"{found.url}/nothing") as response:
                assert response.status == 404
        except aiohttp.ClientConnectionError:
            raise AssertionError(found.logs()) from None

    try:
        await eventually(answers, 10.0)
        yield found
    finally:
        process.terminate()
        await process.wait()


def address(url: str) -> str:
    return url.removeprefix("http://")


async def test_two_daemons_behind_it_share_the_companies_and_stand_in_for_each_other(lab: Lab, place: Path) -> None:
    """A token stays with one daemon; when that one is gone, the other takes its events at once."""
    tokens = [f"token-{index}" for index in range(12)]
    for index, token in enumerate(tokens):
        await lab.add_company(f"4{index:03}", token)
    async with lab.daemon("one") as one:
        async with lab.daemon("two") as two:
            upstreams = [address(one.public), address(two.public)]
            async with nginx(place, upstreams, lab.session) as front:
                for token in [*tokens, *tokens]:
                    await post(lab, front, token)
                taken = [value(await scraped(daemon), "vochi_events_total") for daemon in (one, two)]
                assert sum(taken) == 24
                assert min(taken) >= 2
                assert all(count % 2 == 0 for count in taken), "both events of a company went to one daemon"
        async with nginx(place, upstreams, lab.session) as front:
            for token in tokens:
                await post(lab, front, token)
            await eventually(lambda: _counted(lab, 36))


async def post(lab: Lab, front: Nginx, token: str) -> None:
    post.number += 1  # type: ignore[attr-defined]
    body = dial(0, ["151"], 1)[2] | {"UniqueId": fresh_id(post.number)}  # type: ignore[attr-defined]
    async with lab.session.post(f"{front.url}/dial", json=body, headers={"Token": token}) as response:
        assert (response.status, await response.text()) == (200, '{"status":"ok"}')


post.number = 100  # type: ignore[attr-defined]


async def _counted(lab: Lab, events: int) -> None:
    assert await lab.sql.fetchval("SELECT count(*) FROM call_events") == events


async def test_only_public_routes_are_reachable_and_no_log_has_a_token(lab: Lab, place: Path) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon, nginx(place, [address(daemon.public)], lab.session) as front:
        call = fresh_id()
        for slash, (_, kind, body) in (("", dial(0, ["151"], 1)), ("/", hangup(9, ["151"], "2", 1))):
            async with lab.session.post(
                f"{front.url}/{kind}{slash}", json=body | {"UniqueId": call, "Token": TOKEN}
            ) as got:
                assert got.status == 200
        await until(lambda: lab.records)
        for path in (
            "metrics",
            "stats",
            "cache/entries",
            "api/doctor",
            "api/config/0367",
            "api/events",
            "integrations/0367",
        ):
            async with lab.session.get(f"{front.url}/{path}") as got:
                assert got.status == 404
        async with lab.session.get(f"{front.url}/health") as got:
            assert (got.status, (await got.json())["status"]) == (200, "ok")
        async with lab.session.post(f"{front.url}/dial", data=b"x" * 70_000) as got:
            assert got.status == 413
        for path in ("retailcrm/make-call?clientId=hidden-id&phone=1", "retailcrm-admin/?token=hidden-token"):
            async with lab.session.get(f"{front.url}/{path}") as got:
                assert got.status < 500
        logs = front.logs()
    assert "POST /dial 200" in logs
    assert "/retailcrm/make-call" in logs
    for secret in (TOKEN, "hidden-id", "hidden-token"):
        assert secret not in logs


async def test_administrators_and_crms_are_limited_and_hosts_hardly(lab: Lab, place: Path) -> None:
    await lab.add_company()
    async with lab.daemon() as daemon, nginx(place, [address(daemon.public)], lab.session) as front:

        async def statuses(path: str, count: int) -> list[int]:
            async def one(number: int) -> int:
                body = {"Token": TOKEN, "UniqueId": f"1700000000.{number}"}
                async with lab.session.post(f"{front.url}/{path}", json=body) as response:
                    return response.status

            return list(await asyncio.gather(*(one(number) for number in range(count))))

        assert 429 in await statuses("retailcrm-admin/", 90)
        assert await statuses("dial", 300) == [200] * 300


async def test_a_client_with_ever_new_tokens_is_limited_by_its_address(lab: Lab, place: Path) -> None:
    """With the limit of an address made small; each request has a `Token` header of its own."""
    small = {"zone=vochi_hosts:10m  rate=1000r/s": "zone=vochi_hosts:10m  rate=10r/s", "burst=2000": "burst=20"}
    async with lab.daemon() as daemon, nginx(place, [address(daemon.public)], lab.session, small) as front:
        for path in ("dial", "api/callevent/getcustomerdata"):

            async def one(number: int, path: str = path) -> int:
                headers = {"Token": f"token-{number}"}
                async with lab.session.post(f"{front.url}/{path}", json={}, headers=headers) as response:
                    return response.status

            assert 429 in await asyncio.gather(*(one(number) for number in range(60)))


async def test_what_anybody_may_ask_is_limited_too(lab: Lab, place: Path) -> None:
    async with lab.daemon() as daemon, nginx(place, [address(daemon.public)], lab.session) as front:

        async def one(path: str) -> int:
            async with lab.session.get(f"{front.url}/{path}") as response:
                return response.status

        statuses = await asyncio.gather(*(one("static/vochi_logo.svg") for _ in range(50)))
        assert set(statuses) == {200}
        statuses = await asyncio.gather(*(one("health") for _ in range(200)))
        assert set(statuses) == {200, 429}


async def test_live_updates_are_not_held_back(lab: Lab, place: Path) -> None:
    """A stream of events that goes on: each is there before the next is sent."""
    sent, more = asyncio.Event(), asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: first\n\n")
        sent.set()
        await more.wait()
        await response.write(b"data: second\n\n")
        return response

    app = web.Application()
    app.add_routes([web.get("/retailcrm-admin/live", stream)])
    async with (
        listening(app, "127.0.0.1", 0, "upstream", 0.5) as port,
        nginx(place, [f"127.0.0.1:{port}"], lab.session) as front,
        asyncio.timeout(10),
        lab.session.get(f"{front.url}/retailcrm-admin/live") as response,
    ):
        await sent.wait()
        assert await response.content.readline() == b"data: first\n"
        more.set()
        assert (await response.content.read()).endswith(b"data: second\n\n")


async def test_a_click_to_call_is_never_asked_twice(lab: Lab, place: Path) -> None:
    """The first daemon breaks off in the middle; the second must not be asked, or the phone rings twice."""
    asked: list[str] = []

    def upstream(name: str) -> web.Application:
        async def broken(request: web.Request) -> web.Response:
            asked.append(name)
            assert request.transport is not None
            request.transport.close()
            return web.Response()

        app = web.Application()
        app.add_routes([web.route("*", "/{path:.*}", broken)])
        return app

    async with (
        listening(upstream("one"), "127.0.0.1", 0, "one", 0.5) as one,
        listening(upstream("two"), "127.0.0.1", 0, "two", 0.5) as two,
        nginx(place, [f"127.0.0.1:{one}", f"127.0.0.1:{two}"], lab.session) as front,
    ):
        async with lab.session.get(f"{front.url}/retailcrm/make-call?phone=1") as response:
            assert response.status == 502
        assert len(asked) == 1
        asked.clear()
        async with lab.session.post(f"{front.url}/hangup", json={}) as response:
            assert response.status == 502
        assert sorted(asked) == ["one", "two"]
