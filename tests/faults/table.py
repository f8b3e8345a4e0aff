"""docs/faults.md: a row a test, with what the ledger of its run knows."""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec import Struct, field

from bench.machine import described, machine
from tests.faults.ledger import Judgement

INTRODUCTION = """# What breaks, and what came of it

Written by the tests of `tests/faults` themselves: `make faults-table` (about five minutes) runs all of them and writes
this page, whatever comes of it; `pytest tests/faults/test_kill.py --fault-table docs/faults.md` writes one section
anew. Each test starts real daemons in processes of their own and a PostgreSQL of its own,
lets hosts call, breaks something, and judges what reached the CRMs. No number here is written by hand: hosts note what
was answered 200, the CRMs note what came, and the judge (`tests/faults/ledger.py`) compares the two, call by call. A
cell is empty where a test judges something else.

- **calls**, and their events that were **acknowledged** (200) or **not** (refused, cut off, 503). A host sends nothing
  again, so what was not acknowledged is the host's loss.
- **lost**: calls whose hangup was acknowledged and whose record no CRM has.
- **doubled**: pop-ups shown twice, and records sent again although the daemon could know that the CRM had them.
- **late**: pop-ups after their time (`popup_ttl`), or after the acknowledged end of their call.
- **wrong**: records whose content changed, pop-ups after their closing, requests that no CRM understands.
- **again**: records sent a second time, with the same content and `externalId`, because the daemon died or was cut off
  from PostgreSQL before it had stored their success; the CRM keeps one of them.
- **well after**: from the end of the fault (of a killed daemon: from its next `ready`, or the others' time alone) until
  `/health` says ok and a new call pops up at every tenant.
- **records after**: from when the hosts had stopped calling until the last record is in.
"""
COLUMNS = {
    "calls": "calls",
    "acknowledged": "acknowledged",
    "not acknowledged": "not",
    "lost": "lost",
    "doubled": "doubled",
    "late": "late",
    "wrong": "wrong",
    "sent again": "again",
    "well after": "well after",
    "records after": "records after",
}
HEAD = f"| fault | {' | '.join(COLUMNS.values())} | also measured | |\n|---|{'---:|' * len(COLUMNS)}---|---|"
HEADING = "\n## "
VERDICTS = {True: "| passed |", False: "| **failed** |"}
NAMES = {"crm": "CRM", "crms": "CRMs", "postgresql": "PostgreSQL", "sigterm": "SIGTERM", "listen": "LISTEN"}

Figure = int | float | str
Figures = Mapping[str, Figure]


def answered(calls: int, answers: Counter[str]) -> dict[str, Figure]:
    """Return what hosts were answered as figures."""
    acknowledged = answers["200"]
    return {"calls": calls, "acknowledged": acknowledged, "not acknowledged": answers.total() - acknowledged}


def judged(found: Judgement) -> dict[str, Figure]:
    """Return a judgement as figures."""
    return {
        "lost": len(found.lost),
        "doubled": len(found.doubled_popups) + len(found.doubled_records),
        "late": len(found.late_popups),
        "wrong": len(found.changed_records) + len(found.reordered) + len(found.broken_requests),
    }


class Row(Struct):
    """What came of one test; `figures` has names of `COLUMNS`, and others that are shown with their name."""

    title: str
    passed: bool = True
    figures: Figures = field(default_factory=dict)

    @property
    def line(self) -> str:
        cells = [shown(self.figures[name]) if name in self.figures else "" for name in COLUMNS]
        also = [f"{name}: {shown(value)}" for name, value in self.figures.items() if name not in COLUMNS]
        return f"| {' | '.join([self.title, *cells, '; '.join(also)])} {VERDICTS[self.passed]}"


def shown(figure: Figure) -> str:
    """Write a figure; a fraction is one of seconds."""
    if isinstance(figure, float):
        return f"{figure:.3f} s" if figure < 0.1 else f"{figure:.1f} s"
    return f"{figure:,}" if isinstance(figure, int) else figure


def title_of(node: str) -> str:
    """Return a test's name as words: `tests/faults/test_a.py::test_a_crm_hangs[b]` is "A CRM hangs (b)"."""
    name, _, parameter = node.partition("::test_")[2].partition("[")
    words = " ".join(NAMES.get(word, word) for word in name.split("_"))
    given = f" ({parameter.rstrip(']').replace('_', ' ')})" if parameter else ""
    return words[:1].upper() + words[1:] + given


class FaultTable:
    """The plugin that collects rows and writes them when the session ends; tests that noted nothing have none.

    A module is a section; those of modules that were not run stay as the file has them.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._began = time.gmtime()
        self._section_of: dict[str, str] = {}
        self._rows: dict[str, Row] = {}

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        module = item.getparent(pytest.Module)
        told = module.obj.__doc__ if module is not None else ""
        self._section_of[item.nodeid] = (told or item.nodeid).partition("\n")[0].rstrip(".")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        row = self._rows.setdefault(report.nodeid, Row(title_of(report.nodeid)))
        row.passed = row.passed and report.passed
        row.figures = dict(report.user_properties)  # type: ignore[arg-type]

    def pytest_sessionfinish(self) -> None:
        known = sections(self._file.read_text("utf-8")) if self._file.exists() else {}
        written = known | self._sections()
        verdicts = [
            line for text in written.values() for line in text.splitlines() if line.endswith(tuple(VERDICTS.values()))
        ]
        passed = sum(line.endswith(VERDICTS[True]) for line in verdicts)
        parts = [f"{INTRODUCTION}\n**{passed} of {len(verdicts)} passed.**\n"]
        parts += [f"{HEADING}{name}\n{text}" for name, text in written.items()]
        self._file.write_text("".join(parts), encoding="utf-8")

    def _sections(self) -> dict[str, str]:
        run = f"Run {time.strftime('%Y-%m-%d %H:%M', self._began)} UTC on {described(machine())}"
        found: dict[str, list[str]] = {}
        for node, row in self._rows.items():
            if row.figures:
                found.setdefault(self._section_of[node], ["", run, "", HEAD]).append(row.line)
        return {name: "\n".join(lines) + "\n" for name, lines in found.items()}


def sections(text: str) -> dict[str, str]:
    """Return what a written page has under each heading."""
    parts = (part.partition("\n") for part in text.split(HEADING)[1:])
    return {name: rest for name, _, rest in parts}
