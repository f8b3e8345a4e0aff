"""What people type to find a call, and what is looked for then."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vochi_integrations.ops.search import EVER, Wanted, read_search

MINSK = ZoneInfo("Europe/Minsk")
NOW = datetime(2025, 9, 14, 12, 0, tzinfo=MINSK).timestamp()


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=MINSK).timestamp()


def read(text: str) -> Wanted:
    return read_search(text, MINSK, NOW)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", Wanted()),
        ("151", Wanted(extension="151")),
        ("0001", Wanted(phone="0001", extension="0001")),
        ("+375 29 000-00-01", Wanted(phone="375290000001", unique_id="")),
        ("375290000001", Wanted(phone="375290000001", unique_id="375290000001")),
        ("1757840400.6", Wanted(unique_id="1757840400.6")),
        ("pbx1-1757840400.6", Wanted(unique_id="pbx1-1757840400.6")),
        ("\x00 151 ", Wanted(extension="151")),
        ("5", Wanted(is_nonsense=True)),
        ("()", Wanted(is_nonsense=True)),
        ("31.02.2025", Wanted(is_nonsense=True)),
        ("25:99", Wanted(is_nonsense=True)),
        ("14.09", Wanted(since=at("2025-09-14"), until=at("2025-09-15"))),
        ("15.09", Wanted(since=at("2024-09-15"), until=at("2024-09-16"))),
        ("13.09.2025", Wanted(since=at("2025-09-13"), until=at("2025-09-14"))),
        ("2025-09-13 151", Wanted(extension="151", since=at("2025-09-13"), until=at("2025-09-14"))),
        ("12:30", Wanted(since=at("2025-09-14 12:20"), until=at("2025-09-14 12:40"))),
        ("13.09 12:00-13:00", Wanted(since=at("2025-09-13 12:00"), until=at("2025-09-13 13:00"))),
        ("13.09 23:00-01:00", Wanted(since=at("2025-09-13 23:00"), until=at("2025-09-14 01:00"))),
        ("10.09 12.09", Wanted(since=at("2025-09-10"), until=at("2025-09-13"))),
    ],
)
def test_a_text_is_understood(text: str, wanted: Wanted) -> None:
    assert read(text) == wanted


@given(st.text(max_size=80))
def test_any_text_is_read(text: str) -> None:
    wanted = read(text)
    assert wanted.since <= wanted.until <= EVER
    assert "\x00" not in wanted.unique_id


def test_a_number_is_looked_for_by_its_last_nine_digits_backwards() -> None:
    assert read("80290000001").phone_tail == read("+375290000001").phone_tail == "100000092"
    assert read_search("0001", UTC, NOW).phone_tail == "1000"
