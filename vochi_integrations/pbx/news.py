"""What is to be written of clicks: their rows, and the journal of the enterprise. Kept until PostgreSQL takes it."""

import asyncio
from typing import Any

from vochi_integrations import clock
from vochi_integrations.db import Database
from vochi_integrations.events import canonical
from vochi_integrations.pbx.following import Click

TIMEOUT = 2.0
LINES_KEPT = 10_000


class ClickNews:
    """Collects and writes. While it waits, a click's later state takes the place of an earlier one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._states: dict[int, Click] = {}
        self._logs: list[dict[str, Any]] = []
        self._writing = asyncio.Lock()

    def __bool__(self) -> bool:
        return bool(self._states or self._logs)

    def note(self, click: Click) -> None:
        """Write a click's state; one without a row has none to write to."""
        if click.id:
            self._states[click.id] = click

    def log(self, enterprise: str, source: str, event_type: str, request: dict[str, Any], **more: object) -> None:
        """Write a line of `integration_logs`; too many waiting are dropped."""
        if len(self._logs) >= LINES_KEPT:
            return
        line = {"created_at": clock.now(), "enterprise": enterprise, "integration": source, "status": "success"}
        self._logs.append(line | {"event_type": event_type, "request": request} | more)

    def log_click(self, click: Click, event_type: str) -> None:
        failed = click.state == "failed"
        request = {
            "code": click.code,
            "phone": click.phone,
            "userId": click.user or None,
            "externalPhone": click.external_phone or None,
        }
        self.log(
            click.enterprise,
            click.source,
            event_type,
            request,
            response={"state": click.state, "reason": click.reason, "pbx_ms": click.pbx_ms},
            status="error" if failed else "success",
            error=(click.message or click.reason) if failed else None,
            call=click.call or None,
        )

    async def write(self) -> None:
        """Raises what PostgreSQL raises when it is away."""
        async with self._writing:
            if self._states:
                await self._write_states()
            if self._logs:
                logs = self._logs[:]
                await self._database.execute("write_logs", canonical(logs), timeout=TIMEOUT)
                del self._logs[: len(logs)]

    async def _write_states(self) -> None:
        rows = [_row(click) for click in self._states.values()]
        await self._database.execute("settle_clicks", canonical(rows), timeout=TIMEOUT)
        for row in rows:
            if _row(self._states[row["id"]]) == row:
                del self._states[row["id"]]


def _row(click: Click) -> dict[str, Any]:
    return {
        "id": click.id,
        "state": click.state,
        "reason": click.reason,
        "message": click.message,
        "pbx_ms": click.pbx_ms,
        "manager_unique_id": click.manager or None,
        "call_unique_id": click.call or None,
        "finished": click.is_closed,
    }
