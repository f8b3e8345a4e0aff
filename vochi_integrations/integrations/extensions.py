"""Who has which extension, here and in the CRM: what is pushed, what is imported, what differs. Pure.

Ours wins. A user of ours whose extension is None was taken away; a user we do not have is the CRM's own. Nothing is
ever taken away because one side's list is empty or short.
"""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from msgspec import Struct

from vochi_integrations.events import decoded

Ours = Mapping[str, str | None]
LARGE_SHARE = 0.3


class Difference(Struct, frozen=True, kw_only=True):
    """One user on whom the sides disagree. `gone` is a user of ours whom the CRM does not list any more."""

    user: str
    ours: str | None
    theirs: str | None
    kind: Literal["only_ours", "only_theirs", "conflict", "gone"]


def read_ours(value: object) -> dict[str, str | None]:
    """Read `user_extensions` as it is stored; null and "" are extensions taken away (contract, Set-up)."""
    value = decoded(value)
    if not isinstance(value, Mapping):
        return {}
    return {str(user): _text(extension) or None for user, extension in value.items()}


def _text(value: Any) -> str:
    return "" if value is None or isinstance(value, bool | dict | list) else str(value).strip()


def held(ours: Ours) -> dict[str, str]:
    """Return who has an extension; of two users with the same one the first has it."""
    users: dict[str, str] = {}
    for user, extension in ours.items():
        if extension and extension not in users:
            users[extension] = user
    return {user: extension for extension, user in users.items()}


def importable(ours: Ours, theirs: Mapping[str, str]) -> dict[str, str]:
    """Return what only the CRM has and contradicts nothing of ours."""
    taken = set(held(ours).values())
    return held({user: code for user, code in theirs.items() if user not in ours and code not in taken})


def merged(ours: Ours, theirs: Mapping[str, str]) -> dict[str, str]:
    """Return what both sides are to have."""
    return {**importable(ours, theirs), **held(ours)}


def differences(ours: Ours, theirs: Mapping[str, str], users: Collection[str] | None = None) -> list[Difference]:
    """Compare both sides; `users` are those the CRM lists, when that is known."""
    mine = held(ours)
    found = [_difference(user, mine.get(user), theirs.get(user), users) for user in {**mine, **theirs}]
    return [item for item in found if item is not None]


def _difference(user: str, ours: str | None, theirs: str | None, users: Collection[str] | None) -> Difference | None:
    if ours and users is not None and user not in users:
        return Difference(user=user, ours=ours, theirs=theirs, kind="gone")
    if ours == theirs:
        return None
    kind: Literal["only_ours", "only_theirs", "conflict"] = (
        "only_theirs" if not ours else "only_ours" if not theirs else "conflict"
    )
    return Difference(user=user, ours=ours, theirs=theirs, kind=kind)


def is_mass_disappearance(ours: Ours, found: Collection[str]) -> bool:
    """Tell whether so many of our users are missing from a list of the CRM that the list is not to be believed."""
    mine = held(ours)
    missing = sum(user not in found for user in mine)
    return missing > len(mine) * LARGE_SHARE
