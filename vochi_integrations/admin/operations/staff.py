"""Who has which extension: the CRM's users, our map of them, and keeping both sides equal.

Our map wins; what only the CRM has is imported; nothing is taken away because a list is empty or short. A removal
that the CRM could not be told is remembered, or the next comparison would bring it back.
"""

import asyncio
import re
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from vochi_integrations import clock
from vochi_integrations.admin.operations.desk import CRM, Desk
from vochi_integrations.configs import Config
from vochi_integrations.db import Row
from vochi_integrations.domain import Reason
from vochi_integrations.errors import BadRequestError, DeliveryError
from vochi_integrations.integrations.base import Employee
from vochi_integrations.integrations.extensions import (
    Difference,
    differences,
    held,
    importable,
    is_mass_disappearance,
    merged,
    read_ours,
)

UNPUSHED = "unpushed_extensions"
REMOVE = "REMOVE"
USER = re.compile(r"[0-9]{1,9}", re.ASCII)
PUSHES = 10
TEST_SECONDS = 2.0

Given = dict[str, str | None]


class Staff(Struct, frozen=True, kw_only=True):
    """The CRM's users with their extensions on both sides, and on whom the sides disagree.

    `imported` came from the CRM just now. `is_suspicious` is true when so many of our people are missing in the CRM's
    list that nothing should be concluded from it.
    """

    employees: Sequence[Employee]
    ours: Mapping[str, str]
    theirs: Mapping[str, str]
    differences: Sequence[Difference]
    imported: Mapping[str, str]
    is_suspicious: bool

    @property
    def extensions(self) -> dict[str, str]:
        return merged(self.ours, self.theirs)


class Saved(Struct, frozen=True, kw_only=True):
    """What was saved here, from whom extensions were taken (extension: user), and why the CRM does not have it yet."""

    extensions: Mapping[str, str]
    taken_from: Mapping[str, str]
    error: DeliveryError | None


class Synced(Struct, frozen=True, kw_only=True):
    """Both sides compared and made equal; `differences` are those of before."""

    extensions: Mapping[str, str]
    before: Mapping[str, str]
    imported: Mapping[str, str]
    differences: Sequence[Difference]
    is_suspicious: bool


class Shown(Struct, frozen=True, kw_only=True):
    """What came of a test card; `error` says why the CRM did not show it, `left_open` why it is still there."""

    extension: str
    error: DeliveryError | None
    left_open: DeliveryError | None = None


def ours_of(config: Mapping[str, Any]) -> Given:
    """Return our map; None are extensions taken away, which the CRM may not know yet."""
    unpushed: Given = dict.fromkeys(read_ours(config.get(UNPUSHED)))
    return unpushed | read_ours(config.get("user_extensions"))


async def extensions(desk: Desk) -> dict[str, str]:
    """Return our map of CRM user ids to extensions."""
    return held(ours_of(await desk.config() or {}))


async def phones(desk: Desk) -> list[Row]:
    """Return the enterprise's extensions with their owners."""
    await desk.require_enterprise()
    return await desk.internal_phones()


async def load(desk: Desk) -> Staff:
    """Read every user of the CRM; the first time, when our map is empty, import the extensions it has.

    Raises DeliveryError, also for an answer that is empty or not whole.
    """
    config, read = await desk.usable()
    employees, theirs = await asyncio.gather(desk.crm.employees(read), desk.crm.extensions(read))
    ours = ours_of(config)
    imported: dict[str, str] = {} if held(ours) else importable(ours, theirs)
    if imported:
        await desk.configs.patch_extensions(desk.number, CRM, imported, by=desk.by)
    users = {employee.id for employee in employees}
    return Staff(
        employees=employees,
        ours=held(ours | imported),
        theirs=theirs,
        differences=differences(ours | imported, theirs, users),
        imported=imported,
        is_suspicious=is_mass_disappearance(ours, users),
    )


async def save(desk: Desk, given: Mapping[str, object]) -> Saved:
    """Give users extensions, or none; users that are not named keep theirs. Then tell the CRM.

    Raises BadRequestError, and changes nothing, when an extension is unknown or given twice.
    """
    patch = read_given(given)
    config, _ = await desk.connected()
    known = {row["phone_number"] for row in await desk.internal_phones()}
    unknown = [extension for extension in patch.values() if extension and extension not in known]
    if unknown:
        raise BadRequestError(f"extension {unknown[0]} is not one of the enterprise's internal phones")
    before = held(ours_of(config))
    saved = await desk.configs.patch_extensions(desk.number, CRM, patch, by=desk.by)
    lost = {user: extension for user, extension in before.items() if user not in saved}
    return Saved(extensions=saved, taken_from=_taken(before, patch), error=await push(desk, lost))


def read_given(given: Mapping[str, object]) -> Given:
    """Read a patch: null, "" and REMOVE take an extension away. Raises BadRequestError."""
    patch = {_user(user): _extension(user, extension) for user, extension in given.items()}
    twice = [extension for extension, count in Counter(filter(None, patch.values())).items() if count > 1]
    if twice:
        raise BadRequestError(f"extension {twice[0]} is given to more than one user; give it to one")
    return patch


def _user(user: str) -> str:
    if not USER.fullmatch(user.strip()):
        raise BadRequestError("extensions: a key must be the number of a CRM user")
    return user.strip()


def _extension(user: str, value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadRequestError(f"extensions: the extension of user {user} must be a string or null")
    text = str(value).strip()
    return None if text in ("", REMOVE) else text


def _taken(before: Mapping[str, str], patch: Given) -> dict[str, str]:
    """Return from whom a patch takes extensions, by extension."""
    owners = {extension: user for user, extension in before.items()}
    given = {extension: user for user, extension in patch.items() if extension}
    return {
        extension: owners[extension]
        for extension, user in given.items()
        if extension in owners and owners[extension] != user
    }


async def push(desk: Desk, lost: Mapping[str, str]) -> DeliveryError | None:
    """Give the CRM our map, again when it was changed meanwhile; remember what it could not be told.

    `lost` are extensions that have just been taken away, by user.
    """
    for _ in range(PUSHES):
        config, read = await desk.connected()
        ours = dict.fromkeys(lost) | ours_of(config)
        answer = await desk.crm.push_extensions(read, ours)
        await desk.note(answer)
        if answer.error is not None or ours_of((await desk.connected())[0]) == ours_of(config):
            break
    if answer.error is not None:
        if lost:
            await _remember(desk, lost)
    elif config.get(UNPUSHED):
        await _remember(desk, None)
    return answer.error


def all_told(config: Config) -> Config:
    """Return the patch that forgets what the CRM could not be told up to now; what comes meanwhile is kept."""
    unpushed = read_ours(config.get(UNPUSHED))
    return {UNPUSHED: dict.fromkeys(unpushed)} if unpushed else {}


async def _remember(desk: Desk, lost: Mapping[str, str] | None) -> None:
    patch: Config = {UNPUSHED: None if lost is None else dict(lost)}
    await desk.configs.merge(desk.number, CRM, patch, by=desk.by, action="extensions")


async def sync(desk: Desk) -> Synced:
    """Compare both sides, import what only the CRM has, give it the rest. Raises DeliveryError."""
    config, read = await desk.usable()
    theirs, users = await asyncio.gather(desk.crm.extensions(read), _users(desk, read))
    ours = ours_of(config)
    imported = importable(ours, theirs)
    if imported:
        await desk.configs.patch_extensions(desk.number, CRM, imported, by=desk.by)
    is_told = merged(ours, theirs) == theirs and not config.get(UNPUSHED)
    error = None if is_told else await push(desk, {})
    if error is not None:
        raise error
    return Synced(
        extensions=merged(ours, theirs),
        before=held(ours),
        imported=imported,
        differences=differences(ours, theirs, users),
        is_suspicious=is_mass_disappearance(ours, theirs) or (users is not None and is_mass_disappearance(ours, users)),
    )


async def _users(desk: Desk, read: Any) -> set[str] | None:
    """Return the ids of the CRM's users, None when it does not tell them."""
    try:
        return {employee.id for employee in await desk.crm.employees(read)}
    except DeliveryError:
        return None


async def test_popup(desk: Desk, user: str, extension: str) -> Shown:
    """Show a test card to a manager for a moment, then close it; say whether the CRM took it.

    Without an extension the manager's own is used. Raises DeliveryError when the CRM cannot be reached.
    """
    config, read = await desk.usable()
    extension = extension or held(ours_of(config)).get(user, "")
    if not extension:
        raise BadRequestError(f"user {user} has no extension: choose one and save it first")
    call = f"test-{int(clock.now())}-{secrets.token_hex(3)}"
    shown = await desk.crm.show_test(read, extension, call)
    await desk.note(shown, action="test_call")
    if shown.error is not None:
        if shown.error.reason == Reason.CRM_UNREACHABLE:
            raise shown.error
        return Shown(extension=extension, error=shown.error)
    await asyncio.sleep(TEST_SECONDS)
    closed = await desk.crm.close_test(read, extension, call)
    await desk.note(closed, action="test_call")
    return Shown(extension=extension, error=None, left_open=closed.error)
