"""Click-to-call: one click is one command and one row; its repeats share it (issue: clicks within seconds).

A repeat is the same request once more: who names another line, or asks in another way, makes another call.
"""

import asyncio
import time
from functools import partial

from vochi_integrations.background import cancelled
from vochi_integrations.db import UNAVAILABLE, Database, Row
from vochi_integrations.domain import Enterprise
from vochi_integrations.errors import PbxError
from vochi_integrations.pbx.control import PbxControl
from vochi_integrations.pbx.follower import LEASE_SECONDS, Follower
from vochi_integrations.pbx.following import Click

Key = tuple[str, str, str, str]
NOTE_SECONDS = 0.3
LOOK_SECONDS = 0.05


class Clicks:
    """Has PBXs dial for managers. While PostgreSQL is away it works all the same, one daemon for itself."""

    def __init__(self, database: Database, control: PbxControl, follower: Follower) -> None:
        self._database = database
        self._control = control
        self._follower = follower
        self._settings = control.settings
        self._placed: dict[Key, asyncio.Task[None]] = {}

    async def call(self, enterprise: Enterprise, click: Click) -> None:
        """Return when the PBX has taken the command. Raises PbxError when it has not."""
        key = (enterprise.number, click.code, click.phone, click.way)
        task = self._placed.get(key)
        if task is None:
            task = asyncio.create_task(self._place(enterprise, click), name="click")
            self._placed[key] = task
            task.add_done_callback(partial(self._on_placed, key))
        await asyncio.shield(task)

    async def close(self) -> None:
        await cancelled([task for task in self._placed.values() if not task.done()])

    def _on_placed(self, key: Key, task: asyncio.Task[None]) -> None:
        """Remember a call for its repeats; one that failed may be tried again at once."""
        failed = task.cancelled() or task.exception() is not None
        pause = 0.0 if failed else self._settings.repeat_seconds
        task.get_loop().call_later(pause, self._placed.pop, key, None)

    async def _place(self, enterprise: Enterprise, click: Click) -> None:
        began = time.perf_counter()
        if not await self._is_first(click):
            await self._other_daemons(click)
            return
        try:
            await self._control.originate(enterprise, click.code, click.phone, click.external_phone)
        except PbxError as error:
            click.state, click.reason, click.message = "failed", error.reason, str(error)
            raise
        else:
            click.state = "taken"
        finally:
            click.pbx_ms = round((time.perf_counter() - began) * 1000, 1)
            self._follower.follow(click)

    async def _is_first(self, click: Click) -> bool:
        """Write the click's row, unless another daemon has one of the same manager and number just now."""
        key = (click.enterprise, click.code, click.phone)
        pause = 0.0 if self._is_other_click(click) else self._settings.repeat_seconds
        try:
            await self._fetch("release_clicks", *key, pause)
            rows = await self._fetch("begin_click", *key, click.source, click.user, click.external_phone, LEASE_SECONDS)
        except UNAVAILABLE:
            return True
        for row in rows:
            click.id, click.since = row["id"], row["since_event"]
        return bool(rows)

    def _is_other_click(self, click: Click) -> bool:
        """Tell whether the latest click of the manager on the number was ours, and another request than this."""
        key = (click.enterprise, click.code, click.phone)
        return any(other[:3] == key and other[3] != click.way for other in self._placed)

    async def _other_daemons(self, click: Click) -> None:
        """Wait for what another daemon's command for the same click brings."""
        key = (click.enterprise, click.code, click.phone)
        deadline = time.monotonic() + self._settings.command_timeout
        while time.monotonic() < deadline:
            try:
                rows = await self._fetch("guarding_click", *key)
            except UNAVAILABLE:
                break
            if rows and rows[0]["state"] == "failed":
                raise PbxError(rows[0]["reason"] or "pbx_refused", rows[0]["message"] or "the PBX refused the command")
            if rows and rows[0]["state"] != "asked":
                return
            await asyncio.sleep(LOOK_SECONDS)
        raise PbxError("pbx_timeout", "the PBX did not answer in time")

    async def _fetch(self, query: str, *args: object) -> list[Row]:
        return await self._database.fetch(query, *args, timeout=NOTE_SECONDS)
