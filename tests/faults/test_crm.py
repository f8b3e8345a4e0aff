"""CRMs break in every way at once, each at a tenant of its own; one more tenant is quiet and well.

The scenario runs once: all well, all broken, all mended. Each test looks at its own tenant.
"""

import asyncio
import ssl
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec import Struct, field

from tests.faults.arena import POPUP_TTL, Arena, Tenant
from tests.faults.conftest import Note, ready
from tests.faults.crm import FakeCrm, Fault
from tests.faults.ledger import Judgement
from tests.faults.postgres import PrivatePostgres
from tests.faults.table import Figures, answered, judged

pytestmark = pytest.mark.alone
TLS = "TLS"
PROBLEMS = [*Fault, TLS]
BAD_BATCH = (Fault.BAD_RECORD_400, Fault.BAD_RECORD_460)
RATE = 25.0
QUIET_RATE = 5.0
WELL_SECONDS = 3.0
BROKEN_SECONDS = 4.0
RECOVERY_SECONDS = 5.0
ALL_IN_SECONDS = 20.0
MOST_REQUESTS = 25
NEW_KEY = "key-renewed"


class Seen(Struct):
    """What came of one tenant's calls, and as figures for the table."""

    figures: Figures = field(default_factory=dict)
    judgement: Judgement = field(default_factory=Judgement)
    requests_while_broken: int = 0
    recovery_seconds: float = float("inf")
    records_of_bad_calls: int = 0
    reasons_of_bad_calls: set[str] = field(default_factory=set)


class Outcome(Struct):
    """What came of the whole scenario."""

    tenants: dict[str, Seen] = field(default_factory=dict)
    quiet_well: list[float] = field(default_factory=list)
    quiet_broken: list[float] = field(default_factory=list)
    quiet: Seen = field(default_factory=Seen)
    calls: int = 0
    answers: Counter[str] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def outcome(server_of_module: PrivatePostgres) -> Iterator[Outcome]:
    with tempfile.TemporaryDirectory(prefix="vochi-crm-") as folder, asyncio.Runner() as runner:
        yield runner.run(scenario(server_of_module, Path(folder)))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_record_arrives_once_and_no_card_late_or_twice(outcome: Outcome, problem: str, note: Note) -> None:
    note(outcome.tenants[problem].figures)
    assert outcome.tenants[problem].judgement == Judgement()


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_mended_crm_gets_cards_again_within_seconds(outcome: Outcome, problem: str, note: Note) -> None:
    """The wrong key is mended by an administrator who saves another one, the certificate by another address."""
    note({"well after": outcome.tenants[problem].recovery_seconds})
    assert outcome.tenants[problem].recovery_seconds <= RECOVERY_SECONDS


@pytest.mark.parametrize("problem", [problem for problem in PROBLEMS if problem is not Fault.FLAP])
def test_a_broken_crm_is_not_hammered(outcome: Outcome, problem: str, note: Note) -> None:
    note({"requests while broken": outcome.tenants[problem].requests_while_broken})
    assert 0 < outcome.tenants[problem].requests_while_broken <= MOST_REQUESTS


@pytest.mark.parametrize("problem", BAD_BATCH)
def test_a_bad_record_stands_alone_in_the_end(outcome: Outcome, problem: str, note: Note) -> None:
    seen = outcome.tenants[problem]
    note({"records of bad calls": seen.records_of_bad_calls, "their end": ", ".join(seen.reasons_of_bad_calls)})
    assert seen.records_of_bad_calls == 0
    assert seen.reasons_of_bad_calls == {"failed crm_rejected"}


def test_the_quiet_tenant_does_not_feel_the_others(outcome: Outcome, note: Note) -> None:
    well, broken = nine_tenths(outcome.quiet_well), nine_tenths(outcome.quiet_broken)
    note(dict(outcome.quiet.figures) | {"pop-ups p90": broken, "with all well": well})
    assert outcome.quiet.judgement == Judgement()
    assert len(outcome.quiet_broken) >= BROKEN_SECONDS * QUIET_RATE / 2
    assert broken <= 1.5 * well + 0.020


def test_hosts_notice_nothing_of_broken_crms(outcome: Outcome, note: Note) -> None:
    note(answered(outcome.calls, outcome.answers))
    assert outcome.answers.keys() == {"200"}


def nine_tenths(ordered: list[float]) -> float:
    return ordered[int(len(ordered) * 0.9)]


async def scenario(server: PrivatePostgres, folder: Path) -> Outcome:
    await ready(server)
    async with Arena.open(server, folder) as arena:
        quiet = await arena.add_tenant()
        tenants = {problem: await _add(arena, problem, folder) for problem in PROBLEMS}
        await arena.started()
        tokens = [tenant.token for tenant in tenants.values()]
        outcome = Outcome(tenants={problem: Seen() for problem in PROBLEMS})
        async with arena.hosts.calling([quiet.token], QUIET_RATE) as calls:
            async with arena.hosts.calling(tokens, RATE):
                await asyncio.sleep(WELL_SECONDS)
            well = len(calls)
            await _broken(arena, tenants, outcome)
            outcome.quiet_well = arena.popup_seconds(calls[2:well])
            outcome.quiet_broken = arena.popup_seconds(calls[well:])
            await asyncio.gather(*(_mend(arena, tenants[problem], problem, outcome) for problem in PROBLEMS))
        await _all_in(arena, tenants)
        see(arena, quiet, outcome.quiet)
        outcome.calls, outcome.answers = len(arena.hosts.calls), arena.hosts.answers
        await _see_bad_calls(arena, tenants, outcome)
        for problem, tenant in tenants.items():
            see(arena, tenant, outcome.tenants[problem])
        return outcome


async def _add(arena: Arena, problem: str, folder: Path) -> Tenant:
    tenant = await arena.add_tenant()
    if problem == TLS:
        tenant.crm.tls_twin = FakeCrm(arena.ledger, tenant.crm.api_key, self_signed(folder))
        await tenant.crm.tls_twin.open()
    return tenant


def self_signed(folder: Path) -> ssl.SSLContext:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    options = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        ["openssl", *options.split(), "-out", certificate, "-keyout", key],  # noqa: S607 - the one on PATH
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def _broken(arena: Arena, tenants: dict[str, Tenant], outcome: Outcome) -> None:
    """Break everything, call on, and count the requests of that time."""
    began = time.monotonic()
    for problem, tenant in tenants.items():
        await _break(arena, tenant, problem)
    async with arena.hosts.calling([tenant.token for tenant in tenants.values()], RATE) as calls:
        await asyncio.sleep(BROKEN_SECONDS)
    for problem, tenant in tenants.items():
        if problem in BAD_BATCH:
            mine = [call for call in calls if arena.hosts.token_of[call] == tenant.token]
            tenant.crm.bad = set(mine[1:2])
    counted = await attempts_since(arena, time.monotonic() - began)
    for problem, tenant in tenants.items():
        seen = tenant.crm.requests_since(began)
        unseen = problem in (Fault.REFUSE, TLS)
        outcome.tenants[problem].requests_while_broken = counted.get(tenant.number, 0) if unseen else seen


async def _break(arena: Arena, tenant: Tenant, problem: str) -> None:
    if problem == TLS:
        assert tenant.crm.tls_twin is not None
        await arena.configure(tenant, domain=tenant.crm.tls_twin.url)
    else:
        await tenant.crm.break_(Fault.HTML_503 if problem in BAD_BATCH else Fault(problem))


async def attempts_since(arena: Arena, seconds: float) -> dict[str, int]:
    """Failed pop-ups as the daemon's own log has them, for a CRM that cannot count what it refuses."""
    async with arena.sql() as sql:
        rows = await sql.fetch(
            "SELECT enterprise_number, count(*) FROM integration_logs WHERE status = 'error'"
            " AND event_type LIKE 'call_event%' AND created_at > now() - make_interval(secs => $1) GROUP BY 1",
            seconds,
        )
    return {row["enterprise_number"]: row["count"] for row in rows}


async def _mend(arena: Arena, tenant: Tenant, problem: str, outcome: Outcome) -> None:
    """Remove the cause; see how long it takes until a new call pops up."""
    began = time.monotonic()
    await tenant.crm.mend()
    if problem in BAD_BATCH:
        tenant.crm.fault = Fault(problem)
    if problem == Fault.WRONG_KEY:
        tenant.crm.api_key = NEW_KEY
        await arena.configure(tenant)
    if problem == TLS:
        await arena.configure(tenant)
    while time.monotonic() < began + 3 * RECOVERY_SECONDS:
        call = await arena.hosts.call(tenant.token, ring=0.3, talk=0.0)
        if arena.ledger.taken(call, "popup"):
            outcome.tenants[problem].recovery_seconds = arena.ledger.taken(call, "popup")[0].at - began
            return


async def _all_in(arena: Arena, tenants: dict[str, Tenant]) -> None:
    """Wait for the records; what is missing in the end is the tests' to say."""
    bad = {call for tenant in tenants.values() for call in tenant.crm.bad}
    with suppress(AssertionError):
        await arena.all_in(ALL_IN_SECONDS, refused=bad)
        await arena.settled()


def see(arena: Arena, tenant: Tenant, seen: Seen) -> None:
    """Judge what came of a tenant's calls."""
    mine = {call: known for call, known in arena.hosts.calls.items() if arena.hosts.token_of[call] == tenant.token}
    ledger = arena.ledger.only(mine)
    seen.judgement = ledger.judge(mine, popup_ttl=POPUP_TTL, refused=tenant.crm.bad)
    counted = answered(len(mine), arena.hosts.answers_of[tenant.token])
    seen.figures = counted | judged(seen.judgement) | {"sent again": ledger.sent_again()}


async def _see_bad_calls(arena: Arena, tenants: dict[str, Tenant], outcome: Outcome) -> None:
    for problem in BAD_BATCH:
        seen, bad = outcome.tenants[problem], tenants[problem].crm.bad
        seen.records_of_bad_calls = sum(bool(arena.ledger.taken(call, "record")) for call in bad)
        async with arena.sql() as sql:
            rows = await sql.fetch(
                "SELECT status, reason FROM integration_deliveries"
                " WHERE kind = 'record' AND call_external_id = ANY($1)",
                list(bad),
            )
        seen.reasons_of_bad_calls = {f"{row['status']} {row['reason']}" for row in rows}
