"""A company with a real PBX: Asterisk, the listener of docs/asterisk, the daemon, the emulated CRM."""

import configparser
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

from msgspec import Struct

from tests.asterisk.phones import Call, Phone
from tests.asterisk.private import DOCS, LINES, PrivateAsterisk
from tests.kinds import C
from tests.lab import TOKEN, DaemonUnderTest, Lab, eventually, until

LINE = LINES[0]


class Listener:
    """The process of docs/asterisk/vochi_listener.py."""

    def __init__(self, asterisk: PrivateAsterisk, url: str) -> None:
        self._root = asterisk.root
        self._file = asterisk.root / "listener.ini"
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = {"port": str(asterisk.ami_port), "secret": asterisk.ami_secret}
        self.point_to(url)

    def point_to(self, url: str) -> None:
        """Write the configuration: the example's, for this PBX and this daemon."""
        config = configparser.ConfigParser(interpolation=None)
        config.read(DOCS / "vochi_listener.ini")
        config["ami"].update(self._settings)
        config["daemon"].update({"url": url, "token": TOKEN})
        config["queue"]["path"] = str(self._root / "queue.sqlite")
        with self._file.open("w") as file:
            config.write(file)

    @property
    def log(self) -> str:
        return (self._root / "listener.log").read_text()

    async def start(self) -> None:
        with (self._root / "listener.log").open("wb") as log:
            command = [sys.executable, str(DOCS / "vochi_listener.py"), str(self._file)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        await until(lambda: "AMI connected" in self.log)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Office(Struct):
    """What a test of calls has at hand."""

    lab: Lab
    asterisk: PrivateAsterisk
    daemon: DaemonUnderTest
    listener: Listener

    def phone(self, extension: str) -> Phone:
        return self.asterisk.phones[extension]

    @property
    def line(self) -> Phone:
        return self.asterisk.lines[LINE]

    def calls_in(self, number: str = C) -> Call:
        """A customer calls the company."""
        return self.line.call(LINE, as_number=number)

    async def rings(self, *extensions: str) -> None:
        await until(lambda: all(self.phone(extension).ringing for extension in extensions))

    async def talks(self, call: Call) -> None:
        await until(lambda: call.state == "talking")

    async def shown(self, *popups: tuple[str, list[str]]) -> None:
        """Wait until these pop-ups were shown: direction and extensions, in their order."""

        def check() -> None:
            assert [(item["type"], item["codes"]) for item in self.lab.popups] == list(popups)

        await eventually(check)

    async def recorded(self, **fields: Any) -> dict[str, Any]:
        """Wait for the one record there is to be; check some of it and that no card is left open."""
        await until(lambda: self.lab.records)
        (record,) = self.lab.records
        assert {name: record.get(name) for name in fields} == fields
        await self.settled()
        assert self.lab.records == [record]
        assert not list(self.lab.account.screens.open)
        return record

    async def settled(self) -> None:
        """Wait until the PBX is quiet, and everything it said has come to the daemon and from there to the CRM."""
        await eventually(self.asterisk.is_silent)
        await until(lambda: not self._queued())

        async def done() -> None:
            assert not await self.lab.sql.fetchval("SELECT count(*) FROM open_calls")
            waiting = "SELECT count(*) FROM integration_deliveries WHERE status IN ('pending', 'sending')"
            assert not await self.lab.sql.fetchval(waiting)

        await eventually(done)

    def _queued(self) -> int:
        with closing(sqlite3.connect(self.asterisk.root / "queue.sqlite")) as queue:
            return int(queue.execute("SELECT count(*) FROM events").fetchone()[0])

    async def ring_group(self, answers: str) -> Call:
        """A customer calls, the group rings, one answers."""
        call = self.calls_in()
        await self.rings("150", "151", "152")
        self.phone(answers).answer()
        await self.talks(call)
        return call


@asynccontextmanager
async def office(lab: Lab, asterisk: PrivateAsterisk, **overrides: Any) -> AsyncIterator[Office]:
    await lab.add_company()
    await lab.sql.execute(
        "INSERT INTO gsm_lines(enterprise_number, line_id, phone_number)"
        " SELECT '0367', * FROM unnest($1::text[], $2::text[])",
        list(LINES),
        ["+375172000001", "+375172000002"],
    )
    async with lab.daemon(**asterisk.settings(**overrides)) as daemon:
        listener = Listener(asterisk, daemon.public)
        await listener.start()
        try:
            yield Office(lab, asterisk, daemon, listener)
        finally:
            await asterisk.quiet()
            listener.stop()
