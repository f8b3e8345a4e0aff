"""When an operator is told: pure rules over what the daemon counts, with hysteresis, also when nothing is known.

A rule reads a level of which more is worse. It fires at `trip` and is over at `clear`, lower, for `quiet` seconds; what
lies between changes nothing. A level that nobody knows changes nothing either: that itself is the rule `blind`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct, field

from vochi_integrations.lanes import LaneStatus
from vochi_integrations.settings import Alerts

FEWEST_LOOKUPS = 50
FEWEST_ATTEMPTS = 20
DEAF_BEATS = 3
BLIND_LOOKS = 4
Key = tuple[str, str, str]


class Limits(NamedTuple):
    """When a level fires, and when it is over."""

    trip: float
    clear: float
    quiet: float = 0.0


class Backlog(Struct, frozen=True, kw_only=True):
    """What the table of deliveries says: how many wait, how late, how many records failed by enterprise."""

    at: float
    waiting: int
    overdue_seconds: float
    failed: Mapping[str, int] = field(default_factory=dict)


class Facts(Struct, frozen=True, kw_only=True):
    """The daemon at one moment. Counters are since the start, `at` and `looked_at` UTC epoch seconds.

    `attempts` are (successes, failures) by CRM; `silent` is by enterprise how many events its host usually sends
    within the time it has been silent, None when that cannot be said; `backlog` is None while the database is away.
    """

    at: float
    hits: int = 0
    misses: int = 0
    shed: int = 0
    attempts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    deaf_seconds: float = 0.0
    spooled: bool = False
    refusing: str | None = None
    lanes: Sequence[LaneStatus] = ()
    backlog: Backlog | None = None
    looked_at: float = 0.0
    silent: Mapping[str, float | None] = field(default_factory=dict)


class Reading(Struct, frozen=True, kw_only=True):
    """A rule's level for one enterprise ("" for all of them) and CRM ("" for none), None when it is not known."""

    rule: str
    level: float | None
    text: str
    enterprise: str = ""
    integration: str = ""

    @property
    def key(self) -> Key:
        return self.rule, self.enterprise, self.integration


class Change(Struct, frozen=True, kw_only=True):
    """An alert begins, is told again, or is over. Times are UTC epoch seconds."""

    reading: Reading
    firing: bool
    since: float
    repeated: bool = False


class Alarm(Struct):
    """What is remembered of a rule and its enterprise."""

    reading: Reading
    firing_since: float | None = None
    quiet_since: float | None = None
    told_at: float = 0.0


def limits(settings: Alerts, heartbeat: float) -> dict[str, Limits]:
    """Return the limits of every rule there is."""
    return {
        "hit_ratio": Limits(1 - settings.hit_ratio, (1 - settings.hit_ratio) / 2),
        "crm_errors": Limits(settings.crm_error_ratio, settings.crm_error_ratio / 2),
        "breaker_open": Limits(1, 0, quiet=settings.interval),
        "host_silent": Limits(settings.silent_events or float("inf"), settings.silent_events / 2),
        "backlog_overdue": Limits(settings.overdue_seconds, settings.overdue_seconds / 4),
        "listen_lost": Limits(DEAF_BEATS * heartbeat, 0),
        "spool_in_use": Limits(1, 0, quiet=2 * settings.interval),
        "events_refused": Limits(1, 0),
        "failed_records": Limits(1, 0),
        "blind": Limits(BLIND_LOOKS * settings.interval, settings.interval),
    }


def read(now: Facts, before: Facts) -> list[Reading]:
    """Read every rule; `before` is the daemon as it was at the beginning of the window."""
    return [
        *_ratios(now, before),
        *_lanes(now),
        *_table(now),
        Reading(rule="listen_lost", level=now.deaf_seconds, text="Изменения настроек не слышны: LISTEN потерян."),
        Reading(
            rule="spool_in_use", level=float(now.spooled), text="PostgreSQL не принимает события, они копятся на диске."
        ),
        Reading(
            rule="events_refused",
            level=float(now.shed > before.shed or now.refusing is not None),
            text="События не принимаются (503): хосты должны прислать их ещё раз.",
        ),
        Reading(
            rule="blind",
            level=max(0.0, now.at - now.looked_at),
            text="Нет данных: база не отвечает, очередь и молчание хостов не видны.",
        ),
    ]


def _ratios(now: Facts, before: Facts) -> Iterable[Reading]:
    hits, misses = now.hits - before.hits, now.misses - before.misses
    share = misses / (hits + misses) if hits + misses >= FEWEST_LOOKUPS else None
    said = "" if share is None else f" Сейчас {100 - share * 100:.0f} %."
    yield Reading(rule="hit_ratio", level=share, text=f"Настройки часто читаются из базы, а не из памяти.{said}")
    for name, (succeeded, failed) in now.attempts.items():
        earlier = before.attempts.get(name, (0, 0))
        good, bad = succeeded - earlier[0], failed - earlier[1]
        share = bad / (good + bad) if good + bad >= FEWEST_ATTEMPTS else None
        said = "" if share is None else f": {share * 100:.0f} % запросов"
        yield Reading(rule="crm_errors", level=share, text=f"Много ошибок {name}{said}.", integration=name)


def _lanes(now: Facts) -> Iterable[Reading]:
    for lane in now.lanes:
        if lane.breaker != "closed":
            yield Reading(
                rule="breaker_open",
                level=1.0,
                text=f"{lane.integration} не принимает запросы ({lane.reason}), попытки приостановлены.",
                enterprise=lane.enterprise,
                integration=lane.integration,
            )


def _table(now: Facts) -> Iterable[Reading]:
    backlog = now.backlog
    yield Reading(
        rule="backlog_overdue",
        level=None if backlog is None else backlog.overdue_seconds,
        text="Очередь отправки в CRM стоит."
        + ("" if backlog is None else f" Ждут {backlog.waiting}, опоздание {backlog.overdue_seconds:.0f} с."),
    )
    for number, failed in (backlog.failed if backlog else {}).items():
        text = f"Записи звонков не попали в CRM: {failed} за час. Их можно отправить снова."
        yield Reading(rule="failed_records", level=float(failed), text=text, enterprise=number)
    for number, events in now.silent.items():
        said = "" if events is None else f" Обычно за это время приходит событий: {events:.0f}."
        yield Reading(rule="host_silent", level=events, text=f"АТС молчит.{said}", enterprise=number)


class Alarms:
    """Turns readings into changes. `rules` are the limits by rule, `repeat` seconds between reminders, 0 for none."""

    def __init__(self, rules: Mapping[str, Limits], repeat: float = 0.0) -> None:
        self._rules = rules
        self._repeat = repeat
        self._alarms: dict[Key, Alarm] = {}

    def restore(self, reading: Reading, since: float) -> None:
        """An alert fired before this process began: it is not told of again, but its end is."""
        self._alarms[reading.key] = Alarm(reading, firing_since=since, told_at=since)

    def firing(self) -> list[tuple[Reading, float]]:
        """Return what fires, and since when."""
        alarms = self._alarms.values()
        return [(alarm.reading, alarm.firing_since) for alarm in alarms if alarm.firing_since is not None]

    def advance(self, readings: Iterable[Reading], now: float, *, complete: bool = True) -> list[Change]:
        """Take the latest readings. What was read before and is not any more has the level 0 if they are `complete`."""
        seen = {reading.key: reading for reading in readings}
        gone = [alarm.reading for key, alarm in self._alarms.items() if key not in seen]
        level = 0.0 if complete else None
        absent = [Reading(**_named(item), level=level, text=item.text) for item in gone]
        changes = [self._step(reading, now) for reading in (*seen.values(), *absent)]
        for key in [key for key, alarm in self._alarms.items() if alarm.firing_since is None and key not in seen]:
            del self._alarms[key]
        return [change for change in changes if change is not None]

    def _step(self, reading: Reading, now: float) -> Change | None:
        alarm = self._alarms.setdefault(reading.key, Alarm(reading))
        rule = self._rules.get(reading.rule, Limits(1, 0))
        level = reading.level
        if level is None:
            return None
        if level >= rule.trip:
            alarm.reading, alarm.quiet_since = reading, None
            return self._fire(alarm, now)
        if alarm.firing_since is None or level > rule.clear:
            alarm.quiet_since = None
            return None
        alarm.quiet_since = now if alarm.quiet_since is None else alarm.quiet_since
        return self._end(alarm, now) if now - alarm.quiet_since >= rule.quiet else None

    def _fire(self, alarm: Alarm, now: float) -> Change | None:
        begins = alarm.firing_since is None
        if not begins and (not self._repeat or now - alarm.told_at < self._repeat):
            return None
        alarm.firing_since = now if alarm.firing_since is None else alarm.firing_since
        alarm.told_at = now
        return Change(reading=alarm.reading, firing=True, since=alarm.firing_since, repeated=not begins)

    def _end(self, alarm: Alarm, now: float) -> Change:
        since = now if alarm.firing_since is None else alarm.firing_since
        alarm.firing_since = alarm.quiet_since = None
        return Change(reading=alarm.reading, firing=False, since=since)


def _named(reading: Reading) -> dict[str, str]:
    return {"rule": reading.rule, "enterprise": reading.enterprise, "integration": reading.integration}
