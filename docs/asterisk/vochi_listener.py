#!/usr/bin/env python3
"""Brings a PBX's calls to the daemon: reads the manager interface (AMI), posts events in their order, loses none.

Runs on the PBX's own machine with nothing but Python 3.10 or newer. What the daemon does not take at once waits in a
queue on the disk and goes later, in order. Usage: vochi_listener.py /etc/vochi_listener.ini
"""

from __future__ import annotations

import configparser
import http.client
import json
import logging
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 3.0  # one request to the daemon
PING_SECONDS = 20.0  # how often a silent AMI must prove that it is alive
PAUSES = (0.2, 0.5, 1, 2, 5, 10, 30)  # after failures in a row
STALE_SECONDS = 30.0  # older than this a ringing phone rings no more
WAITING = 200_000  # events in the queue; when it is full the oldest go
HOPELESS = (400, 413)  # the same event would be refused again

log = logging.getLogger("vochi")


class Queue:
    """Events on the disk, in their order. Written by the reader, read by the sender."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS events"
            " (id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL)"
        )
        self._lock = threading.Lock()
        self.filled = threading.Event()

    def put(self, kind: str, body: dict[str, Any]) -> None:
        with self._lock:
            row = (time.time(), kind, json.dumps(body))
            last = self._db.execute("INSERT INTO events (at, kind, body) VALUES (?, ?, ?)", row).lastrowid
            self._db.execute("DELETE FROM events WHERE id <= ?", (last - WAITING,))
        self.filled.set()

    def first(self) -> Any:
        """Return (id, at, kind, body) of the oldest event, None when there is none."""
        with self._lock:
            self.filled.clear()
            return self._db.execute("SELECT id, at, kind, body FROM events ORDER BY id LIMIT 1").fetchone()

    def drop(self, number: int) -> None:
        with self._lock:
            self._db.execute("DELETE FROM events WHERE id = ?", (number,))


class Sender(threading.Thread):
    """Posts the queue over one kept connection, one event at a time."""

    def __init__(self, queue: Queue, url: str, token: str) -> None:
        super().__init__(name="sender", daemon=True)
        self._queue = queue
        self._url = urlsplit(url)
        self._token = token
        self._connection: http.client.HTTPConnection | None = None
        self.stopping = threading.Event()

    def run(self) -> None:
        failures = 0
        while not self.stopping.is_set():
            row = self._queue.first()
            if row is None:
                self._queue.filled.wait(1.0)
                continue
            number, at, kind, body = row
            if self._is_done(kind, json.loads(body), time.time() - at):
                self._queue.drop(number)
                failures = 0
            else:
                self.stopping.wait(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1

    def _is_done(self, kind: str, body: dict[str, Any], age: float) -> bool:
        """Deliver an event; True when it need not be sent again.

        One that waited too long shows no card any more: of such a call only its end is told, as a recovered one.
        """
        if age > STALE_SECONDS and kind != "hangup":
            return True
        status = self._post("download" if age > STALE_SECONDS else kind, body)
        if status == 200:
            return True
        if status in HOPELESS:
            log.error("the daemon refuses %s of %s: %s", kind, body.get("UniqueId"), status)
            return True
        log.warning("%s of %s waits: %s", kind, body.get("UniqueId"), status)
        return False

    def _post(self, kind: str, body: dict[str, Any]) -> int | str:
        """Return the status, or what went wrong. A kept connection that has died meanwhile is opened anew once."""
        data = json.dumps(dict(body, Token=self._token))
        headers = {"Content-Type": "application/json", "Token": self._token}
        fresh = self._connection is None
        try:
            if self._connection is None:
                secure = self._url.scheme == "https"
                kind_of = http.client.HTTPSConnection if secure else http.client.HTTPConnection
                self._connection = kind_of(self._url.hostname or "", self._url.port, timeout=TIMEOUT)
            connection = self._connection
            connection.request("POST", self._url.path.rstrip("/") + "/" + kind, data, headers)
            response = connection.getresponse()
            response.read()
            if response.will_close:
                self._close()
        except (OSError, http.client.HTTPException) as error:
            self._close()
            return self._post(kind, body) if not fresh else repr(error)
        return response.status

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class Ami:
    """The manager interface: logs in, gives messages as dicts, proves itself alive."""

    def __init__(self, host: str, port: int, user: str, secret: str) -> None:
        self._socket = socket.create_connection((host, port), timeout=PING_SECONDS)
        self._file = self._socket.makefile("rb")
        self._file.readline()
        self._say(Action="Login", Username=user, Secret=secret, Events="call,user")
        if self._read().get("Response") != "Success":
            self.close()
            raise OSError("the AMI refuses our name or secret")

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def _say(self, **fields: str) -> None:
        text = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._socket.sendall((text + "\r\n").encode())

    def messages(self) -> Iterator[dict[str, str]]:
        """Give messages until the connection breaks (OSError)."""
        while True:
            try:
                yield self._read()
            except TimeoutError:
                # A file cannot be read again after a timeout: an AMI this silent is asked on a new connection.
                raise OSError("the AMI is silent") from None

    def ping(self) -> None:
        self._say(Action="Ping")

    def _read(self) -> dict[str, str]:
        message = {}
        while True:
            line = self._file.readline()
            if not line:
                raise OSError("the AMI closed the connection")
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if not text:
                return message
            name, _, value = text.partition(": ")
            message[name.rstrip(":")] = value


def event_of(message: dict[str, str]) -> tuple[str, dict[str, Any]] | None:
    """Turn an AMI message into (kind, body) for the daemon, None when it is no business of it."""
    name = message.get("Event")
    if name == "UserEvent" and message.get("UserEvent") == "Vochi":
        return call_event(message)
    if name in ("BridgeEnter", "BridgeLeave"):
        fields = ("Channel", "CallerIDNum", "CallerIDName", "ConnectedLineNum", "ConnectedLineName", "BridgeUniqueid")
        body = {field: message.get(field, "") for field in fields}
        body["UniqueId"] = message.get("Uniqueid", "")
        if name == "BridgeEnter":
            return "bridge", dict(body, Exten=message.get("Exten", ""))
        return "bridge_leave", dict(body, BridgeNumChannels=message.get("BridgeNumChannels", ""))
    if name == "BridgeDestroy":
        return "bridge_destroy", {"UniqueId": "", "BridgeUniqueid": message.get("BridgeUniqueid", "")}
    return None


def call_event(message: dict[str, str]) -> tuple[str, dict[str, Any]] | None:
    """Read an event of vochi.conf."""
    kind = message.get("VochiEvent", "")
    phone, line = message.get("VochiPhone", ""), message.get("VochiLine", "")
    extensions = message.get("VochiExtensions", "").split("&")
    body = {
        "UniqueId": message.get("Uniqueid", ""),
        "Phone": phone,
        "CallType": int(message.get("VochiType") or 2),
        "Trunk": line,
    }
    if kind == "dial":
        body.update(Extensions=extensions, ExtTrunk="", ExtPhone=phone if body["CallType"] == 0 else "")
    elif kind == "hangup":
        body.update(
            Extensions=extensions,
            CallStatus=message.get("VochiStatus", "0"),
            StartTime=message.get("VochiStarted", ""),
            EndTime=message.get("VochiEnded", ""),
            DateReceived=message.get("VochiStarted", ""),
        )
    elif kind != "start":
        return None
    return kind, body


def listen(config: Any, queue: Queue, stopping: threading.Event) -> None:
    """Read the AMI for ever, connecting again when it breaks."""
    failures = 0
    while not stopping.is_set():
        try:
            ami = Ami(config["host"], config.getint("port"), config["user"], config["secret"])
        except OSError as error:
            log.warning("no AMI: %s", error)
            stopping.wait(PAUSES[min(failures, len(PAUSES) - 1)])
            failures += 1
            continue
        log.info("AMI connected")
        failures = 0
        pinging = threading.Event()
        threading.Thread(target=ping, args=(ami, pinging), daemon=True).start()
        try:
            for message in ami.messages():
                event = event_of(message)
                if event is not None:
                    queue.put(*event)
        except OSError as error:
            log.warning("AMI lost: %s", error)
        finally:
            pinging.set()
            ami.close()


def ping(ami: Ami, ended: threading.Event) -> None:
    """Make the AMI speak, so that its silence means that it is gone."""
    while not ended.wait(PING_SECONDS / 3):
        try:
            ami.ping()
        except OSError:
            return


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    config = configparser.ConfigParser(interpolation=None)
    if len(sys.argv) != 2 or not config.read(sys.argv[1]):
        sys.exit("usage: vochi_listener.py FILE.ini")
    queue = Queue(config["queue"]["path"])
    sender = Sender(queue, config["daemon"]["url"], config["daemon"]["token"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sender.start()
    listen(config["ami"], queue, sender.stopping)


if __name__ == "__main__":
    main()
