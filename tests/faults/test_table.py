"""The table of faults: a row a test with what it noted, failed ones too, and none for a test that noted nothing."""

from pathlib import Path

import pytest

from tests.faults.ledger import Judgement
from tests.faults.table import HEAD, FaultTable, Row, judged, title_of

pytest_plugins = ["pytester"]

TESTS = '''
"""CRMs break. They do."""

def test_a_crm_that_hangs_is_no_trouble(record_property):
    record_property("lost", 0)
    record_property("well after", 1.25)
    record_property("kills", 1200)

def test_postgresql_away(record_property):
    record_property("lost", 2)
    assert False

def test_of_the_judge():
    pass
'''


def test_a_row_says_what_its_test_noted_and_whether_it_passed(pytester: pytest.Pytester, tmp_path: Path) -> None:
    pytester.makepyfile(TESTS)
    table = FaultTable(tmp_path / "faults.md")
    pytester.inline_run("-o", "asyncio_default_fixture_loop_scope=function", plugins=[table])
    text = (tmp_path / "faults.md").read_text("utf-8")
    assert "**1 of 2 passed.**" in text
    heading, _, run, _, *lines = text.partition("## ")[2].splitlines()
    assert (heading, run[:4]) == ("CRMs break. They do", "Run ")
    assert lines == [
        *HEAD.splitlines(),
        "| A CRM that hangs is no trouble |  |  |  | 0 |  |  |  |  | 1.2 s |  | kills: 1,200 | passed |",
        "| PostgreSQL away |  |  |  | 2 |  |  |  |  |  |  |  | **failed** |",
    ]


def test_sections_that_were_not_run_stay(pytester: pytest.Pytester, tmp_path: Path) -> None:
    file = tmp_path / "faults.md"
    file.write_text(
        "# Old\n\n## Another module\n\n| A fault | passed |\n\n## CRMs break. They do\n\n| Old | passed |\n"
    )
    pytester.makepyfile(TESTS)
    pytester.inline_run("-o", "asyncio_default_fixture_loop_scope=function", plugins=[FaultTable(file)])
    text = file.read_text("utf-8")
    assert "**2 of 3 passed.**" in text
    assert "\n## Another module\n\n| A fault | passed |\n\n## CRMs break. They do\n\nRun " in text
    assert "| Old |" not in text


def test_a_title_is_the_test_s_name_with_its_parameter() -> None:
    assert title_of("tests/faults/test_a.py::test_sigterm_ends[torn_write]") == "SIGTERM ends (torn write)"


def test_every_kind_of_wrong_has_a_column() -> None:
    everything = Judgement(*([name] for name in Judgement.__struct_fields__))
    line = Row("All", figures=judged(everything)).line
    assert line == "| All |  |  |  | 1 | 2 | 1 | 3 |  |  |  |  | passed |"
