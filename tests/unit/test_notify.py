"""What systemd is told, over a real datagram socket; nothing, and no trouble, where there is none."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from vochi_integrations.notify import READY, notify, stay_alive, watchdog_seconds


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_state_is_one_datagram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    name = str(tmp_path / "n") if kind == "path" else f"@vochi-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name.replace("@", "\0"))
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify(READY)
        assert systemd.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", [None, "", "/nowhere/at/all", "@nobody-listens", "relative"])
def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify(READY)


def test_a_service_manager_that_does_not_read_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "n"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        for _ in range(5_000):
            notify(READY)


@pytest.mark.parametrize(
    ("micros", "pid", "seconds"),
    [
        ("30000000", "ours", 30.0),
        ("500000", None, 0.5),
        ("500000", "", 0.5),
        ("30000000", "1", None),
        ("0", None, None),
        ("", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
)
def test_a_sign_of_life_is_given_only_when_this_process_is_to(
    monkeypatch: pytest.MonkeyPatch, micros: str | None, pid: str | None, seconds: float | None
) -> None:
    for name, value in (("WATCHDOG_USEC", micros), ("WATCHDOG_PID", pid)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, str(os.getpid()) if value == "ours" else value)
    assert watchdog_seconds() == seconds


async def test_no_sign_of_life_once_a_background_task_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "n"))
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        alive = asyncio.create_task(stay_alive(0.02, failed))
        for _ in range(3):
            assert await asyncio.get_running_loop().sock_recv(systemd, 100) == b"WATCHDOG=1"
        failed.set_result(RuntimeError("dead"))
        await alive
        while systemd in _readable(systemd):
            systemd.recv(100)
        await asyncio.sleep(0.05)
        assert not _readable(systemd)


def _readable(channel: socket.socket) -> list[socket.socket]:
    try:
        channel.recv(100, socket.MSG_PEEK)
    except BlockingIOError:
        return []
    return [channel]
