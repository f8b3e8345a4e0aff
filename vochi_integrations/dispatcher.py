"""The dispatcher: owns the lanes and their tasks, takes up what waits in the table."""

import asyncio
from collections.abc import Collection, Coroutine, Hashable, Iterable, Mapping
from typing import Any, get_args

import structlog

from vochi_integrations.background import cancelled, wait_for
from vochi_integrations.db import UNAVAILABLE
from vochi_integrations.domain import Delivery, DeliveryClass, Enterprise
from vochi_integrations.integrations.base import Integration
from vochi_integrations.lanes import Lane, LaneStatus
from vochi_integrations.outbox import LaneKey, Outbox
from vochi_integrations.rate import SlidingWindow
from vochi_integrations.settings import Breaker as BreakerSettings
from vochi_integrations.settings import Delivery as DeliverySettings
from vochi_integrations.snapshot import SnapshotStore

POLL_SECONDS = 1.0
CLAIMED_AT_ONCE = 500

log = structlog.get_logger()


class Dispatcher:
    """Hands deliveries to lanes; a lane lives while it has work.

    `begins` is what requests may begin: at the end no records any more, which wait in the table for the next process,
    while cards are still shown and closed; in the very end nothing.
    """

    def __init__(
        self,
        settings: DeliverySettings,
        breaker: BreakerSettings,
        outbox: Outbox,
        integrations: Mapping[str, Integration],
        store: SnapshotStore,
    ) -> None:
        self.settings = settings
        self.breaker = breaker
        self.begins: Collection[DeliveryClass] = frozenset(get_args(DeliveryClass))
        self.outbox = outbox
        self._integrations = integrations
        self._store = store
        self._lanes: dict[LaneKey, Lane] = {}
        self._windows: dict[Hashable, SlidingWindow] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._recovered: set[LaneKey] = set()
        self._busy: set[LaneKey] = set()

    @property
    def lease(self) -> tuple[str, float]:
        return self.outbox.owner, self.settings.lease

    @property
    def running(self) -> int:
        """How many requests are under way."""
        return len(self._tasks)

    @property
    def names(self) -> Collection[str]:
        """The CRMs there are."""
        return self._integrations.keys()

    def lanes(self) -> list[LaneStatus]:
        """Return every lane that has work, or something to remember."""
        return [lane.status() for lane in self._lanes.values()]

    def unwell(self) -> list[LaneStatus]:
        """Return the lanes whose CRM is not asked at the moment, or has just failed."""
        return [status for status in self.lanes() if status.failures or status.breaker != "closed"]

    def enterprise(self, number: str) -> Enterprise | None:
        return self._store.current.by_number.get(number)

    def window(self, key: LaneKey) -> SlidingWindow:
        """Return the rate limit of the account that a lane's requests count on."""
        number, name = key
        enterprise = self.enterprise(number)
        known = enterprise is not None and name in enterprise.integrations
        account = (name, self._integrations[name].account(enterprise) if enterprise is not None and known else number)
        window = self._windows.get(account)
        if window is None:
            window = self._windows[account] = SlidingWindow(self.settings.enterprise_rate)
        return window

    def admit(self, deliveries: Iterable[Delivery]) -> None:
        """Before their commit: reserve places for what can begin at once."""
        for delivery in deliveries:
            if delivery.status == "pending":
                self._lane(delivery).admit(delivery)

    def withdraw(self, deliveries: Iterable[Delivery]) -> None:
        """Nothing of this was committed."""
        for delivery in deliveries:
            self._lane(delivery).withdraw(delivery)

    def accept(self, deliveries: Iterable[Delivery]) -> None:
        """Committed: pop-ups first, then the rest."""
        committed = list(deliveries)
        work = self.outbox.holding(item for item in committed if item.status in ("pending", "sending"))
        for delivery in sorted(work, key=lambda item: item.cls == "history"):
            self._lane(delivery).accept(delivery)
        for delivery in committed:
            if delivery.kind == "popup_over" and delivery.status == "skipped":
                self._lane(delivery).close_silently(delivery)

    def _lane(self, delivery: Delivery) -> Lane:
        key = (delivery.enterprise, delivery.integration)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key, self._integrations[delivery.integration], self)
        return lane

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._on_end)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        """A bug in one delivery must not stop the others: it is logged, and the lease brings the row back."""
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("delivery crashed", exc_info=task.exception())

    def answers_again(self, key: LaneKey) -> None:
        """A lane's CRM answers after failures: what waits for it goes now."""
        self._recovered.add(key)
        self._wake.set()

    def wake(self) -> None:
        """Something may be due that was not before."""
        self._wake.set()

    def has_room(self, key: LaneKey) -> None:
        """A lane that had enough wants more."""
        if key in self._busy:
            self._wake.set()

    def on_change(self, numbers: Collection[str]) -> None:
        """Configuration has changed: what was parked may go."""
        changed = set(numbers)
        for key, lane in self._lanes.items():
            if key[0] in changed:
                lane.reset()
        self._recovered |= {(number, name) for number in changed for name in self._integrations}
        self._wake.set()

    async def poll(self) -> None:
        """Take up due deliveries that nobody holds, for ever: the backstop to every wake-up."""
        pause = 0.0
        while True:
            await wait_for(self._wake, pause)
            try:
                pause = await self._take_up()
            except UNAVAILABLE as error:
                log.warning("outbox not polled", error=repr(error))
                pause = POLL_SECONDS
            self._sweep()

    async def _take_up(self) -> float:
        if "history" not in self.begins or self.outbox.is_away:  # what came of attempts may not be in the table yet
            return POLL_SECONDS
        if self._recovered:
            await self._wake_recovered()
        busy = self._busy = {key for key, lane in self._lanes.items() if not lane.takes_more}
        claimed = await self.outbox.claim(busy, CLAIMED_AT_ONCE, self.settings.queue_limit)
        for delivery in claimed:
            self._lane(delivery).resume(delivery)
        if claimed:
            return 0.0
        due = await self.outbox.next_due_seconds(busy)
        return POLL_SECONDS if due is None else min(POLL_SECONDS, max(0.02, due))

    async def _wake_recovered(self) -> None:
        recovered, self._recovered = self._recovered, set()
        try:
            await self.outbox.settled()
            await self.outbox.wake_lanes(recovered)
        except UNAVAILABLE:
            self._recovered |= recovered
            raise

    def _sweep(self) -> None:
        for key in [key for key, lane in self._lanes.items() if lane.is_idle]:
            del self._lanes[key]
        now = asyncio.get_running_loop().time()
        used = {id(lane.window) for lane in self._lanes.values()}
        quiet = [key for key, window in self._windows.items() if id(window) not in used and window.is_quiet(now)]
        for account in quiet:
            del self._windows[account]

    async def keep_leases(self) -> None:
        """Renew what we hold, and bury what dead daemons may have shown, for ever."""
        while True:
            await asyncio.sleep(self.settings.lease / 3)
            try:
                await self.outbox.renew()
                await self.outbox.bury()
            except UNAVAILABLE as error:
                log.warning("leases not renewed", error=repr(error))

    async def finish(self, deadline: float) -> None:
        """Wait for running requests until then (loop time), and cancel the rest; their rows stay in the table."""
        now = asyncio.get_running_loop().time
        while self._tasks and now() < deadline:
            await asyncio.wait(self._tasks, timeout=deadline - now())
        self.begins = frozenset()
        await cancelled(self._tasks)
