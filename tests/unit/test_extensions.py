"""Two maps of extensions, ours and the CRM's: properties of what is pushed, imported, and called different."""

from hypothesis import given
from hypothesis import strategies as st

from vochi_integrations.integrations.extensions import (
    differences,
    held,
    importable,
    is_mass_disappearance,
    merged,
    read_ours,
)

USERS = st.sampled_from("123456")
NUMBERS = st.sampled_from(["150", "151", "152", "153"])
OURS = st.dictionaries(USERS, st.none() | NUMBERS)
THEIRS = st.dictionaries(USERS, NUMBERS)


@given(OURS, THEIRS)
def test_ours_always_wins(ours: dict[str, str | None], theirs: dict[str, str]) -> None:
    both = merged(ours, theirs)
    assert held(ours).items() <= both.items()
    assert not {user for user, extension in ours.items() if extension is None} & both.keys(), "what was taken stays so"


@given(OURS, THEIRS)
def test_an_extension_has_one_owner_and_comes_from_somewhere(
    ours: dict[str, str | None], theirs: dict[str, str]
) -> None:
    both = merged(ours, theirs)
    assert len(set(both.values())) == len(both)
    assert all(extension in (ours.get(user), theirs.get(user)) for user, extension in both.items())


@given(OURS, THEIRS)
def test_a_second_comparison_finds_nothing_more(ours: dict[str, str | None], theirs: dict[str, str]) -> None:
    both = merged(ours, theirs)
    after = {**ours, **importable(ours, theirs)}
    assert merged(after, both) == both
    assert importable(after, both) == {}
    assert differences(after, both) == []


@given(OURS)
def test_an_empty_list_of_the_crm_takes_nothing(ours: dict[str, str | None]) -> None:
    assert merged(ours, {}) == held(ours)


def test_ours_is_read_tolerantly() -> None:
    read = read_ours({"19": "150", "18": 151, 22: None, "23": "", "24": " 152 ", "25": [1], "26": True})
    assert read == {"19": "150", "18": "151", "22": None, "23": None, "24": "152", "25": None, "26": None}
    assert read_ours('{"19": "150"}') == {"19": "150"}, "a JSON string of an old writer"
    assert (read_ours(None), read_ours([1]), read_ours("x")) == ({}, {}, {})


def test_more_than_a_third_is_a_mass() -> None:
    ours: dict[str, str | None] = {str(user): str(150 + user) for user in range(10)}
    assert not is_mass_disappearance(ours, {str(user) for user in range(7)})
    assert is_mass_disappearance(ours, {str(user) for user in range(6)})
    assert is_mass_disappearance(ours, ())
    assert not is_mass_disappearance({}, ())
