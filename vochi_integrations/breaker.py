"""The circuit breaker of one tenant's CRM: asks one that fails no more but for a probe (design decision 6). Pure.

Times are seconds of any monotonic clock. Outcomes are counted, not timed, so it works for a tenant with one call a day.
"""

from collections import deque
from enum import StrEnum

from vochi_integrations.domain import Reason
from vochi_integrations.settings import Breaker as BreakerSettings


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens on consecutive failures, on a ratio of failures among the latest requests, or at once on a refused account.

    `reason` says why requests are held back; `until` is when the next probe may go.
    """

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._latest: deque[bool] = deque(maxlen=settings.window)
        self._is_open = False
        self._probing = False
        self.failures = 0
        self.reason = Reason.BREAKER_OPEN
        self.until = 0.0

    def state(self, now: float) -> State:
        if not self._is_open:
            return State.CLOSED
        return State.HALF_OPEN if now >= self.until else State.OPEN

    def allows(self, now: float) -> bool:
        """Tell whether a request may begin: any while closed, one probe while half open."""
        return not self._is_open or (now >= self.until and not self._probing)

    @property
    def is_quiet(self) -> bool:
        """True when forgetting this breaker would forget nothing."""
        return not self._is_open and not self.failures and all(self._latest)

    def begin(self) -> None:
        """A request that was allowed begins."""
        self._probing = self._is_open

    def cancel(self) -> None:
        """What had begun made no request after all."""
        self._probing = False

    def succeed(self) -> None:
        """The CRM answered as one that works: a success, or a refusal of this one request."""
        self._latest.append(True)
        self.failures = 0
        self._is_open = self._probing = False

    def fail(self, now: float) -> None:
        """No answer, or none that makes sense."""
        self._latest.append(False)
        self.failures += 1
        if self._is_open:
            if self._probing:
                self._open(now, self.reason)
        elif self.failures >= self._settings.failures or self._fails_too_often():
            self._open(now, Reason.BREAKER_OPEN)

    def refuse(self, now: float, reason: Reason) -> None:
        """The CRM refuses the account as a whole: only its administrator can change that."""
        self.failures += 1
        self._open(now, reason)

    def reset(self) -> None:
        """The account's settings have changed: begin anew."""
        self._latest.clear()
        self.failures = 0
        self._is_open = self._probing = False

    def _fails_too_often(self) -> bool:
        full = len(self._latest) == self._latest.maxlen
        return full and self._latest.count(False) >= self._settings.failure_ratio * len(self._latest)

    def _open(self, now: float, reason: Reason) -> None:
        refused = reason is not Reason.BREAKER_OPEN
        self._is_open, self._probing, self.reason = True, False, reason
        self.until = now + (self._settings.refused_seconds if refused else self._settings.open_seconds)
        self._latest.clear()
