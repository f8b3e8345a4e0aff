"""The staff as the page shows it: who has which extension, who might, and where the CRM differs."""

import time
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from vochi_integrations.admin.i18n import deferred, gettext
from vochi_integrations.admin.operations.staff import Staff
from vochi_integrations.db import Row
from vochi_integrations.integrations.base import Employee, Said
from vochi_integrations.integrations.extensions import Difference, differences

KEPT = 200
GOOD_SECONDS = 600.0
DIFFERENCES: Mapping[str, str] = {
    "only_ours": deferred("{name}: здесь {ours}, в CRM номера нет"),
    "only_theirs": deferred("{name}: в CRM {theirs}, здесь номера нет"),
    "conflict": deferred("{name}: здесь {ours}, в CRM {theirs}"),
    "gone": deferred("{name}: здесь {ours}, но такого сотрудника в CRM уже нет"),
}


class Number(Struct, frozen=True, kw_only=True):
    """An extension to choose. `label` says whose it is, "" for nobody's; `user` and `holder` who has it in the CRM."""

    number: str
    label: str = ""
    user: str = ""
    holder: str = ""
    owner: str = ""


class Person(Struct, frozen=True, kw_only=True):
    """A row. `find` is what the search looks in; `suggested` an extension whose owner has the same name.

    `options` are all extensions, where no script brings them. `saved` is what has just been done, with its `tone`.
    """

    user: str
    name: str
    email: str = ""
    groups: str = ""
    extension: str = ""
    label: str = ""
    suggested: str = ""
    inactive: bool = False
    gone: bool = False
    options: Sequence[Number] = ()
    saved: Said | str = ""
    tone: str = ""

    @property
    def find(self) -> str:
        return f"{self.name} {self.email} {self.groups} {self.extension}".lower()


class Note(Struct, frozen=True):
    """What stands above the list."""

    tone: str
    title: Said | str
    text: Said | str = ""


class Roster(Struct, frozen=True, kw_only=True):
    """Everything on the page; whole when the CRM has said its part. `version` changes with who has which extension."""

    people: Sequence[Person] = ()
    numbers: Sequence[Number] = ()
    differences: Sequence[Said] = ()
    notes: Sequence[Note] = ()
    is_whole: bool = True

    @property
    def version(self) -> str:
        return f"{zlib.crc32(repr([(number.number, number.user) for number in self.numbers]).encode()):x}"

    @property
    def given(self) -> int:
        return sum(bool(person.extension) for person in self.people)

    @property
    def suggestions(self) -> int:
        return sum(bool(person.suggested) for person in self.people)

    def with_notes(self, *notes: Note) -> "Roster":
        return replace(self, notes=[*notes, *self.notes])


def roster_of(staff: Staff, phones: Iterable[Row]) -> Roster:
    """Put the CRM's users and the company's extensions together."""
    names = names_of(staff)
    numbers = _numbers(phones, staff.ours, names)
    by_number = {number.number: number for number in numbers}
    suggested = _suggested(staff, numbers)
    known = [_person(employee, staff.ours, by_number, suggested) for employee in staff.employees]
    users = {person.user for person in known}
    gone = [
        Person(user=user, name=names[user], extension=extension, label=_label(by_number, extension), gone=True)
        for user, extension in staff.ours.items()
        if user not in users
    ]
    return Roster(
        people=[*sorted(known, key=lambda person: (person.inactive, person.name.casefold())), *gone],
        numbers=numbers,
        differences=[_worded(item, names) for item in staff.differences],
        notes=list(_notes(staff)),
    )


def names_of(staff: Staff) -> dict[str, str]:
    """Return everybody's name, or their number where the CRM does not know them."""
    named = {employee.id: name_of(employee) for employee in staff.employees}
    strangers = {item.user for item in staff.differences} | set(staff.ours)
    return {user: gettext("Сотрудник {user}").format(user=user) for user in strangers} | named


def name_of(employee: Employee) -> str:
    return f"{employee.first_name} {employee.last_name}".strip() or employee.email or f"ID {employee.id}"


def _numbers(phones: Iterable[Row], ours: Mapping[str, str], names: Mapping[str, str]) -> Sequence[Number]:
    """Return the extensions, each with whose telephone it is and who has it in the CRM."""
    holders = {extension: user for user, extension in ours.items()}
    return [_number(row["phone_number"], row["owner"] or "", holders, names) for row in phones]


def _number(extension: str, owner: str, holders: Mapping[str, str], names: Mapping[str, str]) -> Number:
    user = holders.get(extension, "")
    holder = names.get(user, "")
    label = owner or holder
    if owner and holder and _words(owner) != _words(holder):
        label = gettext("{owner}, сейчас у: {holder}").format(owner=owner, holder=holder)
    return Number(number=extension, label=label, user=user, holder=holder, owner=owner)


def _words(name: str) -> frozenset[str]:
    return frozenset(name.casefold().replace("ё", "е").split())


def _suggested(staff: Staff, numbers: Iterable[Number]) -> dict[str, str]:
    """Return the free extensions whose owner has the name of one employee without an extension, and of no other."""
    free = [number for number in numbers if number.owner and not number.user]
    owners = Counter(_words(number.owner) for number in free)
    people = Counter(_words(name_of(employee)) for employee in staff.employees)
    wanted = {_words(number.owner): number.number for number in free if owners[_words(number.owner)] == 1}
    without = (employee for employee in staff.employees if employee.id not in staff.ours and employee.is_active)
    named = ((employee.id, _words(name_of(employee))) for employee in without)
    return {user: wanted[words] for user, words in named if words in wanted and people[words] == 1}


def _person(
    employee: Employee, ours: Mapping[str, str], numbers: Mapping[str, Number], suggested: Mapping[str, str]
) -> Person:
    extension = ours.get(employee.id, "")
    return Person(
        user=employee.id,
        name=name_of(employee),
        email=employee.email,
        groups=", ".join(group.name for group in employee.groups if group.name),
        extension=extension,
        label=_label(numbers, extension) if extension else "",
        suggested=suggested.get(employee.id, ""),
        inactive=not employee.is_active,
    )


def _label(numbers: Mapping[str, Number], extension: str) -> str:
    return numbers[extension].label if extension in numbers else gettext("нет на АТС")


def _worded(difference: Difference, names: Mapping[str, str]) -> Said:
    values = {"name": names[difference.user], "ours": difference.ours, "theirs": difference.theirs}
    return Said(DIFFERENCES[difference.kind], values)


def _notes(staff: Staff) -> Iterable[Note]:
    if staff.imported:
        text = deferred("Взято из CRM номеров: {count}. Проверьте, что они верны.")
        yield Note("good", deferred("Номера сотрудников взяты из CRM"), Said(text, {"count": len(staff.imported)}))
    if staff.is_suspicious:
        yield Note(
            "warn",
            deferred("CRM прислала неполный список сотрудников"),
            deferred(
                "В нём нет многих из тех, у кого есть номера. Мы ничего не изменили: карточки приходят как раньше."
                " Проверьте список пользователей в CRM и нажмите «Обновить»."
            ),
        )


def saved(staff: Staff, extensions: Mapping[str, str], *, pushed: bool) -> Staff:
    """Return the staff after a save: the CRM has what we have when that was `pushed` to it."""
    theirs = {**staff.theirs, **extensions} if pushed else dict(staff.theirs)
    if pushed:
        theirs = {user: code for user, code in theirs.items() if user in extensions or user not in staff.ours}
        taken = set(extensions.values())
        theirs = {user: code for user, code in theirs.items() if user in extensions or code not in taken}
    users = {employee.id for employee in staff.employees}
    found = differences(extensions, theirs, users)
    return replace(staff, ours=dict(extensions), theirs=theirs, imported={}, differences=found)


class Rosters:
    """What the CRM last said of each company's staff, for as long as that is good; the oldest goes when there are many.

    Only names, groups and the CRM's extensions come from here, never ours.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, Staff]] = {}

    def put(self, number: str, staff: Staff) -> None:
        self._kept.pop(number, None)
        self._kept[number] = (time.monotonic(), staff)
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]

    def get(self, number: str) -> Staff | None:
        at, staff = self._kept.get(number, (0.0, None))
        return staff if staff is not None and time.monotonic() - at < GOOD_SECONDS else None

    def forget(self, number: str) -> None:
        self._kept.pop(number, None)
