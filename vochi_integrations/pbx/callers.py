"""What the CRMs know of callers, kept for the next call: a small lane of its own for each tenant's CRM.

The other requests to a CRM, and what hangs among them, have lanes of their own (`lanes.py`); only the account's rate
is shared with them.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from vochi_integrations.background import Errands
from vochi_integrations.breaker import Breaker
from vochi_integrations.domain import Enterprise, Reason
from vochi_integrations.errors import AccountDeliveryError, DeliveryError, PermanentDeliveryError
from vochi_integrations.integrations.base import Caller, Inquiry, Integration, config_of
from vochi_integrations.rate import SlidingWindow
from vochi_integrations.settings import Breaker as BreakerSettings

FRESH_SECONDS = 60.0
FAILED_SECONDS = 5.0
REMEMBERED = 20_000
LANES = 2_000
PLACES = 4
WAITING = 16
RATE_SECONDS = 0.5

Key = tuple[str, str, Hashable, str]
LaneKey = tuple[str, str]
Windows = Callable[[LaneKey], SlidingWindow]


class Known(Struct):
    """What is known of one number. Times are monotonic seconds; `asking` is the request under way."""

    caller: Caller | None = None
    asked_at: float = -math.inf
    failed_at: float = -math.inf
    error: str = ""
    asking: "asyncio.Task[None] | None" = None

    @property
    def is_usable(self) -> bool:
        """True when this answers a call at once; what is older does only while the CRM says nothing."""
        return self.caller is not None and time.monotonic() - self.asked_at < FRESH_SECONDS


class Lane:
    """So many inquiries of one tenant's CRM at once, and none for a moment when it keeps failing."""

    def __init__(self, breaker: BreakerSettings) -> None:
        self.places = asyncio.Semaphore(PLACES)
        self.waiting = 0
        self.breaker = Breaker(replace(breaker, open_seconds=FAILED_SECONDS, refused_seconds=FAILED_SECONDS))

    def takes(self, now: float) -> bool:
        return self.waiting < WAITING and self.breaker.allows(now)


class Callers:
    """Asks CRMs who a caller is: at most once a minute for a number."""

    def __init__(self, integrations: Mapping[str, Integration], breaker: BreakerSettings, windows: Windows) -> None:
        self._integrations = integrations
        self._breaker = breaker
        self._windows = windows
        self._known: OrderedDict[Key, Known] = OrderedDict()
        self._lanes: OrderedDict[LaneKey, Lane] = OrderedDict()
        self._errands = Errands()

    def __len__(self) -> int:
        return len(self._known)

    async def close(self) -> None:
        await self._errands.close()

    def integration(self, name: str, enterprise: Enterprise) -> Integration | None:
        """Return a CRM that the tenant has switched on and set up."""
        config = config_of(enterprise, name)
        usable = config is not None and config.enabled and not config.problem
        return self._integrations.get(name) if usable else None

    def ask(self, integration: Integration, enterprise: Enterprise, phone: str, trunk: str) -> Known:
        """Return what is known of a number now, and begin to ask when that is old (`asking`)."""
        phone = integration.phone_of(enterprise, phone, trunk)
        known = self._remembered((enterprise.number, integration.name, integration.account(enterprise), phone))
        now = time.monotonic()
        is_due = now - known.asked_at >= FRESH_SECONDS and now - known.failed_at >= FAILED_SECONDS
        if known.asking is None and is_due:
            lane = self._lane((enterprise.number, integration.name))
            if lane.takes(now):
                inquiry = self._ask(lane, known, integration, enterprise, phone)
                known.asking = self._errands.start(inquiry, "caller")
            else:
                known.error = known.error or lane.breaker.reason
        return known

    def _remembered(self, key: Key) -> Known:
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = Known()
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return known

    def _lane(self, key: LaneKey) -> Lane:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(self._breaker)
            if len(self._lanes) > LANES:
                self._lanes.popitem(last=False)
        self._lanes.move_to_end(key)
        return lane

    async def _ask(
        self, lane: Lane, known: Known, integration: Integration, enterprise: Enterprise, phone: str
    ) -> None:
        lane.waiting += 1
        known.error = Reason.CRASHED
        try:
            async with lane.places:
                inquiry = await self._inquiry(lane, integration, enterprise, phone)
            self._note(known, inquiry)
        finally:
            lane.waiting -= 1
            known.asking = None
            if known.error:
                known.failed_at = time.monotonic()

    async def _inquiry(self, lane: Lane, integration: Integration, enterprise: Enterprise, phone: str) -> Inquiry:
        window = self._windows((enterprise.number, integration.name))
        deadline = time.monotonic() + RATE_SECONDS
        while (pause := window.wait_seconds(asyncio.get_running_loop().time())) > 0:
            if time.monotonic() + pause > deadline:
                return Inquiry(error=DeliveryError(Reason.OVERLOADED, "the account's rate is used up"))
            await asyncio.sleep(pause)
        if not lane.breaker.allows(time.monotonic()):
            return Inquiry(error=DeliveryError(lane.breaker.reason, "the CRM does not answer"))
        window.take(asyncio.get_running_loop().time())
        lane.breaker.begin()
        inquiry = Inquiry(error=DeliveryError(Reason.CRASHED, ""))
        try:
            inquiry = await integration.ask(phone, enterprise)
        finally:
            _judge(lane.breaker, inquiry.error)
        return inquiry

    def _note(self, known: Known, inquiry: Inquiry) -> None:
        if inquiry.error is not None:
            known.error = inquiry.error.reason
            return
        known.caller, known.asked_at, known.error = inquiry.caller, time.monotonic(), ""


def _judge(breaker: Breaker, error: DeliveryError | None) -> None:
    """Tell the breaker what an answer says of the CRM."""
    now = time.monotonic()
    if error is None or isinstance(error, PermanentDeliveryError):
        breaker.succeed()
    elif isinstance(error, AccountDeliveryError):
        breaker.refuse(now, Reason(error.reason))
    else:
        breaker.fail(now)
