"""The operators' checklist (user_spec_ru: Диагностика) works on our files; and nothing anywhere tells a secret."""

import asyncio
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from multidict import CIMultiDict
from structlog.testing import capture_logs

from tests.admin.test_every_route import routes
from tests.integration.test_call_path import fresh_id
from tests.integration.test_commands import run, serving
from tests.integration.test_metrics import scraped, value
from tests.integration.test_redirect import set_smart, smart
from tests.kinds import LINE, dial, hangup
from tests.lab import API_KEY, NUMBER, TOKEN, DaemonUnderTest, Lab, eventually, until
from tests.pbx.server import ssh_pbx
from tests.visitor import Visitor, visiting

FERNET_KEY = "bm9ib2R5LWtub3dzLXRoaXMta2V5LW9mLXRoZS10ZXM="
SECRETS = (API_KEY, TOKEN, f"secret-{NUMBER}", "bot-token-of-0367", "client-id-of-0367", "token-id-of-0367")
SECRETS_OF_OPERATOR = ("hook-secret", "operator-bot-token", "jwt-secret-of-ours", FERNET_KEY)
PHONE = "375290000001"
OTHERWISE = ("/live", "/bundle")
HTTPS = {"VOCHI_SERVER__PUBLIC_URL": "https://bot.example.com"}


def text_of(file: Path) -> str:
    return file.read_text("utf-8") if file.exists() else ""


async def test_the_checklist_finds_what_it_looks_for(lab: Lab) -> None:
    await lab.add_company()
    logs = lab.folder / "logs"
    gateway, crm = logs / "integration_cache.log", logs / "retailcrm.log"
    call, alone = fresh_id(11), fresh_id(12)
    async with serving(lab, VOCHI_LOGGING__DIRECTORY=str(logs)) as (process, daemon):
        await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": call})
        await daemon.post("hangup", hangup(9, ["151"], "2", 1)[2] | {"UniqueId": call})
        await daemon.post("hangup", hangup(9, ["151"], "2", 1)[2] | {"UniqueId": alone, "EndTime": ""})
        await lab.sql.execute("UPDATE enterprises SET name2 = name2 || ' '")
        await until(lambda: "invalidated" in text_of(gateway) and f"calls/upload {NUMBER} {alone} 200" in text_of(crm))
        await until(lambda: "changed=" in text_of(gateway).rpartition("invalidated")[2])
        out = await ended(process)
    said = text_of(gateway)
    assert f"dial {NUMBER} {call} -> retailcrm popup" in said
    assert f"synthetic dial {NUMBER} {alone}" in said
    assert "refreshed enterprises=1" in said
    assert f"call/event:out {NUMBER} {call} 200" in text_of(crm)
    assert f"call/event:hangup {NUMBER} {call} 200" in text_of(crm)
    calls = lines(out, "call")
    assert [(line["call"], line["result"]) for line in calls] == [(call, "answered"), (alone, "answered")]
    assert all(PHONE not in str(line) for line in calls)


def lines(out: bytes, event: str) -> list[dict[str, Any]]:
    """Return the lines of one event in a daemon's log."""
    return [line for line in map(json.loads, out.splitlines()) if line["event"] == event]


async def ended(process: asyncio.subprocess.Process) -> bytes:
    """Stop a daemon; return all it has written."""
    process.terminate()
    assert process.stdout is not None
    return await process.stdout.read()


async def test_a_delivery_that_was_never_to_be_sent_has_its_line_too(lab: Lab) -> None:
    await lab.add_company(user_extensions={"1001": "150"})
    call = fresh_id(16)
    async with serving(lab) as (process, daemon):
        await daemon.post("dial", dial(0, ["153"], 1)[2] | {"UniqueId": call})
        out = await ended(process)
    (line,) = lines(out, "delivery")
    assert (line["call"], line["kind"], line["status"], line["reason"]) == (call, "popup", "skipped", "no_mapping")
    assert (line["attempts"], line["level"]) == (0, "info")


async def test_deliveries_that_nobody_can_send_any_more_have_a_line_and_are_counted(lab: Lab) -> None:
    """More than are buried at once: records past their deadline, and pop-ups of a daemon that died."""
    await lab.add_company()
    await lab.sql.execute(
        "INSERT INTO integration_deliveries (enterprise_number, integration_type, call_external_id, kind, dedupe_key,"
        " class, payload, status, event_at, deadline_at)"
        " SELECT $1, 'retailcrm', '1757000000.' || n, kind, '', class, '{}', status, now(), now() - interval '1 hour'"
        " FROM generate_series(1, 130) n, (VALUES ('record', 'history', 'pending'), ('popup', 'realtime', 'sending'))"
        " AS k (kind, class, status)",
        NUMBER,
    )
    with capture_logs() as said:
        async with lab.daemon() as daemon:
            samples = await scraped(daemon)
    assert value(samples, "vochi_deliveries_total", status="failed", reason="expired", kind="record") == 130
    assert value(samples, "vochi_deliveries_total", status="failed", reason="interrupted", kind="popup") == 130
    ends = [line for line in said if line["event"] == "delivery"]
    ways = sorted((line["kind"], line["reason"], line["attempts"], line["log_level"]) for line in ends)
    assert ways == [("popup", "interrupted", 1, "info")] * 130 + [("record", "expired", 0, "error")] * 130
    assert len({(line["call"], line["kind"]) for line in ends}) == 260


async def test_a_failure_says_what_the_crm_said(lab: Lab) -> None:
    await lab.add_company(api_key="wrong-key")
    logs = lab.folder / "logs"
    call = fresh_id(13)
    async with serving(lab, VOCHI_LOGGING__DIRECTORY=str(logs)) as (_, daemon):
        await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": call})
        await until(lambda: f"call/event:out {NUMBER} {call} 403" in text_of(logs / "retailcrm.log"))
        await until(lambda: "breaker opened" in text_of(logs / "integration_cache.log"))
    assert "bad_key" in text_of(logs / "retailcrm.log")


async def test_each_attempt_to_register_and_each_change_told_to_the_crm_is_a_line(lab: Lab) -> None:
    """«последняя попытка даёт 200/201» (user_spec_ru: кнопка «Сохранить и зарегистрировать»)."""
    await lab.add_company()
    file = lab.folder / "logs" / "retailcrm.log"
    async with serving(lab, VOCHI_LOGGING__DIRECTORY=str(file.parent), **HTTPS) as (_, daemon):
        api = f"{daemon.internal}/api"
        assert (await daemon.send("POST", f"{api}/register/{NUMBER}", json={}))[0] == 200
        await until(lambda: f"register_module {NUMBER} 200 " in text_of(file))
        body = {"extensions": {"1001": "151", "1000": None}}
        assert (await daemon.send("POST", f"{api}/save-extensions/{NUMBER}", json=body))[1]["synced"]
        await until(lambda: f"save_extensions {NUMBER} 200 " in text_of(file))
        assert (await daemon.send("POST", f"{api}/register/{NUMBER}", json={"api_key": "wrong-key-00001"}))[0] == 400
        await until(lambda: f"register_module {NUMBER} 403 " in text_of(file))
    assert "bad_key" in text_of(file).splitlines()[-1]
    assert "wrong-key" not in text_of(file)


async def test_a_click_leaves_no_number_in_the_log_and_a_broken_request_no_traceback(lab: Lab) -> None:
    await lab.add_company()
    async with ssh_pbx(lab.folder) as pbx:
        environ = {f"VOCHI_{name.upper()}": str(value) for name, value in pbx.settings().items()}
        async with serving(lab, **environ) as (process, daemon):
            query = {"clientId": NUMBER, "phone": PHONE, "userId": "1001"}
            assert await daemon.send("GET", f"{daemon.public}/retailcrm/make-call", params=query) == (200, "OK")
            twice = [("Content-Type", "text/plain"), ("Content-Type", "text/plain")]
            async with daemon.session.post(f"{daemon.public}/dial", data=b"{}", headers=CIMultiDict(twice)) as answer:
                assert answer.status == 400
            out = (await ended(process)).decode()
    assert PHONE in pbx.commands[0]
    assert "request refused" in out
    assert PHONE not in out
    assert "Traceback" not in out


async def test_lines_that_no_file_takes_are_counted(lab: Lab) -> None:
    """The status file is a folder: nothing can be written to it."""
    await lab.add_company()
    (lab.folder / "logs" / "retailcrm.log").mkdir(parents=True)
    async with serving(lab, VOCHI_LOGGING__DIRECTORY=str(lab.folder / "logs")) as (_, daemon):
        await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": fresh_id(17)})

        async def counted() -> None:
            samples = await scraped(daemon)
            assert value(samples, "vochi_log_lines_dropped_total", file="retailcrm") >= 1
            assert ("vochi_log_lines_dropped_total", frozenset({("file", "stdout")})) in samples

        await eventually(counted)


async def _read(stream: asyncio.StreamReader, lines: list[bytes]) -> None:
    while line := await stream.readline():
        lines.append(line)


def _undelivered(lines: list[bytes], channel: str) -> bool:
    """Tell whether the daemon has said that a channel did not take an alert."""
    said = [line for line in lines if b"alert not delivered" in line]
    return any(json.loads(line)["channel"] == channel for line in said)


class Told:
    """What an administrator was shown, and what was secret in their requests: tokens, ids of links and sessions."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.secrets: set[str] = set()

    async def signs_in(self, visitor: Visitor, link: str) -> None:
        parts = urlsplit(link)
        (token,) = parse_qs(parts.query)["token"]
        claims = jwt.decode(token, options={"verify_signature": False})
        answer = await visitor.get(f"{parts.path}?{parts.query}")
        assert answer.status == 303, answer.text
        self.answers.append(answer.text + answer.location)
        self.secrets |= {token, token.rpartition(".")[2], claims["jti"], *visitor.cookies.values()}

    async def looks(self, visitor: Visitor, paths: Sequence[str]) -> None:
        assert len(paths) > 15
        for path in paths:
            answer = await visitor.get(path, headers={"Accept-Language": "ru"})
            assert answer.status in (200, 400, 404), path
            self.answers.append(answer.text)


def _pages() -> list[str]:
    """The address of every page, part of a page and answer there is, but for streams and the archive."""
    return [
        path for method, path in routes(NUMBER) if method == "GET" and not path.partition("?")[0].endswith(OTHERWISE)
    ]


async def administered(lab: Lab, daemon: DaemonUnderTest, call: str, environ: Mapping[str, str]) -> Told:
    """Sign in by a link, look at everything, register, sign in by RetailCRM's link, look again, click and ask."""
    dsn = {"VOCHI_DATABASE__DSN": lab.dsn}
    code, link, errors = await run("admin-link", NUMBER, cwd=lab.folder, **environ, **dsn)
    assert code == 0, errors
    told = Told()
    async with visiting(daemon) as visitor:
        await told.signs_in(visitor, link.strip())
        await told.looks(visitor, [*_pages(), f"/retailcrm-admin/calls/{call}?enterprise_number={NUMBER}"])
        answer = await visitor.post(f"/retailcrm-admin/api/register/{NUMBER}", json={})
        assert answer.status == 200, answer.text
        told.answers.append(answer.text)
    registered = (await lab.sql.fetchval("SELECT integrations_config FROM enterprises WHERE number = $1", NUMBER))[
        "retailcrm"
    ]
    module = lab.account.modules["vochi-telephony"]
    told.secrets |= {registered["client_id"], registered["token_id"]}
    async with visiting(daemon) as visitor:
        await told.signs_in(visitor, module["accountUrl"])
        await told.looks(visitor, _pages())
        cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
        bundle = f"{daemon.public}/retailcrm-admin/diagnostics/bundle?enterprise_number={NUMBER}"
        async with visitor.session.get(bundle, headers={"Cookie": cookie}) as response:
            told.answers.append(unzipped(await response.read()))
    query = {"clientId": registered["client_id"], "phone": PHONE, "userId": "1001"}
    for wrong in ({}, {"userId": "999"}, {"clientId": f"{registered['client_id']}x"}):
        url = f"{daemon.public}/retailcrm/make-call"
        told.answers.append(str(await daemon.send("GET", url, params=query | wrong)))
    asked = {"UniqueId": call, "Phone": PHONE, "TrunkId": LINE, "LoadDialPlan": True, "Token": TOKEN}
    told.answers.append(str(await daemon.send("POST", f"{daemon.public}/api/callevent/getcustomerdata", json=asked)))
    return told


def unzipped(data: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return "\n".join(archive.read(name).decode() for name in archive.namelist())


async def test_no_log_error_or_answer_of_a_full_run_tells_a_secret(lab: Lab) -> None:
    """A good call, a refused key, refused requests, every page and route that shows something, an administrator who
    signs in and registers, a click, a smart redirect, the doctor and the bundle.
    """
    await lab.add_company(client_id="client-id-of-0367", token_id="token-id-of-0367")
    await set_smart(lab, smart())
    await lab.add_company("0368", "token-of-0368", api_key="another-wrong-key")
    await lab.sql.execute("UPDATE enterprises SET bot_token = 'bot-token-of-0367', chat_id = '1'")
    logs = lab.folder / "logs"
    environ = {
        "VOCHI_LOGGING__DIRECTORY": str(logs),
        "VOCHI_LOGGING__LEVEL": "debug",
        "VOCHI_AUTH__JWT_SECRET": "jwt-secret-of-ours-that-is-long-enough",
        "VOCHI_SECRETS__KEYS": FERNET_KEY,
        **HTTPS,
        "VOCHI_ALERTS__INTERVAL": "0.1",
        "VOCHI_ALERTS__WEBHOOK_URL": f"{lab.crm_url}/hook-secret",
        "VOCHI_ALERTS__TELEGRAM_API": lab.crm_url,
        "VOCHI_ALERTS__TELEGRAM_TOKEN": "operator-bot-token",
        "VOCHI_ALERTS__TELEGRAM_CHAT": "1",
        "VOCHI_ALERTS__TELL_ENTERPRISES": "true",
    }
    call = fresh_id(14)
    async with serving(lab, **environ) as (process, daemon):
        assert process.stdout is not None
        out: list[bytes] = []
        reading = asyncio.create_task(_read(process.stdout, out))
        await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": call})
        await daemon.post("hangup", hangup(9, ["151"], "2", 1)[2] | {"UniqueId": call})
        await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": fresh_id(15)}, "token-of-0368")
        await until(lambda: lab.records)
        await until(lambda: "breaker opened" in text_of(logs / "integration_cache.log"))
        shown = [
            str(await daemon.get(path))
            for path in (
                "/stats", "/metrics", "/health", "/cache/entries", "/api/deliveries?status=done&enterprise=0367",
                "/api/trace/0367?q=", "/api/doctor?enterprise=0367", "/api/doctor?enterprise=0368",
                "/integrations/0367", "/api/nothing", "/api/trace/9999",
            )
        ]  # fmt: skip
        told = await administered(lab, daemon, call, environ)
        shown.append(str(await daemon.send("POST", f"{daemon.internal}/api/config-cache/refresh/0367")))
        shown.append(str(await daemon.send("POST", f"{daemon.public}/dial", data=b"{", headers={"Token": TOKEN})))
        shown.append(str(await daemon.send("POST", f"{daemon.public}/dial?Token={TOKEN}", data=b"{}")))
        shown.append(str(await daemon.send("POST", f"{daemon.internal}/dispatch/call-event", json={"token": TOKEN})))
        async with lab.session.get(f"{daemon.internal}/api/support-bundle") as response:
            shown.append(unzipped(await response.read()))
        archive = lab.folder / "bundle.zip"
        port = daemon.internal.rpartition(":")[2]
        shown.append(
            str(
                await run(
                    "doctor",
                    *("--enterprise", NUMBER, "--bundle", str(archive)),
                    cwd=lab.folder,
                    VOCHI_DATABASE__DSN=lab.dsn,
                    VOCHI_SERVER__INTERNAL_PORT=port,
                    VOCHI_CRM__ALLOW_INSECURE_URLS="true",
                    **environ,
                )
            )
        )
        for channel in ("webhook", "telegram", "enterprise"):
            await until(lambda channel=channel: _undelivered(out, channel))  # type: ignore[misc]
        process.terminate()
        await reading
        shown.append(b"".join(out).decode())
    shown += [text_of(file) for file in logs.iterdir()]
    everything = "\n".join([*shown, *told.answers, unzipped(archive.read_bytes())])
    assert call in everything
    assert f"register_module {NUMBER} 200" in everything
    assert "smart redirect" in everything
    for secret in (*SECRETS, *SECRETS_OF_OPERATOR, *told.secrets, "another-wrong-key", "token-of-0368"):
        where = everything.find(secret)
        assert where < 0, everything[max(0, where - 200) : where + 100]
