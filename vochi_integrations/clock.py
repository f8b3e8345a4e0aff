"""Wall-clock time that setting the clock does not move: a call in progress must not age by an hour at once."""

import time

BEGAN = time.time() - time.monotonic()


def now() -> float:
    """Return UTC epoch seconds, counted from what the clock said when the process began."""
    return BEGAN + time.monotonic()


def set_by() -> float:
    """Return by how many seconds the system's clock has been set since the process began."""
    return time.time() - now()
