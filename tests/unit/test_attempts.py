"""How often sign-in may fail: by address and enterprise, by address alone, in a sliding minute."""

from hypothesis import given
from hypothesis import strategies as st

from vochi_integrations.admin.attempts import REMEMBERED, WINDOW_SECONDS, Attempts


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def failed(attempts: Attempts, times: int, address: str = "192.0.2.1", enterprise: str = "0367") -> None:
    for _ in range(times):
        attempts.fail(address, enterprise)


def test_the_limit_is_for_one_address_and_one_enterprise() -> None:
    clock = Clock()
    attempts = Attempts(3, clock)
    failed(attempts, 2)
    assert attempts.wait("192.0.2.1", "0367") == 0
    failed(attempts, 1)
    assert attempts.wait("192.0.2.1", "0367") == WINDOW_SECONDS
    assert attempts.wait("192.0.2.2", "0367") == 0
    assert attempts.wait("192.0.2.1", "0368") == 0


def test_it_is_over_when_the_oldest_that_counts_is_a_minute_old() -> None:
    clock = Clock()
    attempts = Attempts(2, clock)
    failed(attempts, 1)
    clock.now += 40
    failed(attempts, 1)
    assert attempts.wait("192.0.2.1", "0367") == 20
    clock.now += 20
    assert attempts.wait("192.0.2.1", "0367") == 0
    failed(attempts, 1)
    assert attempts.wait("192.0.2.1", "0367") == 40


def test_trying_one_enterprise_after_another_does_not_help() -> None:
    attempts = Attempts(3, Clock())
    for number in range(30):
        assert attempts.wait("192.0.2.1", str(number)) == 0
        failed(attempts, 1, enterprise=str(number))
    assert attempts.wait("192.0.2.1", "31") > 0
    assert attempts.wait("192.0.2.2", "31") == 0


def test_tries_without_a_number_are_counted_once() -> None:
    attempts = Attempts(3, Clock())
    failed(attempts, 2, enterprise="")
    assert attempts.wait("192.0.2.1", "") == 0
    failed(attempts, 1, enterprise="")
    assert attempts.wait("192.0.2.1", "") > 0


def test_a_network_of_ipv6_is_one_address() -> None:
    attempts = Attempts(3, Clock())
    for host in ("2001:db8::1", "2001:db8::2", "2001:0db8:0:0:ffff::"):
        failed(attempts, 1, address=host)
    assert attempts.wait("2001:db8::3", "0367") > 0
    assert attempts.wait("2001:db8:0:1::3", "0367") == 0


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=50))
def test_odd_addresses_are_addresses_too(tries: list[tuple[str, str]]) -> None:
    attempts = Attempts(1, Clock())
    for address, enterprise in tries:
        attempts.fail(address, enterprise)
        assert attempts.wait(address, enterprise) > 0


def test_memory_is_bounded_however_many_addresses_try() -> None:
    clock = Clock()
    attempts = Attempts(3, clock)
    for number in range(3 * REMEMBERED):
        clock.now += 0.001
        failed(attempts, 1, address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(attempts) <= REMEMBERED + 2
    clock.now += WINDOW_SECONDS
    failed(attempts, 1)
    assert attempts.wait("10.0.0.1", "0367") == 0
