"""Where alerts go: the log, a webhook, the operator's Telegram chat and the enterprise's own."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import aiohttp
import asyncpg
import orjson
import structlog
from msgspec import Struct

from vochi_integrations.db import UNAVAILABLE, Database
from vochi_integrations.ops.alerts import Change
from vochi_integrations.settings import Alerts

QUEUED = 200
TIMEOUT = aiohttp.ClientTimeout(total=10.0)
PAUSES = (1.0, 5.0, 30.0)
LONGEST_WAIT = 120.0
LONGEST_ANSWER = 10_000

log = structlog.get_logger()


class Message(Struct, frozen=True):
    """One request to one channel. `url` and `body` may hold a secret, `channel` never does."""

    channel: str
    url: str
    body: Mapping[str, object]


class Refusal(NamedTuple):
    """A channel did not take a message: what it said, whether for good, and for how long to wait (s)."""

    said: str
    is_final: bool = False
    wait: float = 0.0


class Teller:
    """Tells of alerts. The log is written at once; each channel gets its own in `loops`, whatever becomes of others.

    `dropped` counts what a channel was never sent, too many waiting, and what it did not take after some tries.
    """

    def __init__(self, settings: Alerts, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._queues: dict[str, asyncio.Queue[Change]] = {name: asyncio.Queue(QUEUED) for name in self._channels()}
        self.dropped: Counter[str] = Counter(dict.fromkeys(self._queues, 0))

    def _channels(self) -> list[str]:
        settings = self._settings
        wanted = {
            "webhook": bool(settings.webhook_url),
            "telegram": bool(settings.telegram_token and settings.telegram_chat),
            "enterprise": settings.tell_enterprises,
        }
        return [name for name, is_wanted in wanted.items() if is_wanted]

    def tell(self, change: Change) -> None:
        reading = change.reading
        named = {name: value for name, value in _named(change).items() if value}
        (log.error if change.firing else log.info)(
            "alert" if change.firing else "alert over", alert=True, text=reading.text, **named
        )
        for channel, queue in self._queues.items():
            try:
                queue.put_nowait(change)
            except asyncio.QueueFull:
                self.dropped[channel] += 1

    def loops(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return what sends to each channel for ever, by name."""
        return {f"teller {channel}": self._serve(channel) for channel in self._queues}

    async def _serve(self, channel: str) -> None:
        async with operator_session() as session:
            while True:
                change = await self._queues[channel].get()
                try:
                    for message in await self._messages(channel, change):
                        self.dropped[channel] += not await _send(session, message)
                except Exception:
                    log.exception("alert not sent", rule=change.reading.rule)

    async def _messages(self, channel: str, change: Change) -> list[Message]:
        settings = self._settings
        if channel == "webhook":
            return [Message(channel, settings.webhook_url.reveal(), webhook_body(change))]
        if channel == "telegram":
            return [self._telegram(channel, settings.telegram_token.reveal(), settings.telegram_chat, change)]
        return await self._of_enterprise(change)

    async def _of_enterprise(self, change: Change) -> list[Message]:
        """Return the message to the enterprise's own bot, when the alert is of one and it has a bot."""
        number = change.reading.enterprise
        if not number:
            return []
        try:
            rows = await self._database.fetch("bot_of_enterprise", number, timeout=5.0)
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            log.warning("enterprise not told", enterprise=number, error=repr(error))
            return []
        return [self._telegram("enterprise", row["bot_token"], row["chat_id"], change) for row in rows]

    def _telegram(self, channel: str, token: str, chat: str, change: Change) -> Message:
        url = f"{self._settings.telegram_api.rstrip('/')}/bot{token.strip()}/sendMessage"
        return Message(channel, url, {"chat_id": chat.strip(), "text": text_of(change)})


async def _send(session: aiohttp.ClientSession, message: Message) -> bool:
    """Try a few times; never raises and never names the address, in which Telegram wants the bot's token."""
    refusal = await _attempt(session, message)
    for pause in PAUSES:
        if refusal is None or refusal.is_final:
            break
        await asyncio.sleep(max(pause, refusal.wait))
        refusal = await _attempt(session, message)
    if refusal is not None:
        log.warning("alert not delivered", channel=message.channel, answer=refusal.said)
    return refusal is None


async def _attempt(session: aiohttp.ClientSession, message: Message) -> Refusal | None:
    """Return None when the channel took the message."""
    try:
        async with session.post(message.url, json=message.body, timeout=TIMEOUT, allow_redirects=False) as response:
            if response.status < 300:
                return None
            too_many = response.status == 429
            wait = wanted_wait(response.headers, await response.content.read(LONGEST_ANSWER)) if too_many else 0.0
            return Refusal(str(response.status), is_final=response.status < 500 and not too_many, wait=wait)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        return Refusal(type(error).__name__)


def wanted_wait(headers: Mapping[str, str], body: bytes) -> float:
    """Return for how many seconds a channel asks to be let alone, in Telegram's words or HTTP's, within bounds."""
    try:
        asked = orjson.loads(body)["parameters"]["retry_after"]
    except (ValueError, LookupError, TypeError):
        asked = headers.get("Retry-After", "")
    try:
        return min(max(0.0, float(asked)), LONGEST_WAIT)
    except (ValueError, TypeError):
        return 0.0


@asynccontextmanager
async def operator_session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session of its own: the operator's addresses may be private, an enterprise's CRM may not."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


def text_of(change: Change) -> str:
    """Return what a person reads."""
    reading = change.reading
    mark = "🔴" if change.firing else "✅ Прошло:"
    where = f"Предприятие {reading.enterprise}. " if reading.enterprise else ""
    return f"{mark} {where}{reading.text}"


def webhook_body(change: Change) -> dict[str, object]:
    return {
        **_named(change),
        "status": "firing" if change.firing else "resolved",
        "since": datetime.fromtimestamp(change.since, UTC).isoformat(timespec="seconds"),
        "repeated": change.repeated,
        "text": text_of(change),
    }


def _named(change: Change) -> dict[str, str]:
    reading = change.reading
    return {"rule": reading.rule, "enterprise": reading.enterprise, "integration": reading.integration}
