"""Writing lines without ever waiting for whoever reads them."""

import threading
from collections import deque
from typing import Protocol

QUEUED_LINES = 10_000
FLUSH_SECONDS = 2.0
WRITE_SECONDS = 0.05


class Stream(Protocol):
    """Where lines go."""

    def write(self, data: bytes, /) -> int: ...

    def flush(self) -> None: ...


class LineWriter:
    """Writes lines from a thread of its own, so that a reader who does not read never stops the loop.

    The thread looks every `WRITE_SECONDS`: waking it for each line would cost more than the line.
    When more than `QUEUED_LINES` wait, new ones are dropped and counted.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._lines: deque[bytes] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self.dropped = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, for `FLUSH_SECONDS` at most."""
        self._stopping.set()
        self._thread.join(FLUSH_SECONDS)

    def write_line(self, line: bytes) -> None:
        if len(self._lines) < QUEUED_LINES:
            self._lines.append(line)
        else:
            self.dropped += 1

    def _run(self) -> None:
        while not self._stopping.wait(WRITE_SECONDS):
            self._write_all()
        self._write_all()

    def _write_all(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if not lines:
            return
        try:
            self._stream.write(b"\n".join(lines) + b"\n")
            self._stream.flush()
        except (OSError, ValueError):
            self.dropped += len(lines)
