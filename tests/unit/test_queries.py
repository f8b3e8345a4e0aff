"""Queries are found by name: no two have one."""

from collections import Counter

from vochi_integrations.db import NAMED_QUERY, queries
from vochi_integrations.paths import folder


def test_no_two_queries_have_one_name() -> None:
    files = sorted((folder("sql") / "queries").glob("*.sql"))
    names = Counter(name for file in files for name in NAMED_QUERY.findall(file.read_text(encoding="utf-8")))
    assert [name for name, count in names.items() if count > 1] == []
    assert names.keys() == queries().keys()
