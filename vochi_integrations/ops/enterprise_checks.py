"""Is an enterprise well: its CRM account, who has which extension, lost pop-ups, its PBX."""

from collections.abc import Mapping

from vochi_integrations import clock
from vochi_integrations.domain import Enterprise
from vochi_integrations.integrations.base import config_of
from vochi_integrations.integrations.findings import Examinable, Finding
from vochi_integrations.messages import say
from vochi_integrations.ops.patient import EnterpriseCheck, Patient, finding, listed
from vochi_integrations.ops.search import EVER
from vochi_integrations.ops.summary import delays, skew_of
from vochi_integrations.ops.trace import STARTS_LOOKED_AT

LOST_DAYS = 7
SEEN_DAYS = 7


async def connection(patient: Patient, enterprise: Enterprise) -> list[Finding]:
    """Each CRM that is switched on: its settings, then its account."""
    if not enterprise.active:
        return [
            finding(
                "enterprise",
                say("Предприятие"),
                "bad",
                say("отключено"),
                say("Включите его: enterprises.active = true."),
            )
        ]
    found = []
    for name, integration in patient.integrations.items():
        config = config_of(enterprise, name)
        if config is None or not config.enabled:
            fix = say("Откройте страницу «Подключение» и включите интеграцию.")
            found.append(finding("integration", name, "bad", say("интеграция выключена"), fix))
        elif config.problem:
            fix = say("Исправьте настройки на странице «Подключение».")
            found.append(finding("integration", name, "bad", config.problem, fix))
        elif isinstance(integration, Examinable):
            found += await integration.examine(enterprise)
    return found


async def mapping(patient: Patient, enterprise: Enterprise) -> list[Finding]:
    """Who has which extension: all internal numbers of the PBX should have somebody in the CRM."""
    title, internal = say("Сотрудники и добавочные"), enterprise.directory.internal
    found = []
    for name in patient.integrations:
        users: Mapping[str, str] = getattr(enterprise.integrations.get(name), "users", {})
        unmapped, strangers = sorted(internal - users.keys()), sorted(users.keys() - internal)
        fix = say("Назначьте их на странице «Сотрудники».")
        if strangers and internal:
            said = say("назначены, но на АТС их нет: {listed}").format(listed=listed(strangers))
            found.append(finding("mapping_strangers", title, "warning", said, fix))
        if users and unmapped:
            found.append(
                finding("mapping", title, "warning", say("не назначены: {listed}").format(listed=listed(unmapped)), fix)
            )
        elif users:
            found.append(finding("mapping", title, "ok", say("назначены все {count}").format(count=len(users))))
        else:
            said = say("никто не назначен: CRM сама решает, кому показать карточку")
            found.append(finding("mapping", title, "warning", said, fix))
    return found


async def lost_popups(patient: Patient, enterprise: Enterprise) -> list[Finding]:
    title = say("Карточки за неделю")
    rows = await patient.fetch("lost_popups", enterprise.number, LOST_DAYS)
    if not rows:
        return [finding("lost_popups", title, "ok", say("не терялись из-за назначений"))]
    lost = listed([f"{row['code']} ({row['lost']})" for row in rows])
    fix = say("Назначьте этим добавочным сотрудников на странице «Сотрудники».")
    return [
        finding(
            "lost_popups", title, "warning", say("не показаны, добавочный не назначен: {lost}").format(lost=lost), fix
        )
    ]


async def host(patient: Patient, enterprise: Enterprise) -> list[Finding]:
    """The PBX as its events show it: whether it sends any, and what its clock says."""
    rows = await patient.fetch("latest_call", enterprise.number, SEEN_DAYS)
    if not rows:
        said = say("за {days} дней не прислала ни одного звонка").format(days=SEEN_DAYS)
        fix = say("Проверьте на АТС адрес и Token, с которыми она шлёт события (enterprises.name2).")
        return [finding("host", say("АТС"), "bad", said, fix)]
    ago = clock.now() - rows[0]["received_at"]
    heard = finding("host", say("АТС"), "ok", say("последний звонок {ago} назад").format(ago=_ago(ago)))
    return [heard, await _clock(patient, enterprise)]


async def _clock(patient: Patient, enterprise: Enterprise) -> Finding:
    """What the pages tell of the PBX's clock, by the same measure."""
    rows = await patient.fetch("recent_starts", enterprise.number, STARTS_LOOKED_AT, EVER)
    starts = delays(map(dict, rows))
    title, skew = say("Часы АТС"), skew_of(starts)
    if not starts:
        return finding("host_clock", title, "skipped", say("видны по входящим звонкам, а их ещё не было"))
    if not skew:
        return finding("host_clock", title, "ok", say("идут верно"))
    late = say("отстают на {seconds} с") if skew > 0 else say("спешат на {seconds} с")
    said, fix = late.format(seconds=round(abs(skew))), say("Включите на АТС синхронизацию времени (ntpd, chrony).")
    return finding("host_clock", title, "warning", said, fix)


def _ago(seconds: float) -> str:
    for unit, size in ((say("дн"), 86_400), (say("ч"), 3_600), (say("мин"), 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} " + say("с")


ENTERPRISE_CHECKS: tuple[EnterpriseCheck, ...] = (connection, mapping, lost_popups, host)
