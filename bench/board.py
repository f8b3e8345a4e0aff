"""What the load and a worker in another process share: when each job was handled, in memory both can see."""

import mmap
import struct
from pathlib import Path

SLOTS = 400_000
COUNT = struct.Struct("q")
SAMPLE = struct.Struct("dd")
SIZE = COUNT.size + SLOTS * SAMPLE.size


class Board:
    """A count and, job by job, when it was sent and handled (`time.perf_counter`, one clock for all processes)."""

    def __init__(self, file: Path) -> None:
        with file.open("r+b") as opened:
            opened.truncate(SIZE)
            self._memory = mmap.mmap(opened.fileno(), SIZE)

    @property
    def count(self) -> int:
        return int(COUNT.unpack_from(self._memory)[0])

    def note(self, sent_at: float, handled_at: float) -> None:
        number = self.count
        SAMPLE.pack_into(self._memory, COUNT.size + number * SAMPLE.size, sent_at, handled_at)
        COUNT.pack_into(self._memory, 0, number + 1)

    def delays(self, first: int = 0) -> list[float]:
        """Return the seconds from sent to handled, from job `first` on."""
        samples = (
            SAMPLE.unpack_from(self._memory, COUNT.size + number * SAMPLE.size) for number in range(first, self.count)
        )
        return [handled - sent for sent, handled in samples]
