"""Short status lines in files of `logging.directory`, as the operators' checklist reads them; none unless it is set.

Process-wide, like the log itself. A file that was rotated away is opened anew; nothing here ever waits for the disk.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from vochi_integrations.errors import StartupError
from vochi_integrations.linewriter import LineWriter

GATEWAY = "integration_cache"
# Log events that are status lines of the gateway too.
COPIED = frozenset(
    {"ready", "stopped", "invalidated", "refreshed", "listening", "listen connection lost", "events spooled"}
    | {"spool replayed", "breaker opened", "breaker closed", "background task died"}
)
NOT_SHOWN = frozenset({"event", "timestamp", "level", "exc_info", "exception", "alert", "logger"})
PHONE = re.compile(r"(?<![\d.])(\+?\d{2,8})\d{4}(\d{3})(?![\d.]*\d)")
SHOWN = r"\1****\2"
FORMATTED = re.compile(
    r"(?<![\w.+-])(?:"
    r"\+\d[\d \xa0().-]{7,18}\d"  # +375 (29) 000-00-01
    r"|(?:\d{1,3}[ \xa0-]?)?\(\d{2,5}\)[ \xa0-]?\d[\d \xa0-]{3,9}\d"  # 8 (0162) 00-00-01
    r"|(?:\d{1,3}[ \xa0-])?\d{2,5}[ \xa0-]\d{3}[ \xa0-]\d{2}[ \xa0-]\d{2}"  # 8 029 000 00 01
    r"|\d{3}-\d{2}-\d{2}"  # 000-00-01
    r")(?![\w.-])"
)


class WatchedFile:
    """A file by its path, for one writing thread: when another has taken its place, that one is written to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: BinaryIO | None = None

    def write(self, data: bytes) -> int:
        stream = self._current()
        return stream.write(data)

    def flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()

    def close(self) -> None:
        if self._stream is not None:
            with suppress(OSError):
                self._stream.close()
            self._stream = None

    def _current(self) -> BinaryIO:
        if self._stream is not None and self._is_in_place(self._stream):
            return self._stream
        self.close()
        self._stream = self._path.open("ab")
        return self._stream

    def _is_in_place(self, stream: BinaryIO) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        ours = os.fstat(stream.fileno())
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


class _Files:
    """The open files, by name; made on the first line of a name."""

    def __init__(self) -> None:
        self.directory: Path | None = None
        self.shows_phones = False
        self.writers: dict[str, tuple[LineWriter, WatchedFile]] = {}

    def writer(self, directory: Path, name: str) -> LineWriter:
        found = self.writers.get(name)
        if found is None:
            file = WatchedFile(directory / f"{name}.log")
            found = self.writers[name] = LineWriter(file), file
            found[0].start()
        return found[0]

    def close(self) -> None:
        writers, self.writers, self.directory = self.writers, {}, None
        for writer, file in writers.values():
            writer.stop()
            file.close()


_files = _Files()


@contextmanager
def opened(directory: str, *, phones: bool = False) -> Iterator[None]:
    """Write status lines inside the block; none for "". Raises StartupError when the folder cannot be written to."""
    if not directory:
        yield
        return
    folder = Path(directory).expanduser().resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{GATEWAY}.log").open("ab"):
            pass
    except OSError as error:
        raise StartupError(f"cannot write to logging.directory {folder}: {error.strerror}") from None
    _files.directory, _files.shows_phones = folder, phones
    try:
        yield
    finally:
        _files.close()


def is_open() -> bool:
    return _files.directory is not None


def dropped() -> dict[str, int]:
    """Return by file how many lines were lost, because too many waited or the disk took none."""
    return {name: writer.dropped for name, (writer, _) in _files.writers.items()}


def write(name: str, line: str) -> None:
    """Add a line to the file `name`.log, with the time in UTC; phones are masked unless they may be shown."""
    if _files.directory is None:
        return
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    shown = line if _files.shows_phones else hide_phones(line)
    _files.writer(_files.directory, name).write_line(f"{moment} {one_line(shown)}".encode())


def copy(event: Mapping[str, Any]) -> None:
    """Write a log event to the gateway's file when it is one of those an operator follows there."""
    if _files.directory is not None and event.get("event") in COPIED:
        details = [f"{key}={value}" for key, value in event.items() if key not in NOT_SHOWN and value is not None]
        write(GATEWAY, " ".join([str(event["event"]), *details]))


def one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")


def hide_phones(text: str) -> str:
    """Mask what looks like a phone: nine digits or more, or fewer in groups. A UniqueId, digits with a point, stays."""
    return FORMATTED.sub(_mask_groups, PHONE.sub(SHOWN, text))


def _mask_groups(found: re.Match[str]) -> str:
    digits = re.sub(r"[^\d+]", "", found[0])
    return PHONE.sub(SHOWN, digits) if PHONE.fullmatch(digits) else "****"
