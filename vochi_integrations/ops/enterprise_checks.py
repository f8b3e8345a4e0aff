"""Is an enterprise well: its CRM account, who has which extension, lost pop-ups, its PBX."""

from collections.abc import Mapping
from statistics import median
from typing import cast

from vochi_integrations import clock
from vochi_integrations.domain import Enterprise
from vochi_integrations.integrations.base import IntegrationConfig
from vochi_integrations.integrations.findings import Examinable, Finding
from vochi_integrations.ops.patient import EnterpriseCheck, Patient, finding, listed

HOST_SKEW = 30.0
LOST_DAYS = 7
SEEN_DAYS = 7


async def connection(patient: Patient, enterprise: Enterprise) -> list[Finding]:
    """Each CRM that is switched on: its settings, then its account."""
    if not enterprise.active:
        return [finding("enterprise", "Предприятие", "bad", "отключено", "Включите его: enterprises.active = true.")]
    found = []
    for name, integration in patient.integrations.items():
        config = cast("IntegrationConfig | None", enterprise.integrations.get(name))
        if config is None or not config.enabled:
            fix = "Откройте страницу «Подключение» и включите интеграцию."
            found.append(finding("integration", name, "bad", "интеграция выключена", fix))
        elif config.problem:
            fix = "Исправьте настройки на странице «Подключение»."
            found.append(finding("integration", name, "bad", config.problem, fix))
        elif isinstance(integration, Examinable):
            found += await integration.examine(enterprise)
    return found


async def mapping(patient: Patient, enterprise: Enterprise) -> list[Finding]:
    """Who has which extension: all internal numbers of the PBX should have somebody in the CRM."""
    title, internal = "Сотрудники и добавочные", enterprise.directory.internal
    found = []
    for name in patient.integrations:
        users: Mapping[str, str] = getattr(enterprise.integrations.get(name), "users", {})
        unmapped, strangers = sorted(internal - users.keys()), sorted(users.keys() - internal)
        fix = "Назначьте их на странице «Сотрудники»."
        if strangers and internal:
            said = f"назначены, но на АТС их нет: {listed(strangers)}"
            found.append(finding("mapping_strangers", title, "warning", said, fix))
        if users and unmapped:
            found.append(finding("mapping", title, "warning", f"не назначены: {listed(unmapped)}", fix))
        elif users:
            found.append(finding("mapping", title, "ok", f"назначены все {len(users)}"))
        else:
            said = "никто не назначен: CRM сама решает, кому показать карточку"
            found.append(finding("mapping", title, "warning", said, fix))
    return found


async def lost_popups(patient: Patient, enterprise: Enterprise) -> list[Finding]:
    title = "Карточки за неделю"
    rows = await patient.fetch("lost_popups", enterprise.number, LOST_DAYS)
    if not rows:
        return [finding("lost_popups", title, "ok", "не терялись из-за назначений")]
    lost = listed([f"{row['code']} ({row['lost']})" for row in rows])
    fix = "Назначьте этим добавочным сотрудников на странице «Сотрудники»."
    return [finding("lost_popups", title, "warning", f"не показаны, добавочный не назначен: {lost}", fix)]


async def host(patient: Patient, enterprise: Enterprise) -> list[Finding]:
    """The PBX as its events show it: whether it sends any, and what its clock says."""
    rows = await patient.fetch("latest_events", enterprise.number)
    if not rows:
        said = f"за {SEEN_DAYS} дней не прислала ни одного звонка"
        fix = "Проверьте на АТС адрес и Token, с которыми она шлёт события (enterprises.name2)."
        return [finding("host", "АТС", "bad", said, fix)]
    ago = clock.now() - rows[0]["received_at"]
    found = [finding("host", "АТС", "ok", f"последний звонок {_ago(ago)} назад")]
    skew = median(row["received_at"] - row["created_at"] for row in rows)
    if abs(skew) > HOST_SKEW:
        word = "отстают" if skew > 0 else "спешат"
        said, fix = f"{word} на {abs(skew):.0f} с", "Включите на АТС синхронизацию времени (ntpd, chrony)."
        return [*found, finding("host_clock", "Часы АТС", "warning", said, fix)]
    return [*found, finding("host_clock", "Часы АТС", "ok", f"расхождение {skew:.1f} с")]


def _ago(seconds: float) -> str:
    for unit, size in (("дн", 86_400), ("ч", 3_600), ("мин", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} с"


ENTERPRISE_CHECKS: tuple[EnterpriseCheck, ...] = (connection, mapping, lost_popups, host)
