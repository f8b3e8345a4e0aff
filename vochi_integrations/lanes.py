"""A lane is one tenant's CRM: so many requests at once, so many a second, pop-ups before history."""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol

from msgspec.structs import replace

from vochi_integrations.domain import Delivery, DeliveryClass, Enterprise
from vochi_integrations.history import Records
from vochi_integrations.integrations.base import Integration
from vochi_integrations.outbox import LaneKey
from vochi_integrations.rate import RECORD_PAUSE_LIMIT, SlidingWindow, backoff
from vochi_integrations.realtime import Attempt, Screens, Surroundings

KEPT_RECORDS = 200


class Around(Surroundings, Protocol):
    """What a lane needs of the dispatcher."""

    def enterprise(self, number: str) -> Enterprise | None: ...

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None: ...

    def answers_again(self, key: LaneKey) -> None: ...


class Lane:
    """Schedules one tenant's deliveries to one CRM. Nothing runs while nothing waits.

    One place of several is kept free of history, so that a pop-up never waits for a slow upload.
    """

    def __init__(self, key: LaneKey, integration: Integration, around: Around) -> None:
        self._key = key
        self._batch_size = integration.batch_size
        self._around = around
        self._screens = Screens(key, integration, around, self._queue)
        self._records = Records(integration, around.outbox)
        self._limit = around.settings.enterprise_concurrency
        self._window = SlidingWindow(around.settings.enterprise_rate)
        self._realtime: deque[Attempt] = deque()
        self._history: deque[Delivery] = deque()
        self._running = 0
        self._uploading = 0
        self._failures = 0
        self._resume_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def is_full(self) -> bool:
        """True when more records would only wait in memory; they wait in PostgreSQL instead."""
        return len(self._history) >= KEPT_RECORDS

    @property
    def is_idle(self) -> bool:
        return not (self._running or self._realtime or self._history or self._failures or len(self._screens))

    def admit(self, delivery: Delivery) -> None:
        """Before the commit: when an attempt can begin at once, reserve its place and have the row say `sending`."""
        waiting = self._history if delivery.cls == "history" else self._realtime
        if not waiting and self._has_place(delivery.cls) and self._may_begin(delivery):
            delivery.status = "sending"
            self._enter(delivery.cls)

    def _may_begin(self, delivery: Delivery) -> bool:
        if delivery.cls == "history":
            return self._loop.time() >= self._resume_at
        return self._screens.can_begin(delivery)

    def withdraw(self, delivery: Delivery) -> None:
        """Nothing was committed: give the place back."""
        if delivery.status == "sending":
            delivery.status = "pending"
            self._leave(delivery.cls)

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

    def resume(self, delivery: Delivery) -> None:
        """Take up what another process, or this one earlier, left in the table."""
        if delivery.cls == "history":
            self._accept_record(delivery, has_place=False)
        else:
            self._queue(self._attempt_at(delivery))

    def _accept_record(self, delivery: Delivery, *, has_place: bool) -> None:
        if has_place:
            self._around.spawn(self._run_history([delivery]))
        elif self._loop.time() < self._resume_at:
            self._records.postpone([delivery], self._resume_at - self._loop.time())
        else:
            self._history.append(delivery)
            self._pump()

    def _attempt_at(self, delivery: Delivery, *, begun: bool = False) -> Attempt:
        left = (delivery.deadline_at or 0.0) - time.time()
        return Attempt(delivery, expires=self._loop.time() + left, begun=begun)

    def _queue(self, attempt: Attempt) -> None:
        self._realtime.append(attempt)
        self._pump()

    def _pump(self) -> None:
        """Begin as much as there is place for."""
        while self._realtime and self._has_place("realtime"):
            self._enter("realtime")
            self._around.spawn(self._run_realtime(self._realtime.popleft()))
        while self._history and not self._realtime and self._has_place("history"):
            self._enter("history")
            size = min(self._batch_size, len(self._history))
            self._around.spawn(self._run_history([self._history.popleft() for _ in range(size)]))
        if (self._realtime or self._history) and self._timer is None:
            pause = self._window.wait_seconds(self._loop.time())
            if pause > 0:
                self._timer = self._loop.call_later(pause, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._pump()

    def _has_place(self, cls: DeliveryClass) -> bool:
        if self._running >= self._limit or self._window.wait_seconds(self._loop.time()) > 0:
            return False
        return cls == "realtime" or self._uploading < max(1, self._limit - 1)

    def _enter(self, cls: DeliveryClass) -> None:
        self._running += 1
        self._uploading += cls == "history"
        self._window.take(self._loop.time())

    def _leave(self, cls: DeliveryClass) -> None:
        self._running -= 1
        self._uploading -= cls == "history"
        self._pump()

    async def _run_realtime(self, attempt: Attempt) -> None:
        pause = None
        try:
            pause = await self._screens.attempt(attempt, self._around.enterprise(self._key[0]))
        finally:
            self._leave("realtime")
        if pause is not None:
            again = replace(attempt, number=attempt.number + 1, begun=False)
            self._loop.call_later(pause, self._queue, again)
        elif attempt.delivery.status == "done":
            self._succeeded()

    async def _run_history(self, batch: list[Delivery]) -> None:
        try:
            failed = await self._records.upload(batch, self._around.enterprise(self._key[0]))
        finally:
            self._leave("history")
        if failed:
            self._back_off(failed)
        elif any(delivery.status == "done" for delivery in batch):
            self._succeeded()

    def _back_off(self, failed: list[Delivery]) -> None:
        """Pause for the outage, not for the record: all that waits here waits as long, in the table."""
        self._failures += 1
        pause = backoff(self._around.settings.retry_base, self._failures, RECORD_PAUSE_LIMIT)
        self._resume_at = self._loop.time() + pause
        self._records.postpone([*failed, *self._history], pause)
        self._history.clear()

    def _succeeded(self) -> None:
        if self._failures:
            self._failures, self._resume_at = 0, 0.0
            self._around.answers_again(self._key)
