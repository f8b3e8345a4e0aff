"""The circuit breaker: when it opens, what it lets through, when it closes."""

from hypothesis import given
from hypothesis import strategies as st

from vochi_integrations.breaker import Breaker, State
from vochi_integrations.domain import Reason
from vochi_integrations.settings import Breaker as BreakerSettings

SETTINGS = BreakerSettings(failures=3, failure_ratio=0.5, window=10, open_seconds=30, refused_seconds=300)


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(SETTINGS)
    for _ in range(SETTINGS.failures):
        breaker.begin()
        breaker.fail(at)
    return breaker


def test_it_opens_after_consecutive_failures_however_far_apart() -> None:
    breaker = Breaker(SETTINGS)
    breaker.fail(0)
    breaker.fail(86_400)
    assert breaker.allows(86_400)
    breaker.fail(2 * 86_400)
    assert breaker.state(2 * 86_400) is State.OPEN
    assert breaker.reason is Reason.BREAKER_OPEN


def test_a_success_in_between_begins_the_count_anew() -> None:
    breaker = Breaker(SETTINGS)
    for _ in range(4):
        breaker.fail(0)
        breaker.fail(0)
        breaker.succeed()
        breaker.succeed()
        breaker.succeed()
    assert breaker.allows(0)


def test_it_opens_when_half_of_the_latest_requests_fail() -> None:
    breaker = Breaker(SETTINGS)
    for _ in range(5):
        breaker.succeed()
        breaker.fail(0)
    assert not breaker.allows(0)


def test_half_open_lets_one_probe_through() -> None:
    breaker = opened()
    assert not breaker.allows(29.9)
    assert breaker.allows(30)
    assert breaker.state(30) is State.HALF_OPEN
    breaker.begin()
    assert not breaker.allows(30)


def test_a_good_probe_closes_it() -> None:
    breaker = opened()
    breaker.begin()
    breaker.succeed()
    assert breaker.state(30) is State.CLOSED
    assert breaker.allows(30)
    assert breaker.is_quiet


def test_a_bad_probe_opens_it_for_as_long_again() -> None:
    breaker = opened()
    breaker.begin()
    breaker.fail(31)
    assert not breaker.allows(60)
    assert breaker.allows(61)


def test_a_probe_that_made_no_request_leaves_the_place_to_another() -> None:
    breaker = opened()
    breaker.begin()
    breaker.cancel()
    assert breaker.allows(30)


def test_a_failure_of_what_began_before_does_not_prolong_it() -> None:
    breaker = opened()
    breaker.fail(20)
    assert breaker.allows(30)


def test_a_refused_account_opens_it_at_once_and_for_longer() -> None:
    breaker = Breaker(SETTINGS)
    breaker.refuse(0, Reason.BAD_KEY)
    assert (breaker.allows(299), breaker.allows(300)) == (False, True)
    assert breaker.reason is Reason.BAD_KEY
    breaker.begin()
    breaker.refuse(300, Reason.BAD_KEY)
    assert not breaker.allows(599)
    breaker.reset()
    assert breaker.allows(300)


@given(st.lists(st.tuples(st.floats(0, 40), st.sampled_from(["succeed", "fail", "refuse", "cancel"])), max_size=60))
def test_at_most_one_request_at_a_time_while_it_is_not_closed(steps: list[tuple[float, str]]) -> None:
    breaker, now = Breaker(SETTINGS), 0.0
    for gap, outcome in steps:
        now += gap
        if not breaker.allows(now):
            assert now < breaker.until
            continue
        was_closed = breaker.state(now) is State.CLOSED
        breaker.begin()
        assert breaker.allows(now) is was_closed
        match outcome:
            case "succeed":
                breaker.succeed()
                assert breaker.state(now) is State.CLOSED
            case "fail":
                breaker.fail(now)
            case "refuse":
                breaker.refuse(now, Reason.TELEPHONY_OFF)
            case _:
                breaker.cancel()
        assert breaker.allows(now) or breaker.until > now
