"""How fast and how long: the rate limit of a CRM account and the pauses between attempts. Pure but for chance."""

import random
from collections import deque


class SlidingWindow:
    """At most `rate` requests in any second, as the CRM counts them (facts: retailcrm_api §1).

    A quarter is kept for pop-ups. A rate below one is one request in its longer time. Times are seconds of any
    monotonic clock.
    """

    def __init__(self, rate: float) -> None:
        self._limit = max(1, int(rate))
        self._seconds = self._limit / rate
        self._taken: deque[float] = deque(maxlen=self._limit)
        self._held_until = 0.0
        self.reserve = self._limit // 4

    def wait_seconds(self, now: float, reserve: int = 0) -> float:
        """Return how long to wait before one more request that leaves `reserve` others free; 0 when it may go now."""
        used = self._limit - reserve
        free_at = self._taken[-used] + self._seconds if len(self._taken) >= used else 0.0
        return max(0.0, free_at - now, self._held_until - now)

    def take(self, now: float) -> None:
        self._taken.append(now)

    def hold(self, until: float) -> None:
        """Let nothing go before then: the CRM says it is too much."""
        self._held_until = max(self._held_until, until)

    def is_quiet(self, now: float) -> bool:
        """True when forgetting this window would forget nothing."""
        return now >= self._held_until and (not self._taken or now - self._taken[-1] > self._seconds)


def backoff(base: float, failures: int, limit: float) -> float:
    """Return the pause in seconds after so many failures: doubling from `base`, half of it left to chance."""
    pause = min(limit, base * 2.0 ** min(failures - 1, 60))
    return pause * (0.5 + random.random() / 2)  # noqa: S311 - jitter, not a secret
