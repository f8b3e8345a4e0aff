"""The real daemon in a process of its own, which can be killed, frozen and ended."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from tests.faults.postgres import send

START_SECONDS = 20.0
SHOWN_LINES = 60


class DaemonProcess:
    """One daemon: start it again after it ended. `lines` is all it ever said; its ports are new at each start.

    `wanted` is True while it is meant to run, `stops` are the seconds that each orderly end took.
    """

    def __init__(self, name: str, environ: Mapping[str, str], preexec: Callable[[], None] | None = None) -> None:
        self.name = name
        self.environ = dict(environ)
        self.preexec = preexec
        self.lines: list[dict[str, Any]] = []
        self.stops: list[float] = []
        self.wanted = False
        self.public = ""
        self.internal = ""
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def state_dir(self) -> Path:
        return Path(self.environ["VOCHI_SERVER__STATE_DIR"])

    @property
    def memory_mb(self) -> float:
        """What the process has in RAM now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    async def start(self) -> None:
        """Run it until it says `ready`."""
        code = await self.try_start()
        assert code is None, f"{self.name} ended with {code} before it was ready\n{self.tail}"

    async def try_start(self) -> int | None:
        """Run it until it says `ready` (None) or ends (its exit code)."""
        self._ready.clear()
        self.wanted = True
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "vochi_integrations", "serve"),
            env=self.environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            stdin=asyncio.subprocess.DEVNULL,
            limit=2**20,
            preexec_fn=self.preexec,
        )
        self._reader = asyncio.create_task(self._read(self._process))
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait({ready, self._reader}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._ready.is_set():
            return None
        assert self._reader.done(), f"{self.name} is not ready after {START_SECONDS} s\n{self.tail}"
        return await self._process.wait()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            try:
                said = orjson.loads(line)
            except orjson.JSONDecodeError:
                said = {"event": line.decode(errors="replace").rstrip()}
            self.lines.append(said)
            if said.get("event") == "ready":
                self.public, self.internal = (f"http://{said[name]}" for name in ("public", "internal"))
                self._ready.set()

    async def kill(self) -> float:
        """Kill it as the kernel does; return when (`time.monotonic`)."""
        at = time.monotonic()
        send([self.pid], signal.SIGKILL)
        await self.ended(5)
        return at

    async def stop(self, within: float) -> int:
        """SIGTERM; return its exit code."""
        began = time.monotonic()
        send([self.pid], signal.SIGTERM)
        code = await self.ended(within)
        self.stops.append(time.monotonic() - began)
        return code

    async def ended(self, within: float) -> int:
        """Wait until it has ended; return its exit code."""
        assert self._process is not None
        assert self._reader is not None
        self.wanted = False
        await asyncio.wait({self._reader}, timeout=within)
        assert self._reader.done(), f"{self.name} still runs after {within} s\n{self.tail}"
        return await self._process.wait()

    async def close(self) -> None:
        """End it whatever it is doing, and show what it said (pytest prints it when the test failed)."""
        if self.is_running:
            send([self.pid], signal.SIGCONT)
            send([self.pid], signal.SIGKILL)
        with suppress(AssertionError):
            await self.ended(5)
        print(self.tail)  # noqa: T201

    def said(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("event") == event]

    @property
    def tail(self) -> str:
        shown = (line for line in self.lines if line.get("event") != "delivery" or line.get("status") != "done")
        texts = [orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS).decode() for line in shown]
        return "\n".join([f"--- the last lines of daemon {self.name}", *texts[-SHOWN_LINES:]])
