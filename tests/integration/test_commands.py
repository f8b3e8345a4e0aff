"""The command line as an operator uses it: real processes, exit codes, one line that says what is wrong."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.integration.test_call_path import fresh_id
from tests.kinds import dial, hangup
from tests.lab import TOKEN, DaemonUnderTest, Lab, until

COMMAND = (sys.executable, "-m", "vochi_integrations")


async def run(*arguments: str, cwd: Path, **environ: str) -> tuple[int, str, str]:
    """Run a command to its end: exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        cwd=cwd,
        env={**clean_environment(), **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("VOCHI_")}


@asynccontextmanager
async def serving(lab: Lab, **environ: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, DaemonUnderTest]]:
    """Run `serve` and wait for its line `ready`."""
    settings = {
        "VOCHI_DATABASE__DSN": lab.dsn,
        "VOCHI_SERVER__STATE_DIR": str(lab.folder / "state"),
        "VOCHI_SERVER__PUBLIC_PORT": "0",
        "VOCHI_SERVER__INTERNAL_PORT": "0",
        "VOCHI_CRM__ALLOW_INSECURE_URLS": "true",
        **environ,
    }
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "serve", cwd=lab.folder, env={**clean_environment(), **settings}, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process, await ready(process, lab)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ready(process: asyncio.subprocess.Process, lab: Lab) -> DaemonUnderTest:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        async for line in process.stdout:
            said = json.loads(line)
            if said["event"] == "ready":
                ports = (int(said[name].rpartition(":")[2]) for name in ("public", "internal"))
                return DaemonUnderTest(lab.session, *ports)
    raise AssertionError("it ended before it was ready")


async def test_serve_delivers_and_ends_well_on_sigterm(lab: Lab) -> None:
    await lab.add_company()
    call = fresh_id()
    async with serving(lab) as (process, daemon):
        await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": call})
        await daemon.post("hangup", hangup(9, ["151"], "2", 1)[2] | {"UniqueId": call})
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            await process.communicate()
        assert process.returncode == 0
    assert [record["externalId"] for record in lab.records] == [call]
    assert len(lab.events()) == 2


async def test_a_killed_daemon_loses_no_record_and_repeats_no_pop_up(lab: Lab) -> None:
    await lab.add_company()
    lab.crm.switch(fault="hang")
    call = fresh_id()
    async with serving(lab) as (process, daemon):
        await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": call})
        await daemon.post("hangup", hangup(9, ["151"], "2", 1)[2] | {"UniqueId": call})
        await until(lambda: len(lab.account.requests) >= 2)
        process.kill()
        await process.communicate()
    lab.crm.switch(fault=None)
    lab.crm.clear()
    async with serving(lab):
        await until(lambda: lab.records)
    assert not lab.popups
    assert [(row["status"], row["reason"]) for row in await lab.deliveries(kind="popup")] == [("failed", "interrupted")]


@pytest.mark.parametrize("listener", ["public", "internal"])
async def test_a_busy_port_is_one_line_and_exit_1(lab: Lab, listener: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = {"VOCHI_SERVER__PUBLIC_PORT": "0", "VOCHI_SERVER__INTERNAL_PORT": "0"}
        ports[f"VOCHI_SERVER__{listener.upper()}_PORT"] = str(port)
        code, _, errors = await run("serve", cwd=lab.folder, VOCHI_DATABASE__DSN=lab.dsn, **ports)
    assert code == 1
    assert errors.count("\n") == 1
    assert f"{listener}_port" in errors
    assert str(port) in errors


async def test_a_second_daemon_on_one_folder_names_the_first(lab: Lab) -> None:
    async with serving(lab) as (process, _):
        code, _, errors = await run(
            "serve", cwd=lab.folder, VOCHI_DATABASE__DSN=lab.dsn, VOCHI_SERVER__STATE_DIR=str(lab.folder / "state")
        )
        assert code == 1
        assert errors.count("\n") == 1
        assert str(process.pid) in errors


async def test_an_unreachable_database_is_one_line_without_the_password(tmp_path: Path) -> None:
    dsn = "postgresql://someone:hidden@127.0.0.1:1/nowhere"
    for command in ("serve", "migrate"):
        code, out, errors = await run(command, cwd=tmp_path, VOCHI_DATABASE__DSN=dsn)
        assert code == 1
        assert errors.count("\n") == 1
        assert "someone:****@127.0.0.1:1" in errors
        assert "hidden" not in out + errors


@pytest.mark.parametrize("command", ["serve", "migrate"])
async def test_a_wrong_setting_is_one_line_and_exit_2(tmp_path: Path, command: str) -> None:
    code, _, errors = await run(command, cwd=tmp_path, VOCHI_SERVER__PORT="1")
    assert (code, errors) == (2, "vochi-integrations: configuration: server.port: unknown key\n")
    code, _, errors = await run(command, "--config", "nothing.toml", cwd=tmp_path)
    assert code == 2
    assert "nothing.toml" in errors


async def test_without_a_dsn_the_embedded_database_is_used_and_keeps_its_rows(folder: Path) -> None:
    """`enterprise add` finds the database of the state folder, runs it for itself, and leaves nothing running."""
    state = {"VOCHI_SERVER__STATE_DIR": str(folder / "embedded")}
    added = (
        "enterprise",
        "add",
        "--number",
        "0367",
        "--name",
        "june",
        "--token",
        TOKEN,
        "--secret",
        "s",
        "--ip",
        "127.0.0.1",
    )
    assert await run(*added, cwd=folder, **state) == (0, "enterprise 0367 added\n", "")
    assert await run(*added, cwd=folder, **state) == (0, "enterprise 0367 updated\n", "")
    assert await run("migrate", cwd=folder, **state) == (0, "the database is up to date\n", "")
    token = added[added.index("--token") + 1]
    code, _, errors = await run("enterprise", "add", "--number", "0368", "--token", token, cwd=folder, **state)
    assert (code, errors.splitlines()[0]) == (
        1,
        "vochi-integrations: enterprise 0368 not saved: 0367 has this token already",
    )
    code, _, errors = await run("enterprise", "add", "--number", "12x", cwd=folder, **state)
    assert (code, "12x" in errors) == (2, True)
    assert not (folder / "embedded" / "postgres" / "postmaster.pid").exists()


async def test_migrate_names_what_it_applied(lab: Lab) -> None:
    await lab.sql.execute("DROP TABLE vochi_migrations")
    code, out, _ = await run("migrate", cwd=lab.folder, VOCHI_DATABASE__DSN=lab.dsn)
    assert code == 0
    assert "applied 0001_tables" in out


async def test_the_demo_shows_that_the_crm_got_what_each_call_should_bring(tmp_path: Path) -> None:
    """A wrong configuration in the environment does not concern it."""
    code, out, errors = await run("demo", "--once", cwd=tmp_path, VOCHI_SERVER__PORT="1", VOCHI_CONFIG="/nothing")
    assert (code, errors) == (0, "")
    assert out.splitlines()[-1] == "demo ok: 13 calls, 12 pop-ups, 12 records"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_demo_ends_when_told_to_and_leaves_nothing_running(tmp_path: Path, number: int) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "demo",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while b"pop-up" not in await process.stdout.readline():
            pass
        process.send_signal(number)
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    listed = await asyncio.create_subprocess_exec("ps", "-eo", "sid,args", stdout=asyncio.subprocess.PIPE)
    processes = (await listed.communicate())[0].decode().splitlines()
    assert not [line for line in processes if line.split()[0] == str(process.pid)]
    assert not [line for line in processes if "vochi-demo-" in line]


async def test_help_and_version(tmp_path: Path) -> None:
    code, out, _ = await run("--help", cwd=tmp_path)
    assert code == 0
    for command in ("serve", "migrate", "demo", "emulate", "enterprise"):
        assert command in out
    assert (await run("--version", cwd=tmp_path))[0] == 0
    assert (await run("nonsense", cwd=tmp_path))[0] == 2
