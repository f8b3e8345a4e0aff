"""What the doctor examines, and how what it finds is written."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import Struct

from vochi_integrations.db import Database, Row
from vochi_integrations.domain import Enterprise
from vochi_integrations.errors import VochiError
from vochi_integrations.integrations.base import Integration
from vochi_integrations.integrations.findings import Finding, Verdict
from vochi_integrations.messages import say
from vochi_integrations.settings import Settings

QUERY_SECONDS = 5.0


class ClosedError(VochiError):
    """A check needs the database, and there is none."""


class Live(Struct, frozen=True, kw_only=True):
    """What a running daemon says of itself (`/health`, `/stats`)."""

    status: str
    reasons: Sequence[str] = ()
    listening: bool = False
    spooled: int = 0
    alerts: Sequence[str] = ()


class Patient(Struct, frozen=True, kw_only=True):
    """What the checks look at.

    `database` is None when it cannot be opened. `live` returns None when no daemon answers. `enterprises` are as the
    daemon reads them.
    """

    settings: Settings
    database: Database | None
    integrations: Mapping[str, Integration]
    enterprises: Mapping[str, Enterprise]
    live: Callable[[], Awaitable[Live | None]]

    async def fetch(self, query: str, *arguments: object) -> list[Row]:
        """Ask the database, for a few seconds. Raises ClosedError when it could not be opened."""
        if self.database is None:
            raise ClosedError("the database is closed")
        return await self.database.fetch(query, *arguments, timeout=QUERY_SECONDS)


Check = Callable[[Patient], Awaitable[list[Finding]]]
EnterpriseCheck = Callable[[Patient, Enterprise], Awaitable[list[Finding]]]


def finding(check: str, title: str, verdict: Verdict, said: str, fix: str = "") -> Finding:
    return Finding(check=check, title=title, verdict=verdict, said=said, fix=fix)


def listed(items: Sequence[str], most: int = 10) -> str:
    shown = ", ".join(items[:most])
    return f"{shown} " + say("и ещё {count}").format(count=len(items) - most) if len(items) > most else shown
