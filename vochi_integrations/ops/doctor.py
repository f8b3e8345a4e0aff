"""Green and red lines about a daemon and an enterprise, each with its fix: for the command, the page and the bundle."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence

import asyncpg

from vochi_integrations.db import UNAVAILABLE
from vochi_integrations.integrations.findings import Finding
from vochi_integrations.messages import say
from vochi_integrations.ops.daemon_checks import DAEMON_CHECKS
from vochi_integrations.ops.enterprise_checks import ENTERPRISE_CHECKS
from vochi_integrations.ops.patient import ClosedError, EnterpriseCheck, Patient, finding

CHECK_SECONDS = 15.0
MARKS = {"ok": "✓", "warning": "!", "bad": "✗", "skipped": "-"}
COLOURS = {"ok": "32", "warning": "33", "bad": "31", "skipped": "90"}


async def checks(patient: Patient, number: str | None = None, more: Sequence[EnterpriseCheck] = ()) -> list[Finding]:
    """Return what all checks find: of the daemon, and of an enterprise when its number is given.

    `more` are checks of an enterprise that its PBX or another part of the daemon brings. None of them raises.
    """
    work = [_guarded(check.__name__, check(patient)) for check in DAEMON_CHECKS]
    of_enterprise = [] if number is None else [enterprise_checks(patient, number, more)]
    found = await asyncio.gather(*work, *of_enterprise)
    return [finding for findings in found for finding in findings]


async def enterprise_checks(patient: Patient, number: str, more: Sequence[EnterpriseCheck] = ()) -> list[Finding]:
    """Return what the checks of an enterprise find: nothing its own administrator may not see. None of them raises."""
    enterprise = patient.enterprises.get(number)
    if enterprise is None:
        return await _unknown(number)
    wanted = (*ENTERPRISE_CHECKS, *more)
    found = await asyncio.gather(*(_guarded(check.__name__, check(patient, enterprise)) for check in wanted))
    return [finding for findings in found for finding in findings]


def is_well(findings: Iterable[Finding]) -> bool:
    """True when nothing is red."""
    return all(finding.verdict != "bad" for finding in findings)


async def _guarded(name: str, work: Awaitable[list[Finding]]) -> list[Finding]:
    """One check that fails does not keep the others from being read."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await work
    except ClosedError:
        return [finding(name, name, "skipped", say("не проверялось: база недоступна"))]
    except (*UNAVAILABLE, asyncpg.PostgresError) as error:
        said = say("не удалось проверить: {error}").format(error=str(error) or type(error).__name__)
        return [finding(name, name, "bad", said, say("Проверьте базу данных."))]


async def _unknown(number: str) -> list[Finding]:
    fix = "vochi-integrations enterprise add --number … --token …"
    return [finding("enterprise", "Предприятие", "bad", f"номера {number} нет в базе", fix)]


def unopened(error: Exception) -> Finding:
    """Return the finding for a database that cannot even be opened."""
    fix = "Проверьте database.dsn и что PostgreSQL запущен."
    return finding("database", "База данных", "bad", str(error), fix)


def lines(findings: Iterable[Finding], *, colours: bool = False) -> list[str]:
    """Write findings for a terminal: one line each, the fix below."""
    found: list[str] = []
    for item in findings:
        line = f"{MARKS[item.verdict]} {item.title}: {item.said}"
        found.append(f"\x1b[{COLOURS[item.verdict]}m{line}\x1b[0m" if colours else line)
        if item.fix:
            found.append(f"    → {item.fix}")
    return found
