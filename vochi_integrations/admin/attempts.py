"""How often sign-in may fail."""

import ipaddress
import time
from collections import defaultdict, deque
from collections.abc import Callable

WINDOW_SECONDS = 60.0
ENTERPRISES_AT_ONCE = 10
REMEMBERED = 10_000
ALL = "*"


class Attempts:
    """Counts failed sign-ins of the last minute, by address and enterprise and by address alone.

    One address may fail `limit` times at one enterprise, ten times as often at all of them together.
    """

    def __init__(self, limit: int, now: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._now = now
        self._failures: dict[tuple[str, str], deque[float]] = defaultdict(deque)

    def __len__(self) -> int:
        return len(self._failures)

    def wait(self, address: str, enterprise: str) -> float:
        """Return for how many seconds this address may not try, 0.0 when it may."""
        one = self._wait(_key(address, enterprise), self._limit)
        return max(one, self._wait(_key(address, ALL), self._limit * ENTERPRISES_AT_ONCE))

    def fail(self, address: str, enterprise: str) -> None:
        if len(self._failures) > REMEMBERED:
            self._forget()
        for name in (enterprise, ALL):
            self._failures[_key(address, name)].append(self._now())

    def _wait(self, key: tuple[str, str], limit: int) -> float:
        failures = self._recent(key)
        return 0.0 if len(failures) < limit else failures[-limit] + WINDOW_SECONDS - self._now()

    def _recent(self, key: tuple[str, str]) -> deque[float]:
        failures = self._failures.get(key)
        if failures is None:
            return deque()
        while failures and failures[0] <= self._now() - WINDOW_SECONDS:
            failures.popleft()
        if not failures:
            del self._failures[key]
        return failures

    def _forget(self) -> None:
        """Drop what is older than the window; when everything is recent, the oldest half."""
        for key in list(self._failures):
            self._recent(key)
        for key in list(self._failures)[: max(0, len(self._failures) - REMEMBERED // 2)]:
            del self._failures[key]


def _key(address: str, enterprise: str) -> tuple[str, str]:
    """An IPv6 host has a whole /64 to itself: that is one address here."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address, enterprise
    network = ipaddress.ip_network((parsed, 64 if parsed.version == 6 else 32), strict=False)
    return str(network.network_address), enterprise
