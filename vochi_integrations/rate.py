"""How fast and how long: the rate limit of a lane and the pauses between attempts. Pure but for chance."""

import random
from collections import deque

RECORD_PAUSE_LIMIT = 3600.0
POPUP_PAUSE_LIMIT = 5.0


class SlidingWindow:
    """At most `rate` requests in any second, as the CRM counts them (facts: retailcrm_api §1).

    A rate below one is one request in its longer time. Times are seconds of any monotonic clock.
    """

    def __init__(self, rate: float) -> None:
        self._limit = max(1, int(rate))
        self._seconds = self._limit / rate
        self._taken: deque[float] = deque(maxlen=self._limit)

    def wait_seconds(self, now: float) -> float:
        """Return how long to wait before one more request; 0 when it may go now."""
        if len(self._taken) < self._limit:
            return 0.0
        return max(0.0, self._taken[0] + self._seconds - now)

    def take(self, now: float) -> None:
        self._taken.append(now)


def backoff(base: float, failures: int, limit: float) -> float:
    """Return the pause in seconds after so many failures: doubling from `base`, half of it left to chance."""
    pause = min(limit, base * 2.0 ** min(failures - 1, 60))
    return pause * (0.5 + random.random() / 2)  # noqa: S311 - jitter, not a secret
