"""Follows clicks to their end: the PBX's events as any daemon stores them, and the PBX itself when they are silent."""

import asyncio
import time
from typing import Any

import asyncpg
import structlog
from msgspec import Struct, field

from vochi_integrations.background import cancelled, wait_for
from vochi_integrations.db import UNAVAILABLE, Database
from vochi_integrations.errors import PbxError
from vochi_integrations.pbx.control import PbxControl
from vochi_integrations.pbx.diagnosis import SAYS, of_phone, why
from vochi_integrations.pbx.following import Click, hear, vanished
from vochi_integrations.pbx.news import ClickNews
from vochi_integrations.snapshot import SnapshotStore

LOOK_SECONDS = 0.25
RETRY_SECONDS = 2.0
CONFIRM_SECONDS = 2.5
AGAIN_SECONDS = 5.0
QUIET_SECONDS = 60.0
QUICK_SECONDS = 3.0
LEASE_SECONDS = 30.0
LONGEST_SECONDS = 4 * 3600.0
TIMEOUT = 2.0

log = structlog.get_logger()


class Watch(Struct):
    """A click under way. `look_at` is when the PBX is asked if nothing was heard; times are of the monotonic clock."""

    click: Click
    began_at: float = field(default_factory=time.monotonic)
    look_at: float = 0.0
    missed: int = 0
    asking: bool = False


class Follower:
    """Follows the clicks of this daemon, and takes over those of a dead one."""

    def __init__(self, database: Database, control: PbxControl, store: SnapshotStore) -> None:
        self._database = database
        self._control = control
        self._store = store
        self._watches: list[Watch] = []
        self._news = ClickNews(database)
        self._questions: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._since = 0
        self._next_since = 0
        self._renewed_at = 0.0

    def follow(self, click: Click) -> None:
        """Note what came of the command, and follow the click unless it failed."""
        click.is_closed = click.is_over
        self._news.note(click)
        self._news.log_click(click, "make_call")
        if not click.is_closed:
            self._watch(Watch(click, look_at=time.monotonic() + CONFIRM_SECONDS))
        self._wake.set()

    def note_status(self, enterprise: str, source: str, request: dict[str, object]) -> None:
        """Keep a manager's change of status in the journal of the enterprise."""
        self._news.log(enterprise, source, "user_status", request)
        self._wake.set()

    async def run(self) -> None:
        """Follow, for ever."""
        while True:
            self._look()
            try:
                await self._step()
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                log.warning("clicks not followed", error=repr(error))
                await asyncio.sleep(RETRY_SECONDS)
            if self._watches or self._news:
                await asyncio.sleep(LOOK_SECONDS)
            else:
                await wait_for(self._wake, LEASE_SECONDS)

    async def close(self) -> None:
        """Write what is known; another daemon follows what is left."""
        await cancelled(self._questions)
        try:
            await self._news.write()
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            log.warning("clicks not written", error=repr(error))

    async def _step(self) -> None:
        await self._news.write()
        await self._keep()
        if self._watches:
            await self._listen()
            await self._news.write()

    def _watch(self, watch: Watch) -> None:
        since = watch.click.since
        self._since = min(self._since, since) if self._watches else since
        self._next_since = min(self._next_since, since) if self._watches else since
        self._watches.append(watch)

    async def _keep(self) -> None:
        """Renew our leases, and adopt what a dead daemon left."""
        now = time.monotonic()
        if now - self._renewed_at < LEASE_SECONDS / 3:
            return
        ids = [watch.click.id for watch in self._watches]
        await self._database.execute("renew_clicks", ids, LEASE_SECONDS, timeout=TIMEOUT)
        for row in await self._database.fetch("adopt_clicks", LEASE_SECONDS, timeout=TIMEOUT):
            click = Click(
                enterprise=row["enterprise_number"],
                source=row["source"],
                code=row["code"],
                phone=row["phone"],
                id=row["id"],
                since=row["since_event"],
                state=row["state"],
                manager=row["manager_unique_id"] or "",
                call=row["call_unique_id"] or "",
            )
            self._watch(Watch(click, began_at=now - row["age"], look_at=now + CONFIRM_SECONDS))
        self._renewed_at = now

    async def _listen(self) -> None:
        """Read what PBXs have said; the last stretch is read twice, for events are not stored in the order of ids."""
        numbers = list({watch.click.enterprise for watch in self._watches})
        rows = await self._database.fetch("events_since", self._since, numbers, timeout=TIMEOUT)
        for row in rows:
            self._hear(row["enterprise_number"], row["event_type"], row["unique_id"], row["raw_data"])
        self._since, self._next_since = self._next_since, max((row["id"] for row in rows), default=self._next_since)

    def _hear(self, enterprise: str, kind: str, unique_id: str, body: dict[str, Any]) -> None:
        ours = [watch for watch in self._watches if watch.click.enterprise == enterprise]
        known = [watch for watch in ours if unique_id in (watch.click.manager, watch.click.call)]
        for watch in known or ours:
            if hear(watch.click, kind, unique_id, body):
                watch.look_at, watch.missed = time.monotonic() + QUIET_SECONDS, 0
                self._heard(watch)
                return

    def _heard(self, watch: Watch) -> None:
        click = watch.click
        quick = time.monotonic() - watch.began_at < QUICK_SECONDS
        if click.state == "not_lifted" and quick and not watch.asking:
            self._ask(watch)
        elif click.is_over:
            self._finish(watch)
        else:
            self._news.note(click)

    def _look(self) -> None:
        """Ask the PBX about clicks of which nothing was heard for too long."""
        now = time.monotonic()
        for watch in list(self._watches):
            if now - watch.began_at > LONGEST_SECONDS:
                vanished(watch.click)
                self._finish(watch)
            elif now >= watch.look_at and not watch.asking:
                self._ask(watch)

    def _ask(self, watch: Watch) -> None:
        watch.asking = True
        question = asyncio.create_task(self._asked(watch), name=f"click {watch.click.id}")
        self._questions.add(question)
        question.add_done_callback(self._questions.discard)

    async def _asked(self, watch: Watch) -> None:
        try:
            await self._question(watch)
        except PbxError as error:
            log.warning("click not looked at", enterprise=watch.click.enterprise, error=str(error))
            watch.look_at = time.monotonic() + QUIET_SECONDS
            if watch.click.is_over:
                self._finish(watch)
        finally:
            watch.asking = False

    async def _question(self, watch: Watch) -> None:
        click = watch.click
        enterprise = self._store.current.by_number.get(click.enterprise)
        if enterprise is None:
            self._finish(watch, "failed", "not_confirmed")
            return
        if click.state == "not_lifted":
            self._finish(watch, "failed", await why(self._control, enterprise, click.code))
            return
        channels = await self._control.channels(enterprise)
        ids = {channel.unique_id for channel in channels}
        if ids & {click.manager, click.call} or (not click.call and of_phone(channels, click.code)):
            self._is_alive(watch)
        elif click.state == "taken":
            self._finish(watch, "failed", await why(self._control, enterprise, click.code))
        else:
            self._is_gone(watch)

    def _is_alive(self, watch: Watch) -> None:
        watch.missed = 0
        watch.look_at = time.monotonic() + (QUIET_SECONDS if watch.click.call else AGAIN_SECONDS)
        if watch.click.state == "taken":
            watch.click.state = "ringing"
            self._news.note(watch.click)

    def _is_gone(self, watch: Watch) -> None:
        """Give the last events a moment: a host sends them one after the other."""
        watch.missed += 1
        watch.look_at = time.monotonic() + AGAIN_SECONDS
        if watch.missed > 1 and not watch.click.is_over:
            vanished(watch.click)
            self._finish(watch)

    def _finish(self, watch: Watch, state: str = "", reason: str | None = None) -> None:
        click = watch.click
        if watch not in self._watches:
            return
        if state == "failed":
            click.state, click.reason = "failed", reason
        said = SAYS.get(click.reason or click.state)
        click.message = said.format(code=click.code) if said else None
        click.is_closed = True
        self._watches.remove(watch)
        self._news.note(click)
        self._news.log_click(click, "make_call:outcome")
        log.info("click over", enterprise=click.enterprise, state=click.state, reason=click.reason, call=click.call)
