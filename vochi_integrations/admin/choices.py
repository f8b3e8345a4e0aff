"""What a company chooses about its CRM: each choice, what it does, and where in its configuration it is kept. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from vochi_integrations.admin.i18n import deferred
from vochi_integrations.events import decoded

ON, OFF = "on", "off"


class Choice(Struct, frozen=True, kw_only=True):
    """One choice. A switch, on unless it is off, has no `options`; names of lists made elsewhere are in `listed`.

    `path` is where its value is kept: a key, or a key in an object under a key. `hint` says what it does.
    """

    path: tuple[str, ...]
    label: str
    hint: str
    options: Sequence[tuple[str, str]] = ()
    listed: str = ""

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def is_switch(self) -> bool:
        return not self.options and not self.listed


class Section(Struct, frozen=True):
    title: str
    choices: Sequence[Choice]


SECTIONS = (
    Section(
        deferred("Что отправлять в CRM"),
        (
            Choice(
                path=("events", "in"),
                label=deferred("Входящие звонки"),
                hint=deferred("Карточка клиента открывается у сотрудника, пока телефон ещё звонит."),
            ),
            Choice(
                path=("events", "out"),
                label=deferred("Исходящие звонки"),
                hint=deferred("Карточка открывается и тогда, когда сотрудник сам звонит клиенту."),
            ),
            Choice(
                path=("events", "hangup"),
                label=deferred("Завершение звонка"),
                hint=deferred("Карточка закрывается сама, когда разговор окончен или ответил коллега."),
            ),
            Choice(
                path=("events", "history"),
                label=deferred("История звонков"),
                hint=deferred("Каждый звонок записывается в историю клиента: кто, когда, сколько говорили."),
            ),
            Choice(
                path=("record_link",),
                label=deferred("Ссылка на запись разговора"),
                hint=deferred("В истории звонка есть ссылка, по которой можно прослушать разговор."),
            ),
        ),
    ),
    Section(
        deferred("Чей это звонок"),
        (
            Choice(
                path=("record_owner",),
                label=deferred("Переведённый звонок записать на"),
                hint=deferred("Кого указать в истории, если с клиентом говорили несколько сотрудников."),
                options=(
                    ("first", deferred("того, кто ответил первым")),
                    ("last", deferred("того, кто говорил последним")),
                ),
            ),
            Choice(
                path=("missed_extension",),
                label=deferred("Ответственный за пропущенные"),
                hint=deferred("На кого записать входящий звонок, на который никто не ответил."),
                listed="extensions",
            ),
            Choice(
                path=("smart_redirect",),
                label=deferred("Умная переадресация"),
                hint=deferred(
                    "Клиента сразу соединяют с его менеджером из CRM. Линии для неё выбирают в личном кабинете."
                ),
            ),
        ),
    ),
    Section(
        deferred("Номера и время"),
        (
            Choice(
                path=("region",),
                label=deferred("Страна номеров"),
                hint=deferred("Номера без кода страны считаются номерами этой страны."),
                listed="regions",
            ),
            Choice(
                path=("timezone",),
                label=deferred("Часовой пояс"),
                hint=deferred("По нему указано время звонков в CRM и на этих страницах. Нужен тот же, что в CRM."),
                listed="zones",
            ),
        ),
    ),
)
CHOICES: Mapping[str, Choice] = {choice.name: choice for section in SECTIONS for choice in section.choices}


def values_of(config: Mapping[str, Any], defaults: Mapping[str, str]) -> dict[str, str]:
    """Return what is chosen, by the names of the choices; `defaults` is what holds where nothing was chosen."""
    return {name: _shown(choice, config, defaults) for name, choice in CHOICES.items()}


def _shown(choice: Choice, config: Mapping[str, Any], defaults: Mapping[str, str]) -> str:
    value = _found(config, choice.path)
    if choice.is_switch:
        return OFF if value is False else ON
    return value if isinstance(value, str) and value else defaults.get(choice.name, "")


def _found(config: Mapping[str, Any], path: Sequence[str]) -> object:
    value: object = config
    for key in path:
        value = decoded(value)
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def patch_of(form: Mapping[str, str], allowed: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return what a form changes: choices that differ from what it showed, so that others' changes stay.

    `allowed` is the values of choices with options; others are left alone.
    """
    patch: dict[str, Any] = {}
    for name, choice in CHOICES.items():
        shown, now = form.get(f"was.{name}"), form.get(name, OFF if choice.is_switch else "")
        if shown is None or shown == now or (not choice.is_switch and now not in allowed[name]):
            continue
        value: object = now == ON if choice.is_switch else now or None
        _put(patch, choice.path, value)
    return patch


def _put(patch: dict[str, Any], path: Sequence[str], value: object) -> None:
    for key in path[:-1]:
        patch = patch.setdefault(key, {})
    patch[path[-1]] = value
