"""Pop-up latency

Last byte of `/dial` to first byte of `call/event` at the CRM, and last byte of any event to the host's 200, for calls
of five events at 1,000 tenants, each with a CRM account (API key) of its own; everything durable. Beside it, in turns
on the same core, the smallest handler that can do it at all: aiohttp, one insert per natural group commit, then the
pop-up from memory, with no call rules, no outbox, no closing of pop-ups and no records (its CRM gets a third of the
requests). Figures are the medians of the slices'; the worst slice is shown beside them.
"""

from bench.bare import __name__ as minimal_module
from bench.load import Load, calls, median_percentile, percentile
from bench.processes import started
from bench.results import Options, Row
from bench.stage import Stage, settled, stage

TENANTS = 1_000
RATES = (50, 200)
BARS = {0.5: 5.0, 0.99: 15.0}
MINIMAL = "minimal durable forwarder"


async def measure(options: Options) -> list[Row]:
    rows: list[Row] = []
    async with stage(TENANTS) as on, started(minimal_module, "forward", on.server.dsn, str(on.crm.port)) as minimal:
        await calls(minimal.public, on.tokens, 50, 1.0)
        for rate in RATES[-1:] if options.quick else RATES:
            ours, theirs = await _in_turns(on, minimal.public, rate, options)
            rows += _rows(on, ours, theirs, rate)
    return rows


async def _in_turns(on: Stage, minimal: int, rate: float, options: Options) -> tuple[list[Load], list[Load]]:
    """Load one and the other, slice by slice, so that what disturbs the machine disturbs both."""
    ours, theirs = [], []
    for _ in range(int(options.pick(6, 3))):
        ours.append(await calls(on.port, on.tokens, rate, options.pick(5, 3)))
        await settled(on.crm, ours[-1])
        theirs.append(await calls(minimal, on.tokens, rate, options.pick(5, 3)))
    return ours, theirs


def _rows(on: Stage, ours: list[Load], theirs: list[Load], rate: float) -> list[Row]:
    full = rate == RATES[-1]
    popups, minimal = [on.crm.delays(load) for load in ours], [on.crm.delays(load) for load in theirs]
    at = f"at {rate:.0f} calls/s"
    rows = []
    for share in (0.5, 0.95, 0.99):
        name, value = f"pop-up p{share * 100:.0f} {at}", median_percentile(popups, share)
        worst = f"worst slice {max(percentile(values, share) for values in popups):.1f} ms"
        bar = BARS.get(share) if full else None
        rows.append(Row(name=name, value=value, unit="ms", at_most=bar, note=worst))
        if share != 0.95:
            rows.append(_beside(name, value, median_percentile(minimal, share), gate=full and share == 0.99))
    for share in (0.5, 0.99):
        name, value = f"200 to the host p{share * 100:.0f} {at}", _answers(ours, share)
        rows.append(_beside(name, value, _answers(theirs, share)))
    lost = sum(on.crm.lost_popups(load) + on.crm.lost_records(load) for load in ours)
    count = sum(map(len, popups))
    rows.append(Row(name=f"pop-ups and records lost {at}", value=lost, at_most=0, note=f"{count} calls"))
    doubled = on.crm.popups_doubled + on.crm.records_doubled
    rows.append(Row(name=f"pop-ups and records doubled {at}", value=doubled, at_most=0))
    return rows


def _answers(loads: list[Load], share: float) -> float:
    return median_percentile([load.answers for load in loads], share)


def _beside(name: str, value: float, reference: float, *, gate: bool = False) -> Row:
    return Row(
        name=name,
        value=value,
        unit="ms",
        reference=reference,
        beside=MINIMAL,
        at_most=1.5 if gate else None,
        gate=gate,
    )
