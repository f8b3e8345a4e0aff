"""What the daemon counts while it works: plain numbers, read by `/metrics` and the alerts. Pure.

An update is a dictionary's or a list's element: the event path pays next to nothing for being measured.
"""

from bisect import bisect_left
from collections import Counter, defaultdict

from msgspec import Struct, field

# Seconds. From a quick acceptance to a record that waited out an outage of an hour.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


class Distribution:
    """How often a value of seconds fell between two of `BOUNDS`, and the sum of all."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Return the buckets as Prometheus has them: how many were at most each bound, `+Inf` last."""
        names = [*map(str, BOUNDS), "+Inf"]
        sums, so_far = [], 0
        for count in self.counts:
            so_far += count
            sums.append(float(so_far))
        return list(zip(names, sums, strict=True))


class Hour(Struct):
    """What one enterprise's host has sent since it was last written down. `last_at` is UTC epoch seconds."""

    events: int = 0
    last_at: float = 0.0


class Figures(Struct):
    """Counters by bounded labels; only `heard` is by enterprise, and is emptied when it is written down.

    `events` by (kind, reason), `accepted` how long they took, `refused` by HTTP status, `deliveries` by (integration,
    kind, status, reason), `attempts` by (integration, kind, outcome), `latency` by class, `answers` by (integration,
    kind).
    """

    events: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    accepted: Distribution = field(default_factory=Distribution)
    refused: Counter[int] = field(default_factory=Counter)
    deliveries: Counter[tuple[str, str, str, str | None]] = field(default_factory=Counter)
    attempts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    latency: defaultdict[str, Distribution] = field(default_factory=lambda: defaultdict(Distribution))
    answers: defaultdict[tuple[str, str], Distribution] = field(default_factory=lambda: defaultdict(Distribution))
    heard: defaultdict[str, Hour] = field(default_factory=lambda: defaultdict(Hour))
