"""The snapshot's indexes: a change of a few is the same as building all anew."""

from hypothesis import given
from hypothesis import strategies as st

from vochi_integrations.domain import Enterprise
from vochi_integrations.listener import read_number
from vochi_integrations.snapshot import Snapshot, read_config

proofs = st.sampled_from(["", "a", "b", "c", "d"])
companies = st.builds(
    Enterprise,
    number=st.sampled_from("123456"),
    token=proofs,
    secret=proofs,
    active=st.booleans(),
    name=st.text(max_size=1),
)
some = st.lists(companies, max_size=6, unique_by=lambda item: item.number)


@given(some, st.lists(st.tuples(st.sets(st.sampled_from("123456"), max_size=3), some), max_size=5))
def test_reloading_some_is_the_same_as_building_all(
    first: list[Enterprise], reloads: list[tuple[set[str], list[Enterprise]]]
) -> None:
    snapshot, known = Snapshot.of(first), {item.number: item for item in first}
    for numbers, found in reloads:
        reloaded = [item for item in found if item.number in numbers]
        snapshot = snapshot.with_reloaded(numbers, reloaded)
        known = {number: item for number, item in known.items() if number not in numbers}
        known |= {item.number: item for item in reloaded}
        whole = Snapshot.of(known.values())
        assert snapshot.by_number == whole.by_number
        assert snapshot.by_token == whole.by_token
        assert snapshot.by_secret == whole.by_secret


def test_the_active_one_of_two_has_their_token() -> None:
    first, second = Enterprise(number="1", token="t", active=False), Enterprise(number="2", token="t")
    assert Snapshot.of([first, second]).by_token["t"].number == "2"
    assert Snapshot.of([second, first]).by_token["t"].number == "2"
    assert Snapshot.of([Enterprise(number="3", token="t"), second]).by_token["t"].number == "2"


def test_a_configuration_written_twice_is_read() -> None:
    assert read_config("1", '{"retailcrm": {}}') == {"retailcrm": {}}
    others: list[object] = [None, 5, [], "text", '"again"', "[]"]
    assert [read_config("1", value) for value in others] == [{}] * 6


def test_a_notification_names_an_enterprise_or_all() -> None:
    assert read_number('{"enterprise_number": "0367", "op": "update"}') == "0367"
    for payload in ("", "x", "[]", "{}", '{"enterprise_number": null}', '{"enterprise_number": 5}'):
        assert read_number(payload) is None
