"""The staff and the settings as the pages put them: names that fit, choices that differ."""

from typing import Any

import pytest

from vochi_integrations.admin import choices, places
from vochi_integrations.admin.latest import read_sought
from vochi_integrations.admin.operations.staff import Staff
from vochi_integrations.admin.pages.journal import readable_phone
from vochi_integrations.admin.pages.managers import changed
from vochi_integrations.admin.roster import roster_of, saved
from vochi_integrations.integrations.base import Employee

DEFAULTS = {"record_owner": "first", "region": "BY", "timezone": "Europe/Minsk"}


def staff(ours: dict[str, str], *people: tuple[str, str, str], theirs: dict[str, str] | None = None) -> Staff:
    employees = [Employee(id=user, first_name=first, last_name=last) for user, first, last in people]
    return Staff(employees=employees, ours=ours, theirs=theirs or {}, differences=(), imported={}, is_suspicious=False)


def phone(number: str, owner: str | None = None) -> Any:
    return {"phone_number": number, "owner": owner}


def suggestions(known: Staff, *phones: Any) -> dict[str, str]:
    return {person.user: person.suggested for person in roster_of(known, phones).people if person.suggested}


class TestSuggestions:
    def test_a_telephones_owner_is_found_by_name_in_any_order(self) -> None:
        known = staff({}, ("1", "Анна", "Иванова"), ("2", "Пётр", "Лис"))
        assert suggestions(known, phone("150", "иванова анна"), phone("151", "Петр Лис")) == {"1": "150", "2": "151"}

    def test_two_of_a_name_are_not_guessed(self) -> None:
        twins = staff({}, ("1", "Анна", "Иванова"), ("2", "Анна", "Иванова"))
        assert suggestions(twins, phone("150", "Анна Иванова")) == {}
        one = staff({}, ("1", "Анна", "Иванова"))
        assert suggestions(one, phone("150", "Анна Иванова"), phone("151", "Анна Иванова")) == {}

    def test_who_has_a_number_needs_none_and_a_taken_number_is_not_free(self) -> None:
        known = staff({"1": "150", "3": "151"}, ("1", "Анна", "Иванова"), ("2", "Пётр", "Лис"), ("3", "Я", "Тоже"))
        assert suggestions(known, phone("150"), phone("151", "Пётр Лис"), phone("152", "Анна Иванова")) == {}


class TestSaved:
    def test_what_was_pushed_is_no_difference(self) -> None:
        before = staff({"1": "150"}, ("1", "Анна", "Иванова"), ("2", "Пётр", "Лис"), theirs={"1": "150"})
        assert saved(before, {"2": "150"}, pushed=True).differences == []

    def test_what_was_not_pushed_is_one(self) -> None:
        before = staff({"1": "150"}, ("1", "Анна", "Иванова"), theirs={"1": "150"})
        (difference,) = saved(before, {"1": "151"}, pushed=False).differences
        assert (difference.user, difference.ours, difference.theirs, difference.kind) == ("1", "151", "150", "conflict")


class TestForm:
    def test_only_what_was_changed_is_saved(self) -> None:
        form = {"was-1": "150", "ext-1": "150", "was-2": "", "ext-2": "151", "was-3": "152", "ext-3": ""}
        assert changed(form) == {"2": "151", "3": None}
        assert changed(form | {"only": "3"}) == {"3": None}


class TestChoices:
    def test_what_is_not_set_is_the_default(self) -> None:
        values = choices.values_of({"events": '{"in": false}', "region": None}, DEFAULTS)
        assert (values["events.in"], values["events.out"], values["region"]) == ("off", "on", "BY")

    def test_a_form_changes_what_it_shows_differently(self) -> None:
        form = {
            "was.events.in": "on",
            "was.events.out": "off",
            "events.out": "on",
            "was.region": "BY",
            "region": "RU",
            "was.timezone": "Europe/Minsk",
            "timezone": "Nowhere",
        }
        allowed = {"region": ["BY", "RU"], "timezone": ["Europe/Minsk"]}
        assert choices.patch_of(form, allowed) == {"events": {"in": False, "out": True}, "region": "RU"}


class TestPlaces:
    @pytest.mark.parametrize("language", ["ru", "en"])
    def test_every_country_and_zone_has_a_name(self, language: str) -> None:
        assert dict(places.regions(language))["BY"].endswith("(+375)")
        found = dict(places.zones(language, "America/Lima"))
        assert found["Europe/Minsk"] == {"ru": "Минск (UTC+3)", "en": "Minsk (UTC+3)"}[language]
        assert "America/Lima" in found

    def test_what_is_no_zone(self) -> None:
        assert [places.is_zone(name) for name in ("Europe/Minsk", "", "Mars/Base", "../etc")] == [True, *[False] * 3]


def test_a_filter_keeps_what_it_understands() -> None:
    sought = read_sought({"phone": " +375 \x00", "result": "nonsense", "kind": "record", "other": "x"})
    assert (sought.phone, sought.result, sought.kind, sought.narrowed) == ("+375", "", "record", True)


@pytest.mark.parametrize(
    ("sent", "read"),
    [("375290000001", "+375 29 000-00-01"), ("+375290000001", "+375 29 000-00-01"), ("150", "150"), ("abc", "abc")],
)
def test_phones_are_written_for_people(sent: str, read: str) -> None:
    assert readable_phone(sent) == read
