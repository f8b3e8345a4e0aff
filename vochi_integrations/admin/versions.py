"""A configuration's history in words: who changed what, from what to what."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from vochi_integrations.admin.choices import CHOICES, Choice
from vochi_integrations.admin.i18n import deferred, gettext
from vochi_integrations.configs import Change, ConfigVersion
from vochi_integrations.logs import MASK

SHOWN = 8
HIDDEN = frozenset({"client_id", "token_id", "registered_at", "registered_url"})
ACTIONS: Mapping[str, str] = {
    "settings": deferred("Настройки"),
    "config": deferred("Подключение"),
    "register": deferred("Регистрация в CRM"),
    "extensions": deferred("Номера сотрудников"),
    "activity": deferred("Изменено в CRM"),
    "undo": deferred("Возвращено как было"),
    "drop": deferred("Интеграция удалена"),
}
KEYS: Mapping[str, str] = {
    "domain": deferred("Адрес домена"),
    "api_key": "API Key",
    "enabled": deferred("Активен"),
}
API = "api"


class Told(Struct, frozen=True):
    """One value that changed, in words."""

    name: str
    before: str
    after: str


class Version(Struct, frozen=True, kw_only=True):
    """A change as the page shows it; `more` is how many values are not shown."""

    id: int
    iso: str
    at: str
    by: str
    title: str
    changes: Sequence[Told]
    more: int
    can_undo: bool


def told(version: ConfigVersion, zone: ZoneInfo, names: Mapping[str, str]) -> Version:
    """Put a change into words; `names` are the CRM users that are known by name."""
    moment = datetime.fromtimestamp(version.at, zone)
    seen = [change for change in version.changes if change.path[0] not in HIDDEN]
    return Version(
        id=version.id,
        iso=moment.isoformat(timespec="seconds"),
        at=f"{moment:%d.%m.%Y %H:%M}",
        by=gettext("по API") if version.by == API else gettext(version.by),
        title=gettext(ACTIONS.get(_action(version, seen), version.action)),
        changes=[_told(change, names) for change in seen[:SHOWN]],
        more=max(0, len(seen) - SHOWN),
        can_undo=any(change.before != MASK for change in seen) and not _is_the_first(seen),
    )


def _action(version: ConfigVersion, seen: Sequence[Change]) -> str:
    """Return what was done; a save of nothing but the connection is named for it."""
    only_connection = bool(seen) and all(change.path[0] in KEYS for change in seen)
    return "config" if version.action == "settings" and only_connection else version.action


def _is_the_first(seen: Sequence[Change]) -> bool:
    """Tell a first connection, which is undone by removing it."""
    return any(change.path == ("domain",) and change.before is None for change in seen)


def _told(change: Change, names: Mapping[str, str]) -> Told:
    return Told(_name(change.path, names), _value(change.path, change.before), _value(change.path, change.after))


def _name(path: Sequence[str], names: Mapping[str, str]) -> str:
    if path[0] == "user_extensions":
        user = path[-1]
        return names.get(user) or gettext("Сотрудник {user}").format(user=f"ID {user}")
    choice = CHOICES.get(".".join(path))
    return gettext(choice.label if choice else KEYS.get(path[0], ".".join(path)))


def _value(path: Sequence[str], value: Any) -> str:
    choice = CHOICES.get(".".join(path))
    if value is None or value == "":
        return _nothing(path, choice)
    if isinstance(value, bool):
        return gettext("да") if value else gettext("нет")
    options = dict(choice.options) if choice else {}
    return gettext(options[value]) if value in options else str(value)


def _nothing(path: Sequence[str], choice: Choice | None) -> str:
    """Say what no value means."""
    if path[0] == "user_extensions":
        return gettext("без номера")
    if choice is None:
        return "—"
    return gettext("да") if choice.is_switch else gettext("по умолчанию")
