"""One daemon a state folder: its lock, and the name its leases carry."""

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vochi_integrations.errors import StartupError

LOCK = "daemon.lock"
NAME = "instance"


@contextmanager
def claimed_folder(folder: Path) -> Iterator[str]:
    """Hold the folder and yield the instance's lasting name, by which a restarted daemon knows its own leases.

    Raises StartupError naming the pid of the daemon that has the folder already.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartupError(f"cannot use server.state_dir {folder}: {error.strerror}") from None
    try:
        _take(lock, folder)
        yield _name(folder)
    finally:
        os.close(lock)


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(lock, 20, 0).decode(errors="replace").strip()
        raise StartupError(f"server.state_dir {folder} belongs to a running daemon, pid {pid or 'unknown'}") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)


def _name(folder: Path) -> str:
    file = folder / NAME
    if not file.exists():
        file.write_text(uuid.uuid4().hex, encoding="ascii")
    return file.read_text(encoding="ascii").strip()
