"""One account of the emulated CRM: its people, its module, and everything it was sent."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from vochi_integrations.emulators.retailcrm.module import telephony_of
from vochi_integrations.emulators.retailcrm.people import CUSTOMERS, STAFF, Customer, User, digits
from vochi_integrations.emulators.retailcrm.screens import Screens
from vochi_integrations.emulators.retailcrm.switches import Fault, Switches

KEPT = 50_000
REQUESTS_PER_SECOND = 10
TELEPHONY_PER_SECOND = 40
SCOPES = (
    "customer_read",
    "integration_read",
    "integration_write",
    "telephony_read",
    "telephony_write",
    "user_read",
    "user_write",
)


class Request(msgspec.Struct, gc=False):
    """When its handler was entered, by `time.time` and `time.perf_counter`; status 0 means no answer, or none yet."""

    at: float
    tick: float
    account: str | None
    method: str
    path: str
    status: int = 0


class Event(msgspec.Struct, frozen=True):
    at: float
    tick: float
    event: dict[str, Any]


class Call(msgspec.Struct):
    """A call of the history; `uploads` counts how often it came, `changed` how often with other content than first."""

    id: int
    at: float
    tick: float
    call: dict[str, Any]
    uploads: int = 1
    changed: int = 0

    def repeat(self, call: Mapping[str, Any]) -> None:
        self.uploads += 1
        self.changed += call != self.call


class Totals(msgspec.Struct):
    """Exact counts, also of what is no longer kept."""

    requests: int = 0
    refused: int = 0
    limited: int = 0
    events: int = 0
    uploads: int = 0
    calls: int = 0
    duplicates: int = 0


class Window:
    """At most `limit` requests in any one second."""

    def __init__(self, limit: int) -> None:
        self.ticks: deque[float] = deque(maxlen=limit)

    def admits(self, tick: float) -> bool:
        if len(self.ticks) == self.ticks.maxlen and tick - self.ticks[0] < 1:
            return False
        self.ticks.append(tick)
        return True


class Account:
    """Made with what a test wants to differ; read and changed freely while the emulator runs."""

    def __init__(
        self,
        api_key: str = "demo-key",
        name: str = "demo",
        *,
        users: Iterable[User] = STAFF,
        customers: Iterable[Customer] = CUSTOMERS,
        sites: Iterable[str] = ("shop",),
        scopes: Iterable[str] = SCOPES,
    ) -> None:
        self.api_key = api_key
        self.name = name
        self.users = {user.id: user for user in users}
        self.customers = {digits(customer.phone): customer for customer in customers}
        self.sites = tuple(sites)
        self.scopes = frozenset(scopes)
        self.modules: dict[str, dict[str, Any]] = {}
        self.codes: dict[str, int] = {}
        self.is_telephony_enabled = False
        self.switches = Switches()
        self.switched_at = 0.0
        self.listeners: set[asyncio.Event] = set()
        self.clear()

    def clear(self) -> None:
        """Forget what was received; modules, users and switches stay."""
        self.requests: deque[Request] = deque()
        self.events: deque[Event] = deque(maxlen=KEPT)
        # Never shortened: a call forgotten would be stored again, and a doubled upload not be noticed.
        self.calls: dict[str, Call] = {}
        self.screens = Screens()
        self.dialled_at: dict[str, float] = {}
        self.totals = Totals()
        self.telephony_window = Window(TELEPHONY_PER_SECOND)
        self.window = Window(REQUESTS_PER_SECOND)
        self.tell()

    def tell(self) -> None:
        """Wake the pages that show this account."""
        for wake in self.listeners:
            wake.set()

    def note_dial(self, call_id: str, at: float) -> None:
        """Learn when the PBX sent a dial (`time.time`), which no CRM knows, to show how long its pop-up took."""
        self.dialled_at[call_id] = at
        if len(self.dialled_at) > KEPT:
            del self.dialled_at[next(iter(self.dialled_at))]

    def switch(self, changes: Mapping[str, object]) -> None:
        self.switches = self.switches.changed(changes)
        self.switched_at = time.perf_counter()
        self.tell()

    def fault(self) -> Fault | None:
        return self.switches.fault_after(time.perf_counter() - self.switched_at)

    def admits(self, tick: float, *, is_telephony: bool) -> bool:
        """Whether a request at this tick is within the rate limit (facts: retailcrm_api §1)."""
        if not self.switches.rate_limit:
            return True
        return (self.telephony_window if is_telephony else self.window).admits(tick)

    def put_module(self, code: str, module: dict[str, Any]) -> None:
        self.modules[code] = module
        telephony = [found for module in self.modules.values() if (found := telephony_of(module)) is not None]
        self.is_telephony_enabled = bool(telephony)
        self.codes = {row["code"]: row["userId"] for part in telephony for row in part.get("additionalCodes", [])}
        self.tell()

    def receive(self, event: Event) -> None:
        self.events.append(event)
        self.totals.events += 1
        self.screens.show(event.event, self.called(event.event), event.at)
        self.screens.note_delay(event.event, self.dialled_at)
        self.tell()

    def called(self, event: Mapping[str, Any]) -> set[int]:
        """The users an event is for, by extension or by id, as far as the account knows them."""
        coded = (self.codes[code] for code in event.get("codes", ()) if code in self.codes)
        return {*coded, *(user_id for user_id in event.get("userIds", ()) if user_id in self.users)}

    def store(self, call: dict[str, Any], at: float, tick: float) -> bool:
        """Keep a call unless its externalId is known already; say whether it was new."""
        known = self.calls.get(call["externalId"])
        if known:
            known.repeat(call)
            self.totals.duplicates += 1
        else:
            self.totals.calls += 1
            self.calls[call["externalId"]] = Call(self.totals.calls, at, tick, call)
        self.tell()
        return known is None

    def manager_of(self, call: Mapping[str, Any]) -> User | None:
        return self.users.get(call.get("userId") or self.codes.get(call.get("code", ""), 0))

    def code_of(self, user_id: int) -> str | None:
        return next((code for code, owner in self.codes.items() if owner == user_id), None)

    def telephony(self) -> dict[str, Any] | None:
        """The first active module that has telephony, as it was registered."""
        return next((module for module in self.modules.values() if telephony_of(module) is not None), None)
