"""The emulated CRM as a whole: its accounts, its memory of requests, its switches."""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress

from aiohttp import web

from vochi_integrations.emulators.retailcrm.account import KEPT, Account, Request
from vochi_integrations.emulators.retailcrm.switches import Fault, Switches

HANG_CHECK = 0.5


class Crm:
    """The state behind the application; tests in the same process read and change it through `app[CRM]`."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        kept = list(accounts)
        self.accounts = {account.api_key: account for account in kept}
        self.named = {account.name: account for account in kept}
        if not len(self.accounts) == len(self.named) == len(kept):
            raise ValueError("two accounts share a name or an API key")
        self.requests: deque[Request] = deque()
        self.stranger = Account("", "")
        self.changed = asyncio.Event()
        self.stopping = asyncio.Event()

    def switch(self, account: str | None = None, **changes: object) -> None:
        """Change switches of one account, or of all; `KeyError` or `msgspec.ValidationError` names the mistake."""
        self.switch_all([self.named[account]] if account is not None else self.everyone(), changes)

    def everyone(self) -> list[Account]:
        return [*self.accounts.values(), self.stranger]

    def switch_all(self, accounts: Iterable[Account], changes: Mapping[str, object]) -> None:
        for account in accounts:
            account.switch(changes)
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    @property
    def switches(self) -> Switches:
        """What was last set for all, and holds for requests that name no known account."""
        return self.stranger.switches

    def keep(self, request: Request, account: Account) -> None:
        """Remember a request, and forget the oldest when there are too many."""
        if len(self.requests) >= KEPT:
            oldest = self.requests.popleft()
            kept = self.named.get(oldest.account or "", self.stranger).requests
            # An account may have been cleared on its own.
            if kept and kept[0] is oldest:
                kept.popleft()
        self.requests.append(request)
        account.requests.append(request)
        account.totals.requests += 1

    def clear(self, account: str | None = None) -> None:
        """Forget what one account received, or all of them."""
        for cleared in [self.named[account]] if account is not None else self.everyone():
            cleared.clear()
        self.requests = deque(request for request in self.requests if account not in (None, request.account))

    async def pause(self, seconds: float) -> None:
        """Sleep, but not through a shutdown."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()

    async def hold(self, account: Account, request: web.Request, fault: Fault) -> bool:
        """Wait until the fault is released; false when nobody waits for the answer any more."""
        while account.switches.fault is fault and not self.stopping.is_set() and is_waiting(request):
            with suppress(TimeoutError):
                async with asyncio.timeout(HANG_CHECK):
                    await self.changed.wait()
        return is_waiting(request) and not self.stopping.is_set()

    def stop(self) -> None:
        self.stopping.set()
        self.changed.set()
        for account in self.everyone():
            account.tell()


def is_waiting(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


CRM: web.AppKey[Crm] = web.AppKey("crm", Crm)
