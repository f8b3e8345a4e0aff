"""Shedding on a simulated queue that stores so many events a second: bursts pass, overload is refused soon."""

from collections import deque

import pytest
from msgspec import Struct, field

from vochi_integrations.shedding import LONGEST_WAIT, SHORT_WAIT, Shedding

STORED_A_SECOND = 1_000
TICK = 0.01
A_TICK = int(STORED_A_SECOND * TICK)
MORE = 2 * TICK


class Queue(Struct):
    """What waits, and what became of the rest; times in seconds. `refused` are (when, how long it had waited)."""

    shedding: Shedding = field(default_factory=Shedding)
    waiting: deque[float] = field(default_factory=deque)
    waits: list[float] = field(default_factory=list)
    refused: list[tuple[float, float]] = field(default_factory=list)
    now: float = 0.0

    def run(self, seconds: float, rate: float, *, stalled: bool = False) -> None:
        """Events come at `rate` a second; none is stored while it is `stalled`."""
        owed = 0.0
        for _ in range(round(seconds / TICK)):
            self.now += TICK
            owed += rate * TICK
            self.waiting.extend([self.now] * int(owed))
            owed -= int(owed)
            if not stalled:
                self._store()

    def _store(self) -> None:
        room = A_TICK
        while room and self.waiting:
            limit = self.shedding.limit(self.now, self.now - self.waiting[0])
            batch = [self.now - self.waiting.popleft() for _ in range(min(room, len(self.waiting)))]
            self.refused += [(self.now, waited) for waited in batch if waited > limit]
            stored = [waited for waited in batch if waited <= limit]
            self.waits += stored
            room -= len(stored)


@pytest.mark.parametrize("rate", [100, 900, 1_000])
def test_what_can_be_stored_is_never_refused(rate: int) -> None:
    queue = Queue()
    queue.run(60, rate)
    assert not queue.refused


@pytest.mark.parametrize("stall", [0.5, 1.0, 1.4])
def test_a_stall_shorter_than_a_host_waits_refuses_nothing(stall: float) -> None:
    queue = Queue()
    queue.run(5, 500)
    queue.run(stall, 500, stalled=True)
    queue.run(30, 500)
    assert not queue.refused
    assert max(queue.waits) < stall + MORE


@pytest.mark.parametrize("times", [1.2, 1.6, 3.0])
def test_overload_is_refused_and_the_rest_waits_a_short_time(times: float) -> None:
    queue = Queue()
    queue.run(60, times * STORED_A_SECOND)
    assert max(queue.waits) <= LONGEST_WAIT
    assert max(waited for _, waited in queue.refused) <= LONGEST_WAIT + MORE
    late = queue.waits[10 * STORED_A_SECOND :]
    assert max(late) <= SHORT_WAIT
    assert max(waited for at, waited in queue.refused if at > 10) <= SHORT_WAIT + MORE
    assert len(queue.waits) > 0.98 * 60 * STORED_A_SECOND, "what is refused could have been stored"


def test_when_overload_is_over_nothing_is_refused_any_more() -> None:
    queue = Queue()
    queue.run(20, 1.6 * STORED_A_SECOND)
    assert queue.refused
    over = queue.now
    queue.run(60, 0.9 * STORED_A_SECOND)
    assert max(at for at, _ in queue.refused) <= over + SHORT_WAIT + MORE
    refused = len(queue.refused)
    queue.run(1.0, 500, stalled=True)
    queue.run(5.0, 500)
    assert len(queue.refused) == refused, "a stall long after is a stall again"
