"""What a check has found: one line that is green or red, and what to do about it."""

from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

from vochi_integrations.domain import Enterprise

Verdict = Literal["ok", "warning", "bad", "skipped"]


class Finding(Struct, frozen=True, kw_only=True):
    """`check` is its lasting name, `title` what was looked at, `said` what was seen, `fix` what to do, "" for nothing.

    `bad` stops calls or will, `warning` does not, `skipped` could not be looked at because of another finding.
    """

    check: str
    title: str
    verdict: Verdict
    said: str
    fix: str = ""


@runtime_checkable
class Examinable(Protocol):
    """A CRM whose account can be examined for an enterprise."""

    async def examine(self, enterprise: Enterprise) -> list[Finding]:
        """Look at the account, harmlessly: no card is shown and nothing is written. Never raises for the CRM."""
        ...
