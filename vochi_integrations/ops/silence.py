"""How silent a host is, compared with the same hours of the weeks before. Pure."""

from collections.abc import Mapping

HOUR = 3600.0
HOURS = 24


def missed_events(last_at: float, now: float, usual: Mapping[int, float]) -> float | None:
    """Return how many events usually come between `last_at` and `now` (UTC epoch seconds).

    `usual` are the events of an hour by how many hours ago it began, 0 for the current one. None for a silence of a day
    or more, of which the usual hours say nothing any more.
    """
    if now - last_at >= HOURS * HOUR:
        return None
    hours = int(now // HOUR - last_at // HOUR) + 1
    return sum(usual.get(ago, 0.0) * _share(last_at, now, ago) for ago in range(hours))


def _share(last_at: float, now: float, ago: int) -> float:
    """Return what part of an hour lies within the silence."""
    begins = now - now % HOUR - ago * HOUR
    return max(0.0, min(now, begins + HOUR) - max(last_at, begins)) / HOUR
