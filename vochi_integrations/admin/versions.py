"""A configuration's history in words: who changed what, from what to what."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from vochi_integrations.admin.choices import CHOICES
from vochi_integrations.admin.i18n import deferred, gettext
from vochi_integrations.configs import Change, ConfigVersion

SHOWN = 8
HIDDEN = frozenset({"client_id", "token_id", "registered_at", "registered_url"})
ACTIONS: Mapping[str, str] = {
    "settings": deferred("Настройки"),
    "save": deferred("Подключение"),
    "config": deferred("Подключение"),
    "register": deferred("Регистрация в CRM"),
    "extensions": deferred("Номера сотрудников"),
    "import": deferred("Номера взяты из CRM"),
    "sync": deferred("Номера сверены с CRM"),
    "undo": deferred("Возвращено как было"),
    "drop": deferred("Интеграция удалена"),
}
KEYS: Mapping[str, str] = {
    "domain": deferred("Адрес домена"),
    "api_key": "API Key",
    "enabled": deferred("Активен?"),
}


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
        by=gettext(version.by),
        title=gettext(ACTIONS.get(version.action, version.action)),
        changes=[_told(change, names) for change in seen[:SHOWN]],
        more=max(0, len(seen) - SHOWN),
        can_undo=any(_is_restorable(change) for change in seen),
    )


def _is_restorable(change: Change) -> bool:
    return change.before != "****"


def _told(change: Change, names: Mapping[str, str]) -> Told:
    return Told(_name(change.path, names), _value(change.path, change.before), _value(change.path, change.after))


def _name(path: Sequence[str], names: Mapping[str, str]) -> str:
    if path[0] == "user_extensions":
        user = path[-1]
        return names.get(user) or gettext("Сотрудник {user}").format(user=f"ID {user}")
    choice = CHOICES.get(".".join(path))
    return gettext(choice.label if choice else KEYS.get(path[0], ".".join(path)))


def _value(path: Sequence[str], value: Any) -> str:
    if value is None or value == "":
        return gettext("без номера") if path[0] == "user_extensions" else "—"
    if isinstance(value, bool):
        return gettext("да") if value else gettext("нет")
    choice = CHOICES.get(".".join(path))
    options = dict(choice.options) if choice else {}
    return gettext(options[value]) if value in options else str(value)
