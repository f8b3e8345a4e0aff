"""Requests that are no calls: at the pace the CRM allows an account, failures raised (facts: retailcrm_api §1)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any, cast

from msgspec import Struct

from vochi_integrations.domain import Reason
from vochi_integrations.errors import PermanentDeliveryError, RateLimitError
from vochi_integrations.integrations.retailcrm.client import Reply, RetailCrmClient
from vochi_integrations.integrations.retailcrm.config import RetailCrmConfig
from vochi_integrations.rate import SlidingWindow

REQUESTS_PER_SECOND = 10.0
ATTEMPTS = 3
PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 5.0


class Heard(Struct, frozen=True):
    """A success: the CRM's JSON object, and the request it answers."""

    answer: Mapping[str, Any]
    reply: Reply


class PacedClient:
    """Asks an account at most ten times a second; one that says it is too much is asked again after a pause."""

    def __init__(self, client: RetailCrmClient) -> None:
        self._client = client
        self._windows: dict[Hashable, SlidingWindow] = {}

    async def get(self, config: RetailCrmConfig, path: str, query: Mapping[str, str] | None = None) -> Heard:
        """Read. Raises DeliveryError."""
        return await self._ask(config, lambda: self._client.get(config, path, query or {}))

    async def post(self, config: RetailCrmConfig, path: str, field: str, value: object) -> Heard:
        """Write one composite field, as often as it takes: only for what may be repeated. Raises DeliveryError."""
        return await self._ask(config, lambda: self._client.post(config, path, field, value))

    async def _ask(self, config: RetailCrmConfig, request: Callable[[], Awaitable[Reply]]) -> Heard:
        if config.problem:
            raise PermanentDeliveryError(Reason.NOT_CONFIGURED, config.problem)
        window = self._window(config)
        for attempt in range(1, ATTEMPTS + 1):
            await _turn(window)
            reply = await request()
            if not isinstance(reply.error, RateLimitError) or attempt == ATTEMPTS:
                break
            window.hold(time.monotonic() + min(reply.error.retry_after or PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))
        if reply.error is not None:
            raise reply.error
        return Heard(cast("Mapping[str, Any]", reply.answer), reply)

    def _window(self, config: RetailCrmConfig) -> SlidingWindow:
        """Return the account's window; those that remember nothing are dropped."""
        now = time.monotonic()
        self._windows = {key: window for key, window in self._windows.items() if not window.is_quiet(now)}
        return self._windows.setdefault((config.url, config.api_key), SlidingWindow(REQUESTS_PER_SECOND))


async def _turn(window: SlidingWindow) -> None:
    """Wait for a place among the account's requests, and take it."""
    while (wait := window.wait_seconds(time.monotonic())) > 0:  # noqa: ASYNC110 - time, not an event
        await asyncio.sleep(wait)
    window.take(time.monotonic())
