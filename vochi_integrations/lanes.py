"""A lane is one tenant's CRM: so many requests at once, so many a second, pop-ups before history, a circuit breaker."""

import asyncio
from collections import deque
from collections.abc import Collection, Coroutine
from itertools import chain
from typing import Any, Protocol
from weakref import WeakMethod

import structlog
from msgspec import Struct
from msgspec.structs import replace

from vochi_integrations import clock
from vochi_integrations.breaker import Breaker, State
from vochi_integrations.domain import Delivery, DeliveryClass, Enterprise, Reason
from vochi_integrations.errors import AccountDeliveryError, RateLimitError, TemporaryDeliveryError
from vochi_integrations.history import Records, Upload
from vochi_integrations.integrations.base import Answer, Integration
from vochi_integrations.outbox import LaneKey
from vochi_integrations.rate import SlidingWindow, backoff
from vochi_integrations.realtime import Attempt, Screens, Surroundings, Tried
from vochi_integrations.settings import Breaker as BreakerSettings

PARKED_SECONDS = 60.0
WAITING_POPUPS = 1_000
SHORTEST_PAUSE = 0.001
PATIENT_SECONDS = 30.0

log = structlog.get_logger()


class Around(Surroundings, Protocol):
    """What a lane needs of the dispatcher."""

    breaker: BreakerSettings
    begins: Collection[DeliveryClass]

    def enterprise(self, number: str) -> Enterprise | None: ...

    def window(self, key: LaneKey) -> SlidingWindow: ...

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None: ...

    def answers_again(self, key: LaneKey) -> None: ...

    def has_room(self, key: LaneKey) -> None: ...


class LaneStatus(Struct, frozen=True, kw_only=True):
    """A lane as `/stats` shows it. `probe_in` is seconds until the CRM is asked again, None while it is closed."""

    enterprise: str
    integration: str
    breaker: str
    reason: str | None
    failures: int
    probe_in: float | None
    running: int
    waiting: int


class Lane:
    """Schedules one tenant's deliveries to one CRM. Nothing runs while nothing waits.

    One place of several, and a quarter of the rate, are kept free of history, so that a pop-up never waits for uploads.
    """

    def __init__(self, key: LaneKey, integration: Integration, around: Around) -> None:
        self._key = key
        self._batch_size = integration.batch_size
        self._around = around
        self._settings = around.settings
        self._screens = Screens(key, integration, around, WeakMethod(self._queue))
        self._records = Records(integration, around.outbox)
        self._breaker = Breaker(around.breaker)
        self.window = around.window(key)
        self._realtime: deque[Attempt] = deque()
        self._history: deque[Delivery] = deque()
        self._halves: deque[list[Delivery]] = deque()
        self._running = 0
        self._uploading = 0
        self._failures = 0
        self._failing_since = 0.0
        self._round = 0
        self._resets = 0
        self._resume_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def takes_more(self) -> bool:
        """False while more records would only wait in memory: they wait in PostgreSQL instead."""
        return len(self._history) < self._settings.queue_limit and not self._is_blocked()

    @property
    def is_idle(self) -> bool:
        """True when forgetting the lane would forget nothing."""
        waits = self._realtime or self._history or self._halves or len(self._screens)
        return not (self._running or waits or self._resume_at > self._loop.time()) and self._breaker.is_quiet

    def status(self) -> LaneStatus:
        now = self._loop.time()
        state = self._breaker.state(now)
        closed = state is State.CLOSED
        return LaneStatus(
            enterprise=self._key[0],
            integration=self._key[1],
            breaker=state,
            reason=None if closed else self._breaker.reason,
            failures=self._breaker.failures,
            probe_in=None if closed else round(max(0.0, self._breaker.until - now), 1),
            running=self._running,
            waiting=len(self._realtime) + len(self._history) + sum(map(len, self._halves)),
        )

    def reset(self) -> None:
        """The tenant's settings have changed: what failed may work now, and what is under way says nothing of it."""
        self._resets += 1
        self._round += 1
        self.window = self._around.window(self._key)
        self._breaker.reset()
        self._failures, self._resume_at = 0, 0.0

    def admit(self, delivery: Delivery) -> None:
        """Before the commit: when an attempt can begin at once, reserve its place and have the row say `sending`."""
        if not self._queue_of(delivery) and self._has_place(delivery.cls) and self._may_begin(delivery):
            delivery.status = "sending"
            self._enter(delivery.cls)

    def _queue_of(self, delivery: Delivery) -> object:
        return self._history or self._halves if delivery.cls == "history" else self._realtime

    def _may_begin(self, delivery: Delivery) -> bool:
        return not self._is_blocked() if delivery.cls == "history" else self._screens.can_begin(delivery)

    def withdraw(self, delivery: Delivery) -> None:
        """Nothing was committed: give the place back."""
        if delivery.status == "sending":
            delivery.status = "pending"
            self._leave(delivery.cls, None)
            self._pump()

    def accept(self, delivery: Delivery) -> None:
        """After the commit: begin what has its place, queue the rest."""
        has_place = delivery.status == "sending"
        if delivery.cls == "history":
            self._accept_record(delivery, has_place=has_place)
            return
        begun = has_place and delivery.kind == "popup"
        self._screens.note(delivery, begun=begun)
        attempt = self._attempt_at(delivery, begun=begun)
        if has_place:
            self._around.spawn(self._run_realtime(attempt))
        else:
            self._queue(attempt)

    def close_silently(self, delivery: Delivery) -> None:
        """Heed a closing that the CRM is not to be told of."""
        self._screens.over(delivery)

    def resume(self, delivery: Delivery) -> None:
        """Take up what another process, or this one earlier, left in the table."""
        if delivery.cls == "history":
            self._accept_record(delivery, has_place=False)
        else:
            self._screens.note(delivery, begun=False)
            self._queue(self._attempt_at(delivery))

    def _accept_record(self, delivery: Delivery, *, has_place: bool) -> None:
        if has_place:
            self._around.spawn(self._run_history([delivery]))
        elif self._is_blocked():
            self._records.postpone([delivery], self._blocked_seconds())
        elif len(self._history) >= 2 * self._settings.queue_limit:
            self._records.postpone([delivery], 0.0)
        else:
            self._history.append(delivery)
            self._pump()

    def _is_blocked(self) -> bool:
        """Tell whether records have to wait in the table. A breaker that is due for its probe takes any record."""
        now = self._loop.time()
        if self._breaker.state(now) is State.CLOSED:
            return now < self._resume_at
        return not self._breaker.allows(now)

    def _blocked_seconds(self) -> float:
        now = self._loop.time()
        closed = self._breaker.state(now) is State.CLOSED
        return max(0.0, self._resume_at - now, 0.0 if closed else self._breaker.until - now)

    def _attempt_at(self, delivery: Delivery, *, begun: bool = False) -> Attempt:
        left = (delivery.deadline_at or 0.0) - clock.now()
        return Attempt(delivery, expires=self._loop.time() + left, begun=begun)

    def _queue(self, attempt: Attempt) -> None:
        self._realtime.append(attempt)
        self._pump()

    def _pump(self) -> None:
        """Begin as much as there is place for."""
        self._drop_hopeless()
        while self._realtime and self._has_place("realtime"):
            self._enter("realtime")
            self._around.spawn(self._run_realtime(self._realtime.popleft()))
        while (self._history or self._halves) and not self._realtime and self._has_place("history"):
            self._enter("history")
            self._around.spawn(self._run_history(self._next_batch()))
        self._set_timer()

    def _drop_hopeless(self) -> None:
        """End the pop-ups that are late, too many, or must not be sent now (design decision 6)."""
        now = self._loop.time()
        if not self._breaker.allows(now):
            waiting, self._realtime = self._realtime, deque()
            for attempt in waiting:
                self._screens.drop(attempt, self._breaker.reason)
            self._put_back(self._breaker.reason)
        while len(self._realtime) > WAITING_POPUPS:
            self._screens.drop(self._realtime.popleft(), Reason.OVERLOADED)
        while self._realtime and self._realtime[0].expires <= now:
            self._screens.drop(self._realtime.popleft(), Reason.EXPIRED)

    def _next_batch(self) -> list[Delivery]:
        if self._halves:
            return self._halves.popleft()
        return [self._history.popleft() for _ in range(min(self._batch_size, len(self._history)))]

    def _set_timer(self) -> None:
        """Look again when the rate allows the next request, or the first pop-up in the queue is late."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._may_begin_later():
            return
        now, window = self._loop.time(), self.window
        rate = window.wait_seconds(now, 0 if self._realtime else window.reserve)
        moments = [rate] if rate > 0 or not self._running else []
        if self._realtime:
            moments.append(self._realtime[0].expires - now)
        if moments:
            self._timer = self._loop.call_later(max(SHORTEST_PAUSE, min(moments)), self._on_timer)

    def _may_begin_later(self) -> bool:
        begins = self._around.begins
        return bool(
            ("realtime" in begins and self._realtime) or ("history" in begins and (self._history or self._halves))
        )

    def _on_timer(self) -> None:
        self._timer = None
        self._pump()

    def _has_place(self, cls: DeliveryClass) -> bool:
        now, window = self._loop.time(), self.window
        if cls not in self._around.begins:
            return False
        if self._running >= self._settings.enterprise_concurrency or not self._breaker.allows(now):
            return False
        if cls == "realtime":
            return window.wait_seconds(now) == 0
        places = 1 if self._failures else max(1, self._settings.enterprise_concurrency - 1)
        return self._uploading < places and window.wait_seconds(now, window.reserve) == 0

    def _enter(self, cls: DeliveryClass) -> None:
        self._running += 1
        self._uploading += cls == "history"
        self._breaker.begin()
        self.window.take(self._loop.time())

    def _leave(self, cls: DeliveryClass, answer: Answer | None) -> None:
        self._running -= 1
        self._uploading -= cls == "history"
        self._judge(answer)

    def _judge(self, answer: Answer | None) -> None:
        """Tell the breaker what an answer says of the CRM."""
        now = self._loop.time()
        before = self._breaker.state(now)
        error = None if answer is None else answer.error
        if answer is None:
            self._breaker.cancel()
        elif isinstance(error, AccountDeliveryError):
            self._breaker.refuse(now, Reason(error.reason))
        elif isinstance(error, TemporaryDeliveryError):
            self._judge_failure(now, error)
        else:
            self._breaker.succeed()
            self._succeeded()
        if (after := self._breaker.state(now)) is not before:
            self._log_change(after, error)

    def _judge_failure(self, now: float, error: TemporaryDeliveryError) -> None:
        """Heed a rate limit, which is no failure: a probe that met one leaves its place to another, after the hold."""
        if isinstance(error, RateLimitError):
            self._hold(now, error.retry_after)
        if isinstance(error, RateLimitError) and error.is_certain:
            self._breaker.cancel()
        else:
            self._breaker.fail(now)

    def _hold(self, now: float, asked: float | None) -> None:
        """Let the account have nothing for as long as it asks, within bounds."""
        seconds = self._settings.retry_base if asked is None else asked
        self.window.hold(now + min(seconds, self._settings.retry_after_max))

    def _log_change(self, state: State, error: Exception | None) -> None:
        number, name = self._key
        if state is State.CLOSED:
            log.info("breaker closed", enterprise=number, integration=name)
        else:
            reason, failures = self._breaker.reason, self._breaker.failures
            log.error(
                "breaker opened",
                enterprise=number,
                integration=name,
                reason=reason,
                failures=failures,
                error=str(error),
                alert=True,
            )

    async def _run_realtime(self, attempt: Attempt) -> None:
        tried, resets = Tried(), self._resets
        try:
            if await self._around.outbox.still_held([attempt.delivery]):
                tried = await self._screens.attempt(attempt, self._around.enterprise(self._key[0]))
            else:
                self._screens.abandon(attempt)
        except Exception:
            log.exception("delivery crashed", enterprise=self._key[0], call=attempt.delivery.call)
            self._screens.crash(attempt)
        finally:
            self._leave("realtime", tried.answer if resets == self._resets else None)
            self._pump()
        if tried.pause is not None:
            again = replace(attempt, number=attempt.number + 1, begun=False)
            self._loop.call_later(tried.pause, self._queue, again)

    async def _run_history(self, batch: list[Delivery]) -> None:
        upload, round_, resets = Upload(), self._round, self._resets
        try:
            held = await self._around.outbox.still_held(batch)
            upload = await self._records.upload(held, self._around.enterprise(self._key[0])) if held else upload
        except Exception:
            log.exception("delivery crashed", enterprise=self._key[0], call=batch[0].call)
            upload = Upload(later=batch)
        finally:
            self._leave("history", upload.answer if resets == self._resets else None)
            self._halves.extend(upload.halves)
            if upload.later:
                self._back_off(upload, is_news=round_ == self._round)
            self._pump()
            if self.takes_more:
                self._around.has_room(self._key)

    def _back_off(self, upload: Upload, *, is_news: bool) -> None:
        """Pause for the outage, not for the record: all that waits here waits as long, in the table.

        Requests that began before the last pause tell nothing new and do not make it longer.
        """
        if is_news:
            self._round += 1
            self._resume_at = self._loop.time() + (PARKED_SECONDS if upload.parked else self._next_pause())
        error = upload.answer.error if upload.answer else None
        reason = upload.parked or (error.reason if error else None)
        self._records.postpone(upload.later, self._blocked_seconds(), reason, upload.answer)
        self._put_back(reason)

    def _next_pause(self) -> float:
        """Return a pause that doubles, but is no longer than a quarter of the outage so far, half a minute at least."""
        now = self._loop.time()
        self._failing_since = self._failing_since if self._failures else now
        self._failures += 1
        limit = max(PATIENT_SECONDS, (now - self._failing_since) / 4)
        return backoff(self._settings.retry_base, self._failures, min(limit, self._settings.history_retry_max))

    def _put_back(self, reason: str | None) -> None:
        """Let the records that wait here wait in the table."""
        waiting = [*self._history, *chain.from_iterable(self._halves)]
        self._records.postpone(waiting, self._blocked_seconds(), reason)
        self._history.clear()
        self._halves.clear()

    def _succeeded(self) -> None:
        if self._failures or self._resume_at > self._loop.time():
            self._failures, self._resume_at = 0, 0.0
            self._around.answers_again(self._key)
