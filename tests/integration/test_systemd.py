"""The daemon as a systemd service: ready, alive, stopping; and it ends, with 1, when a part of it is dead."""

import asyncio
import json
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.integration.test_call_path import fresh_id
from tests.integration.test_commands import COMMAND, clean_environment, serving
from tests.kinds import dial
from tests.lab import Lab, until
from tests.tools import free_port

Process = asyncio.subprocess.Process


class Systemd:
    """The service manager's end of the notification socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(str(path))

    def environ(self, **more: str) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self.path), **more}

    async def hears(self, within: float = 20.0) -> str:
        async with asyncio.timeout(within):
            return (await asyncio.get_running_loop().sock_recv(self.socket, 200)).decode()

    async def hears_of(self, state: str, within: float = 20.0) -> None:
        while await self.hears(within) != state:
            pass

    async def hears_nothing(self, seconds: float) -> None:
        with pytest.raises(TimeoutError):
            raise AssertionError(await self.hears(seconds))

    def forget(self) -> None:
        try:
            while self.socket.recv(200):
                pass
        except BlockingIOError:
            pass


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    """A path of its own: pytest's are too long for a socket's name."""
    with tempfile.TemporaryDirectory(prefix="vn-") as folder:
        manager = Systemd(Path(folder) / "notify")
        yield manager
        manager.socket.close()


async def test_ready_comes_after_both_listeners_are_bound(lab: Lab, systemd: Systemd) -> None:
    """Stopped at once by a signal, the daemon cannot bind any more; the kernel takes connections to what is bound."""
    ports = free_ports()
    environ = {
        "VOCHI_DATABASE__DSN": lab.dsn,
        "VOCHI_SERVER__STATE_DIR": str(lab.folder / "state"),
        "VOCHI_SERVER__PUBLIC_PORT": str(ports[0]),
        "VOCHI_SERVER__INTERNAL_PORT": str(ports[1]),
    }
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "serve", env=clean_environment() | environ | systemd.environ(), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert await systemd.hears() == "READY=1"
        process.send_signal(signal.SIGSTOP)
        await stopped(process)
        for port in ports:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        assert await systemd.hears() == "STOPPING=1"
        code, events = await ended(process)
        assert (code, events[-3:]) == (0, ["ready", "stopping", "stopped"])
        await systemd.hears_nothing(0.05)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def free_ports() -> list[int]:
    return [free_port(), free_port()]


async def ended(process: Process, within: float = 15.0) -> tuple[int | None, list[str]]:
    """Wait for the end; return the exit code and the events of the log."""
    async with asyncio.timeout(within):
        out, _ = await process.communicate()
    return process.returncode, [json.loads(line)["event"] for line in out.splitlines()]


async def test_signs_of_life_repeat_and_stop_when_the_process_does(lab: Lab, systemd: Systemd) -> None:
    async with serving(lab, **systemd.environ(WATCHDOG_USEC="200000")) as (process, _):
        assert await systemd.hears() == "READY=1"
        began = time.monotonic()
        for _ in range(5):
            assert await systemd.hears(1.0) == "WATCHDOG=1"
        assert 0.3 < time.monotonic() - began < 2.0
        process.send_signal(signal.SIGSTOP)
        await stopped(process)
        systemd.forget()
        await systemd.hears_nothing(0.5)
        process.send_signal(signal.SIGCONT)
        assert await systemd.hears() == "WATCHDOG=1"


async def stopped(process: Process) -> None:
    """Wait until the kernel has stopped a process."""
    status = Path(f"/proc/{process.pid}/status")
    await until(lambda: "State:\tT" in status.read_text())


async def test_another_process_is_watched_not_this_one(lab: Lab, systemd: Systemd) -> None:
    async with serving(lab, **systemd.environ(WATCHDOG_USEC="100000", WATCHDOG_PID="1")):
        assert await systemd.hears() == "READY=1"
        await systemd.hears_nothing(0.3)


@asynccontextmanager
async def without_a_column(lab: Lab) -> AsyncIterator[None]:
    """Break the table of deliveries for as long as the block lasts."""
    await lab.sql.execute("ALTER TABLE integration_deliveries RENAME COLUMN locked_until TO gone")
    try:
        yield
    finally:
        await lab.sql.execute("ALTER TABLE integration_deliveries RENAME COLUMN gone TO locked_until")


async def test_a_dead_background_task_ends_the_daemon_with_1(lab: Lab, systemd: Systemd) -> None:
    async with serving(lab, **systemd.environ(WATCHDOG_USEC="200000")) as (process, _):
        await systemd.hears_of("WATCHDOG=1")
        async with without_a_column(lab):
            code, events = await ended(process)
        assert code == 1
        assert "background task died" in events
        assert events[-2:] == ["stopping", "stopped"]
        await systemd.hears_of("STOPPING=1", 1.0)
        await systemd.hears_nothing(0.3)


async def test_a_background_task_that_dies_while_stopping_does_not_hold_the_end_up(lab: Lab) -> None:
    """A pop-up hangs at the CRM, so the daemon waits; then its table breaks, and there is nothing to wait for."""
    await lab.add_company()
    lab.crm.switch(fault="hang")
    patient = {"VOCHI_DELIVERY__TIMEOUT": "60", "VOCHI_SERVER__SHUTDOWN_SECONDS": "60"}
    async with serving(lab, **patient) as (process, daemon):
        await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": fresh_id()})
        await until(lambda: lab.account.requests)
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        while json.loads(await process.stdout.readline())["event"] != "stopping":
            pass
        async with without_a_column(lab):
            code, events = await ended(process)
        assert code == 1
        assert "background task died" in events
        assert events[-2:] == ["work left unfinished; it stays in the database", "stopped"]


async def test_a_database_that_takes_no_writes_does_not_hold_the_end_up(lab: Lab) -> None:
    await lab.add_company()
    lab.crm.switch(fault="hang")
    call = fresh_id()
    async with serving(lab, VOCHI_SERVER__SHUTDOWN_SECONDS="1", VOCHI_DELIVERY__TIMEOUT="60") as (process, daemon):
        await daemon.post("dial", dial(0, ["151"], 1)[2] | {"UniqueId": call})
        await until(lambda: lab.account.requests)
        async with lab.sql.transaction():
            await lab.sql.execute("LOCK TABLE integration_deliveries")
            lab.crm.switch(fault=None)
            await until(lambda: lab.popups)
            process.send_signal(signal.SIGTERM)
            code, events = await ended(process)
        assert (code, events[-1]) == (0, "stopped")


async def test_pages_are_compiled_once_where_the_service_has_a_folder_for_it(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = tmp_path / "cache"
    compiled.mkdir()
    monkeypatch.setenv("CACHE_DIRECTORY", str(compiled))
    for _ in range(2):
        async with lab.daemon():
            written = {file: file.stat().st_mtime_ns for file in compiled.iterdir()}
    assert written == {file: file.stat().st_mtime_ns for file in compiled.iterdir()}
    assert len(written) > 20
