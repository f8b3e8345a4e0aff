"""How an enterprise's connection, staff, PBX and queue are doing: what is stored of them, and what it means."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from vochi_integrations.db import Database, Row
from vochi_integrations.domain import Enterprise, Reason
from vochi_integrations.integrations.base import IntegrationConfig
from vochi_integrations.lanes import LaneStatus
from vochi_integrations.messages import deferred
from vochi_integrations.ops.timeline import REQUESTS
from vochi_integrations.ops.verdicts import UNDER_WAY, WHY, Say, is_calm, told

DAY = 86_400.0
WEEK = 7 * DAY
STRETCHES: Mapping[str, tuple[float, float]] = {"day": (DAY, 1_800.0), "week": (WEEK, 10_800.0)}
TIMEOUT = 5.0
POPUPS_LOOKED_AT = 500
EXTENSIONS_SHOWN = 20
CLICKS_SHOWN = 5
USUAL_CALLS = 3.0
LATE_RECORD_SECONDS = 600.0
LOST_EVENTS_SHARE = 0.05
LOST_EVENTS_CALLS = 3

Tone = Literal["good", "warn", "bad"]


class Diagnosis(Struct, frozen=True, kw_only=True):
    """What is stored of an enterprise; rows are named as in sql/queries/diagnosis.sql. `skew` as in `ops.summary`."""

    requests: Sequence[Row]
    deliveries: Sequence[Row]
    latest: Mapping[str, Row]
    popups: Row
    queue: Row
    unmapped: Sequence[Row]
    calls: Row
    pbx: Row
    clicks: Sequence[Row]
    skew: float = 0.0


class Light(Struct, frozen=True, kw_only=True):
    """Green, yellow or red: what is looked at, what is seen, and the page where it is put right ("" for none)."""

    name: str
    title: str
    tone: Tone
    said: str
    label: str = ""
    page: str = ""


async def diagnose(
    database: Database, number: str, integrations: Collection[str], stretch: str, skew: float
) -> Diagnosis:
    """Read what is stored of an enterprise; `stretch` is one of STRETCHES."""
    (seconds, bucket), crms = STRETCHES[stretch], list(integrations)

    async def fetch(name: str, *args: object) -> list[Row]:
        return await database.fetch(name, number, *args, timeout=TIMEOUT)

    (popups,) = await fetch("popup_times", WEEK, POPUPS_LOOKED_AT)
    (queue,) = await fetch("queue_of_enterprise", crms, WEEK)
    (calls,) = await fetch("calls_begun", WEEK)
    (pbx,) = await fetch("heard_of_pbx")
    return Diagnosis(
        requests=await fetch("requests_over_time", bucket, seconds, crms, list(REQUESTS)),
        deliveries=await fetch("deliveries_over_time", bucket, seconds, crms),
        latest={row["status"]: row for row in await fetch("latest_requests", WEEK, crms, list(REQUESTS))},
        popups=popups,
        queue=queue,
        unmapped=await fetch("unmapped_extensions", WEEK, EXTENSIONS_SHOWN),
        calls=calls,
        pbx=pbx,
        clicks=await fetch("failed_clicks", WEEK, CLICKS_SHOWN),
        skew=skew,
    )


def outcomes(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Count deliveries of each stretch by what became of them: `sent`, `failed`, `unsent`, `waiting`.

    What did not go out as it should be, e.g. the card of an internal call, is none of them.
    """
    counted: dict[float, dict[str, float]] = {}
    for row in rows:
        outcome = _outcome(row)
        if outcome:
            stretch = counted.setdefault(row["since"], {"since": row["since"]})
            stretch[outcome] = stretch.get(outcome, 0) + row["deliveries"]
    return list(counted.values())


def _outcome(row: Mapping[str, Any]) -> str:
    if row["status"] in UNDER_WAY:
        return "waiting"
    if row["status"] in ("done", "failed"):
        return "sent" if row["status"] == "done" else "failed"
    return "" if is_calm(row) else "unsent"


def lights(
    found: Diagnosis, enterprise: Enterprise, name: str, lane: LaneStatus | None, *, now: float, say: Say = str
) -> list[Light]:
    """Say how everything is doing, for the CRM called `name`; `lane` is its lane when it is unwell."""
    config: Any = enterprise.integrations.get(name)
    return [
        _connection(found, enterprise, config, lane, say),
        _staff(found, enterprise, config, say),
        _pbx(found, now, say),
        _queue(found, now, say),
    ]


def _connection(
    found: Diagnosis, enterprise: Enterprise, config: IntegrationConfig | None, lane: LaneStatus | None, say: Say
) -> Light:
    off = _why_off(enterprise, config)
    if off is not None:
        return _connection_light("bad", say(WHY[off]), say(deferred("Настроить")), "connection", say)
    if lane is not None and lane.breaker != "closed":
        reason = say(WHY[Reason(lane.reason or Reason.BREAKER_OPEN)])
        pause = say("{reason}; следующая попытка через {seconds} с").format(
            reason=reason, seconds=round(lane.probe_in or 0)
        )
        return _connection_light("bad", pause, say(deferred("Проверить подключение")), "connection", say)
    success, error = found.latest.get("success"), found.latest.get("error")
    if error is not None and (success is None or success["at"] < error["at"]):
        text = say("последний запрос не удался: {error}").format(error=told(error["error_message"], say) or "—")
        return _connection_light("warn", text, say(deferred("Проверить подключение")), "connection", say)
    text = say("CRM отвечает") if success else say("запросов за неделю не было")
    return _connection_light("good", text, "", "", say)


def _connection_light(tone: Tone, said: str, label: str, page: str, say: Say) -> Light:
    return Light(name="connection", title=say("Подключение к CRM"), tone=tone, said=said, label=label, page=page)


def _why_off(enterprise: Enterprise, config: IntegrationConfig | None) -> Reason | None:
    if not enterprise.active:
        return Reason.ENTERPRISE_INACTIVE
    if config is None:
        return Reason.NOT_CONFIGURED
    if not config.enabled:
        return Reason.INTEGRATION_OFF
    return Reason.NOT_CONFIGURED if config.problem else None


def unmapped_now(found: Diagnosis, mapped: Collection[str]) -> list[Row]:
    """Return the extensions that lost pop-ups and still have nobody."""
    return [row for row in found.unmapped if row["extension"] not in mapped]


def mapped_of(config: object) -> Collection[str]:
    """Return the extensions that have somebody in the CRM."""
    users: Collection[str] = getattr(config, "users", ())
    return users


def _staff(found: Diagnosis, enterprise: Enterprise, config: object, say: Say) -> Light:
    mapped, internal = mapped_of(config), enterprise.directory.internal
    lost = sum(row["lost"] for row in unmapped_now(found, mapped))
    if lost:
        tone, said = "bad", say("за неделю не показано карточек: {lost}, добавочным не назначены сотрудники")
    elif not mapped:
        tone, said = "warn", say("никому не назначен добавочный: кому показать карточку, решает CRM")
    else:
        tone, said = "good", say("назначено добавочных: {mapped} из {all}")
    given = len(internal.intersection(mapped))
    return Light(
        name="staff",
        title=say("Сотрудники и добавочные"),
        tone=tone,  # type: ignore[arg-type]
        said=said.format(lost=lost, mapped=given, all=len(internal)),
        label="" if tone == "good" else say(deferred("Назначить")),
        page="" if tone == "good" else "managers",
    )


def _pbx(found: Diagnosis, now: float, say: Say) -> Light:
    tone, said = next(_of_pbx(found, now, say), ("good", say("события приходят")))
    return Light(name="pbx", title=say("АТС"), tone=tone, said=said)


def _of_pbx(found: Diagnosis, now: float, say: Say) -> Iterator[tuple[Tone, str]]:
    """What is wrong with the PBX, the gravest first."""
    pbx, calls = found.pbx, found.calls
    if pbx["last_at"] is None:
        yield "bad", say("АТС ещё не прислала ни одного события: проверьте Token и адрес на АТС")
        return
    silent = now - pbx["last_at"]
    if (pbx["usual"] or 0) >= USUAL_CALLS and not pbx["lately"]:
        text = say(
            "АТС молчит {minutes} мин, обычно в это время звонков в час: {usual}. Проверьте связь АТС с сервером"
        )
        yield "bad", text.format(minutes=round(silent / 60), usual=round(pbx["usual"]))
    if found.skew:
        yield (
            "warn",
            say("часы АТС расходятся с нашими на {seconds} с: настройте NTP").format(seconds=round(found.skew)),
        )
    lost = calls["only_hangup"]
    if lost >= LOST_EVENTS_CALLS and lost > LOST_EVENTS_SHARE * calls["calls"]:
        yield (
            "warn",
            say("звонков без начала за неделю: {lost} из {calls} — АТС теряет события").format(
                lost=lost, calls=calls["calls"]
            ),
        )


def _queue(found: Diagnosis, now: float, say: Say) -> Light:
    queue = found.queue
    waiting = queue["popups"] + queue["records"]
    tone: Tone = "good"
    said = say("всё доставлено") if not waiting else say("в очереди: {waiting}").format(waiting=waiting)
    if waiting and now - queue["since"] > LATE_RECORD_SECONDS:
        tone = "warn"
        said = say("в очереди: {waiting}, дольше всех ждут {minutes} мин").format(
            waiting=waiting, minutes=round((now - queue["since"]) / 60)
        )
    if queue["failed"]:
        tone, said = "bad", say("не записано звонков за неделю: {failed}").format(failed=queue["failed"])
    fix = (say(deferred("Отправить снова")), "journal") if tone == "bad" else ("", "")
    return Light(name="queue", title=say("Очередь"), tone=tone, said=said, label=fix[0], page=fix[1])
