"""Figures as text: lines for a terminal, and docs/performance.md."""

from collections.abc import Mapping
from pathlib import Path

from bench.figures import FIGURES
from bench.machine import described
from bench.published import PUBLISHED, Published
from bench.results import Result, Row

INTRODUCTION = """# What was measured

Written by `python -m bench --write` (`make bench`, about half an hour) from `bench/results.json`; one figure alone:
`python -m bench NAME --write`. `make bench-check` judges the ratio bars in quick runs and exits 1 when one is missed.

**How.** The daemon (or what it is compared with) runs on one core, the load and the CRM that receives everything on
another; PostgreSQL, with fsync on and its default settings, shares both. Events come over HTTP on the loopback at
fixed times whether or not earlier ones were answered (an open loop), except where a maximum is sought. The CRM notes
the first byte of each request. What is compared runs in turns, slice by slice, in the same run.

**Noise.** The machine is virtual and its cores are shared with others, so milliseconds and events a second move from
run to run, and tails (p99) most of all: by a factor of two or more when a neighbour is busy. Ratios within one run
are what to compare; a bar is on the ratio where a row has one. A single run is shown as it came, not the best of
several. The processor's load average when a figure began is given with it: above 0.3 something else was running.

What breaks, and what is lost, doubled or late then, is in [faults.md](faults.md), written by the tests that break it.
"""
PUBLISHED_HEAD = """## Beside published numbers

Others' figures are theirs, on their machines and under their conditions; no ratio can be drawn from these rows, only
an order of magnitude. The two queues that can be installed here are measured in the same run above.

| source | published | conditions | here |
|---|---|---|---|"""
VERDICTS = {True: "pass", False: "**missed**", None: ""}


def number(value: float | None) -> str:
    """Write a number as precisely as it deserves."""
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return "not reached"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def measured(value: float | None, unit: str) -> str:
    return f"{number(value)} {unit}".strip() if unit != "/s" else f"{number(value)}/s"


def bar(row: Row) -> str:
    sign, limit = ("≤", row.at_most) if row.at_most is not None else ("≥", row.at_least)
    if limit is None:
        return ""
    return f"{sign} {number(limit)} x" if row.beside else f"{sign} {measured(limit, row.unit)}"


def describe(row: Row) -> str:
    """Put a row on one line for a terminal."""
    parts = [f"{row.name}: {measured(row.value, row.unit)}"]
    if row.beside:
        parts.append(f"{number(row.ratio)} x {row.beside} ({measured(row.reference, row.unit)})")
    if bar(row):
        parts.append(f"bar {bar(row)}: {VERDICTS[row.passed].strip('*')}")
    if row.note:
        parts.append(row.note)
    return "; ".join(parts)


def plain(result: Result) -> str:
    head = f"-- {result.name}{' (quick)' if result.quick else ''}, {result.seconds:.0f} s: {result.title}"
    return "\n".join([head, *(f"   {describe(row)}" for row in result.rows)])


def write(file: Path, known: Mapping[str, Result]) -> None:
    """Write the document from what is known; figures never run are named as such."""
    results = [known[name] for name in FIGURES if name in known]
    missing = [name for name in FIGURES if name not in known]
    parts = [INTRODUCTION, _summary(results)]
    if missing:
        parts.append(f"Not measured yet: {', '.join(missing)}.\n")
    parts += [_section(result) for result in results]
    parts.append("\n".join([PUBLISHED_HEAD, *(_published(item, known) for item in PUBLISHED)]) + "\n")
    file.write_text("\n".join(parts), encoding="utf-8")


def _summary(results: list[Result]) -> str:
    judged = [row for result in results for row in result.rows if row.passed is not None]
    met = sum(row.passed is True for row in judged)
    lines = [f"**Bars: {met} of {len(judged)} met.**"]
    for result in results:
        lines += [f"- missed in {result.name}: {describe(row)}" for row in result.rows if row.passed is False]
    return "\n".join(lines) + "\n"


def _section(result: Result) -> str:
    lines = [
        f"## {result.title}",
        "",
        result.text,
        "",
        (
            f"Measured {result.began} UTC in {result.seconds:,.0f} s, load average before {result.load_average:.2f}:"
            f" {described(result.machine)}"
        ),
        "",
    ]
    if result.quick:
        lines += ["**A quick run: a smoke test, not a measurement.**", ""]
    lines += ["| what | measured | beside it, same run | ratio | bar | | note |", "|---|---:|---:|---:|---:|---|---|"]
    return "\n".join([*lines, *(_line(row) for row in result.rows)]) + "\n"


def _line(row: Row) -> str:
    beside = f"{measured(row.reference, row.unit)}, {row.beside}" if row.beside else ""
    ratio = f"{number(row.ratio)} x" if row.beside else ""
    cells = (row.name, measured(row.value, row.unit), beside, ratio, bar(row), VERDICTS[row.passed], row.note)
    return f"| {' | '.join(cells)} |"


def _published(item: Published, known: Mapping[str, Result]) -> str:
    figure, name = item.ours
    rows = known[figure].rows if figure in known else []
    ours = next(
        (f"{row.name}: {measured(row.value, row.unit)}" for row in rows if name and row.name.startswith(name)), ""
    )
    return f"| {item.source} | {item.number} | {item.conditions} | {ours} |"
