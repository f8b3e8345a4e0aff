"""A host's silence is measured in the events it usually sends meanwhile."""

from vochi_integrations.ops.silence import HOUR, missed_events

NOON = 1_700_000_000.0 - 1_700_000_000.0 % HOUR


def test_the_part_of_each_hour_counts() -> None:
    usual = {0: 40.0, 1: 60.0, 2: 1000.0}
    assert missed_events(NOON, NOON + HOUR / 2, usual) == 20.0
    assert missed_events(NOON - HOUR / 3, NOON + HOUR / 2, usual) == 40.0
    assert missed_events(NOON + 100, NOON + 100, usual) == 0.0


def test_a_quiet_night_is_no_silence() -> None:
    assert missed_events(NOON - 8 * HOUR, NOON, dict.fromkeys(range(9), 0.0)) == 0.0


def test_nothing_is_said_of_a_silence_of_a_day() -> None:
    assert missed_events(NOON - 24 * HOUR, NOON, {0: 100.0}) is None
