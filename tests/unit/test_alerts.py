"""When an alert fires, when it is over, and what changes nothing."""

from msgspec.structs import replace

from vochi_integrations.lanes import LaneStatus
from vochi_integrations.ops.alerts import Alarms, Backlog, Change, Facts, Limits, Reading, limits, read
from vochi_integrations.settings import Alerts

SETTINGS = Alerts(interval=10.0)
RULES = limits(SETTINGS, heartbeat=5.0)
QUIET = Facts(at=1000.0, looked_at=1000.0, backlog=Backlog(at=1000.0, waiting=0, overdue_seconds=0.0))
OPEN = LaneStatus(
    enterprise="0367",
    integration="retailcrm",
    breaker="open",
    reason="bad_key",
    failures=5,
    probe_in=30.0,
    running=0,
    waiting=0,
)


def told(changes: list[Change]) -> list[tuple[str, bool]]:
    return [(change.reading.rule, change.firing) for change in changes]


def firing(now: Facts, before: Facts = QUIET) -> list[str]:
    """Return the rules that fire at once when the daemon is like this."""
    return [change.reading.rule for change in Alarms(RULES).advance(read(now, before), now.at)]


def level(value: float | None, rule: str = "x", enterprise: str = "") -> Reading:
    return Reading(rule=rule, level=value, text="", enterprise=enterprise)


def test_a_quiet_daemon_fires_nothing() -> None:
    assert firing(QUIET) == []


def test_every_rule_has_a_state_that_fires_it_and_nothing_else() -> None:
    states = {
        "hit_ratio": replace(QUIET, hits=80, misses=20),
        "crm_errors": replace(QUIET, attempts={"retailcrm": (8, 12)}),
        "breaker_open": replace(QUIET, lanes=[OPEN]),
        "host_silent": replace(QUIET, silent={"0367": 25.0, "0368": 3.0, "0369": None}),
        "backlog_overdue": replace(QUIET, backlog=Backlog(at=1000.0, waiting=7, overdue_seconds=121.0)),
        "listen_lost": replace(QUIET, deaf_seconds=16.0),
        "spool_in_use": replace(QUIET, spooled=True),
        "events_refused": replace(QUIET, shed=1),
        "failed_records": replace(
            QUIET, backlog=Backlog(at=1000.0, waiting=0, overdue_seconds=0.0, failed={"0367": 2})
        ),
        "blind": replace(QUIET, looked_at=950.0),
    }
    assert set(states) == set(RULES)
    for rule, state in states.items():
        assert firing(state) == [rule]


def test_few_requests_say_nothing_of_a_ratio() -> None:
    assert firing(replace(QUIET, hits=1, misses=40, attempts={"retailcrm": (0, 19)})) == []


def test_ratios_are_of_the_window_not_of_the_whole_life() -> None:
    before = replace(QUIET, hits=0, misses=10_000, attempts={"retailcrm": (0, 10_000)})
    now = replace(QUIET, hits=10_000, misses=10_000, attempts={"retailcrm": (10_000, 10_000)})
    assert firing(now, before) == []
    assert firing(now) == ["hit_ratio", "crm_errors"]


def test_a_level_between_the_limits_changes_nothing() -> None:
    alarms = Alarms({"x": Limits(10, 2)})
    assert told(alarms.advance([level(9)], 0)) == []
    assert told(alarms.advance([level(10)], 1)) == [("x", True)]
    assert told(alarms.advance([level(11)], 2)) == []
    assert told(alarms.advance([level(5)], 3)) == []
    assert told(alarms.advance([level(2)], 4)) == [("x", False)]
    assert told(alarms.advance([level(1)], 5)) == []


def test_an_alert_that_flaps_is_told_of_once() -> None:
    alarms = Alarms({"x": Limits(1, 0, quiet=30)})
    changes = []
    for second in range(0, 100, 10):
        changes += alarms.advance([level(second // 10 % 2)], second)
    assert told(changes) == [("x", True)]
    assert told(alarms.advance([level(0)], 110)) == []
    assert told(alarms.advance([level(0)], 140)) == [("x", False)]


def test_no_data_neither_fires_nor_ends() -> None:
    alarms = Alarms({"x": Limits(1, 0)})
    assert told(alarms.advance([level(None)], 0)) == []
    assert told(alarms.advance([level(1)], 1)) == [("x", True)]
    assert told(alarms.advance([level(None)], 2)) == []
    assert told(alarms.advance([], 3, complete=False)) == []
    assert [reading.rule for reading, _ in alarms.firing()] == ["x"]


def test_what_is_not_read_any_more_is_over() -> None:
    alarms = Alarms({"x": Limits(1, 0)})
    alarms.advance([level(1, enterprise="0367"), level(1, enterprise="0368")], 0)
    changes = alarms.advance([level(1, enterprise="0368")], 5)
    assert [(change.reading.enterprise, change.firing, change.since) for change in changes] == [("0367", False, 0)]
    assert [reading.enterprise for reading, _ in alarms.firing()] == ["0368"]


def test_reminders_come_only_when_asked_for() -> None:
    alarms = Alarms({"x": Limits(1, 0)}, repeat=60)
    changes = [change for second in range(0, 130, 10) for change in alarms.advance([level(1)], second)]
    assert [(change.repeated, change.since) for change in changes] == [(False, 0), (True, 0), (True, 0)]


def test_what_fired_before_a_restart_is_not_told_again_but_its_end_is() -> None:
    alarms = Alarms({"x": Limits(1, 0)})
    alarms.restore(level(1), since=100.0)
    assert told(alarms.advance([level(1)], 200)) == []
    (change,) = alarms.advance([], 210)
    assert (change.firing, change.since) == (False, 100.0)


def test_an_operator_may_switch_silence_off() -> None:
    off = limits(Alerts(silent_events=0.0), heartbeat=5.0)
    now = replace(QUIET, silent={"0367": 1e9})
    assert Alarms(off).advance(read(now, QUIET), now.at) == []
