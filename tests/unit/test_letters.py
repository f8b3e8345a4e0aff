"""What an operator may ask of dead letters, and what is refused with words that help."""

from typing import Any

import pytest

from vochi_integrations.errors import BadRequestError
from vochi_integrations.letters import read_order, read_page


def test_a_list_is_of_what_failed_unless_told_otherwise() -> None:
    page = read_page({})
    assert (page.filter, page.limit, page.after) == ({"status": "failed"}, 100, None)
    page = read_page({"status": "expired", "class": "all", "limit": "500", "cursor": "1757840400.000125_42"})
    assert (page.filter, page.limit, page.after) == ({"status": "expired"}, 500, (1757840400.000125, 42))


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("1757840400", 1757840400.0),
        (1757840400.5, 1757840400.5),
        (0, 0.0),
        ("2025-09-14T09:00:00Z", 1757840400.0),
        ("2025-09-14T12:00:00+03:00", 1757840400.0),
        ("2025-09-14 09:00", 1757840400.0),
        ("2025-09-14", 1757808000.0),
    ],
)
def test_times_are_iso_in_utc_or_epoch_seconds(text: object, epoch: float) -> None:
    assert read_order({"since": text}).filter["since"] == epoch
    assert read_page({"until": text}).filter["until"] == epoch


def test_a_replay_is_of_failed_history_unless_told_otherwise() -> None:
    assert read_order({"enterprise": "0367"}).filter == {"enterprise": "0367", "status": "failed", "class": "history"}
    assert read_order({"reason": "all", "class": "all"}).filter == {"reason": "all", "status": "failed"}
    order = read_order({"ids": [7, 8], "class": "realtime", "dry_run": True})
    assert order == ({"class": "realtime"}, [7, 8], True)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({}, "at least one of"),
        ({"class": "all"}, "at least one of"),
        ({"status": "failed", "dry_run": True}, "at least one of"),
        ({"enterprize": "0367"}, "enterprize"),
        ({"limit": 5, "enterprise": "0367"}, "limit"),
        ({"enterprise": 367}, "enterprise"),
        ({"enterprise": "12345678901"}, "enterprise"),
        ({"enterprise": None}, "enterprise"),
        ({"ids": []}, "ids"),
        ({"ids": "5"}, "ids"),
        ({"ids": [True]}, "ids"),
        ({"ids": [0]}, "ids"),
        ({"ids": [2**63]}, "ids"),
        ({"ids": None}, "ids"),
        ({"kind": "pop-up"}, "popup, popup_over, record"),
        ({"kind": "record", "class": "urgent"}, "realtime, history, all"),
        ({"kind": "record", "status": ["failed"]}, "status"),
        ({"since": "yesterday"}, "since"),
        ({"since": True}, "since"),
        ({"since": "nan"}, "since"),
        ({"since": "20260131"}, "since"),
        ({"since": 2026}, "since"),
        ({"since": -1}, "since"),
        ({"until": 1e15}, "until"),
        ({"until": "9999-12-31T23:59:59-23:00"}, "until"),
        ({"reason": "it's; DROP"}, "reason"),
        ({"integration": "r" * 51}, "integration"),
        ({"enterprise": "0367", "dry_run": "yes"}, "dry_run"),
    ],
)
def test_a_replay_nobody_can_mean_is_refused(asked: dict[str, Any], named: str) -> None:
    with pytest.raises(BadRequestError, match=named):
        read_order(asked)


@pytest.mark.parametrize(
    "asked",
    [{"limit": "0"}, {"limit": "501"}, {"limit": "ten"}, {"limit": ""}, {"cursor": "5"}, {"cursor": ""}, {"ids": "5"}],
)
def test_a_list_nobody_can_mean_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(BadRequestError, match=next(iter(asked))):
        read_page(asked)
