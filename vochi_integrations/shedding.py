"""How long an event may have waited to be stored still: a burst may wait, a queue that does not get shorter may not.

After "Controlling Queue Delay" (RFC 8289): a queue that absorbs a burst is good, one that stands is only delay. Pure.
A host waits 3 s for its answer and sends nothing else meanwhile (facts: asterisk_hosts §1.1).
"""

LONGEST_WAIT = 1.5
SHORT_WAIT = 0.3
PATIENCE = 1.5


class Shedding:
    """Told of every batch before it is stored. All times are seconds."""

    def __init__(self) -> None:
        self._long_since: float | None = None
        self._strict_until = 0.0

    def limit(self, now: float, waited: float) -> float:
        """Return the longest wait that is stored, when the oldest event of a batch has `waited` so long.

        When waits have been longer than `SHORT_WAIT` for `PATIENCE`, more comes than can be stored, and until it has
        been well for as long none is to wait longer than that.
        """
        if waited <= SHORT_WAIT:
            self._long_since = None
        elif self._long_since is None:
            self._long_since = now
        if self._long_since is not None and (now < self._strict_until or now - self._long_since > PATIENCE):
            self._strict_until = now + PATIENCE
        return SHORT_WAIT if now < self._strict_until else LONGEST_WAIT
