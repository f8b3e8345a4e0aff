"""Where alerts go: the log, a webhook, the operator's Telegram chat and the enterprise's own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import asyncpg
import structlog
from msgspec import Struct

from vochi_integrations.db import UNAVAILABLE, Database
from vochi_integrations.ops.alerts import Change
from vochi_integrations.settings import Alerts

QUEUED = 200
TIMEOUT = aiohttp.ClientTimeout(total=10.0)
PAUSES = (1.0, 5.0, 30.0)

log = structlog.get_logger()


class Message(Struct, frozen=True):
    """One request to one channel. `url` and `body` may hold a secret, `channel` never does."""

    channel: str
    url: str
    body: Mapping[str, object]


class Teller:
    """Tells of alerts. The log is written at once; the others get theirs from `run`, each tried a few times."""

    def __init__(self, settings: Alerts, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._queue: asyncio.Queue[Change] = asyncio.Queue(QUEUED)
        self.dropped = 0

    def tell(self, change: Change) -> None:
        reading = change.reading
        named = {name: value for name, value in _named(change).items() if value}
        (log.error if change.firing else log.info)(
            "alert" if change.firing else "alert over", alert=True, text=reading.text, **named
        )
        try:
            self._queue.put_nowait(change)
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Send what was told, for ever."""
        async with operator_session() as session:
            while True:
                change = await self._queue.get()
                try:
                    await self._send_all(session, change)
                except Exception:
                    log.exception("alert not sent", rule=change.reading.rule)

    async def _send_all(self, session: aiohttp.ClientSession, change: Change) -> None:
        messages = [*self._of_operator(change), *await self._of_enterprise(change)]
        await asyncio.gather(*(_send(session, message) for message in messages))

    def _of_operator(self, change: Change) -> list[Message]:
        settings, found = self._settings, []
        if settings.webhook_url:
            found.append(Message("webhook", settings.webhook_url.reveal(), webhook_body(change)))
        if settings.telegram_token and settings.telegram_chat:
            found.append(self._telegram("telegram", settings.telegram_token.reveal(), settings.telegram_chat, change))
        return found

    async def _of_enterprise(self, change: Change) -> list[Message]:
        """Return the message to the enterprise's own bot, when it is to hear of its alerts and has one."""
        number = change.reading.enterprise
        if not self._settings.tell_enterprises or not number:
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


async def _send(session: aiohttp.ClientSession, message: Message) -> None:
    """Try a few times; never raises and never names the address, in which Telegram wants the bot's token."""
    for pause in (*PAUSES, None):
        said = await _attempt(session, message)
        if said is None:
            return
        if pause is None or said.startswith("4"):
            log.warning("alert not delivered", channel=message.channel, answer=said)
            return
        await asyncio.sleep(pause)


async def _attempt(session: aiohttp.ClientSession, message: Message) -> str | None:
    """Return None when the channel took the message, else what it said."""
    try:
        async with session.post(message.url, json=message.body, timeout=TIMEOUT, allow_redirects=False) as response:
            return None if response.status < 300 else str(response.status)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        return type(error).__name__


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
