"""Is the daemon well: its database, its tables, its process, its disk, its settings."""

import asyncio
import os
import pwd
import shutil
import stat
from pathlib import Path
from typing import cast

import asyncpg

from vochi_integrations import clock, db
from vochi_integrations.instance import LOCK
from vochi_integrations.integrations.base import IntegrationConfig
from vochi_integrations.integrations.findings import Finding, Verdict
from vochi_integrations.ops.patient import Check, Patient, finding, listed
from vochi_integrations.spool import FILE

SLOW_DATABASE_MS = 100.0
DATABASE_SKEW = 2.0


async def database(patient: Patient) -> list[Finding]:
    title = "База данных"
    began, asked_at = asyncio.get_running_loop().time(), clock.now()
    (row,) = await patient.fetch("about_server")
    elapsed_ms = (asyncio.get_running_loop().time() - began) * 1000
    said = f"PostgreSQL {row['version'].split()[0]}, ответ за {elapsed_ms:.0f} мс"
    verdict: Verdict = "warning" if elapsed_ms > SLOW_DATABASE_MS else "ok"
    fix = "База отвечает медленно: проверьте её нагрузку и сеть до неё." if verdict == "warning" else ""
    skew = row["now"] - asked_at - elapsed_ms / 2000
    found = [finding("database", title, verdict, said, fix)]
    if abs(skew) > DATABASE_SKEW:
        said, fix = f"расходятся с часами базы на {skew:.1f} с", "Включите синхронизацию времени (chrony) на серверах."
        return [*found, finding("clock", "Часы сервера", "bad", said, fix)]
    return [*found, finding("clock", "Часы сервера", "ok", "идут вместе с часами базы")]


async def migrations(patient: Patient) -> list[Finding]:
    title = "Таблицы базы"
    try:
        rows = await patient.fetch("applied_migrations")
    except asyncpg.UndefinedTableError:
        rows = []
    missing = [name for name in db.migration_names() if name not in {row["name"] for row in rows}]
    if missing:
        said = f"не применены: {', '.join(missing)}"
        return [finding("migrations", title, "bad", said, "vochi-integrations migrate (или запустите serve)")]
    return [finding("migrations", title, "ok", "в порядке")]


async def older_index(patient: Patient) -> list[Finding]:
    """An older service makes it anew; with it a call's second dial cannot be stored (facts: database)."""
    title = "Индекс старой службы"
    rows = await patient.fetch("older_index")
    if not rows:
        return [finding("older_index", title, "ok", "нет")]
    name = rows[0]["name"]
    fix = f"Уберите создание индекса из старой службы и выполните: DROP INDEX {name}"
    return [finding("older_index", title, "bad", f"{name}: второй вызов звонка не сохранить", fix)]


async def daemon(patient: Patient) -> list[Finding]:
    """The running process: does it take events, does LISTEN live, is anything on disk, what fires."""
    live = await patient.live()
    if live is None:
        server = patient.settings.server
        said = f"не отвечает на {server.internal_host}:{server.internal_port}"
        fix = "systemctl start vochi-integrations; причина — в journalctl -u vochi-integrations"
        return [finding("daemon", "Служба", "bad", said, fix)]
    verdict: Verdict = "ok" if live.status == "ok" else "bad"
    said = "принимает события" if verdict == "ok" else f"{live.status}: {', '.join(live.reasons)}"
    found = [finding("daemon", "Служба", verdict, said, "" if verdict == "ok" else "Смотрите docs/operators.md.")]
    if live.listening:
        found.append(finding("listen", "Изменения настроек", "ok", "слышны сразу (LISTEN отвечает)"))
    else:
        fix = "Проверьте базу; pgbouncer в режиме transaction LISTEN не передаёт — укажите базу напрямую."
        found.append(finding("listen", "Изменения настроек", "bad", "не слышны: LISTEN потерян", fix))
    if live.spooled:
        said = f"на диске ждут: {live.spooled}"
        found.append(finding("spooled", "Очередь на диске", "warning", said, "Уйдёт сама, когда база примет записи."))
    return found + [finding("alert", "Тревога", "warning", text) for text in live.alerts]


async def spool(patient: Patient) -> list[Finding]:
    """Whether the daemon could write its spool, and has room for it. Nothing is written to find out."""
    folder, title = patient.settings.state_dir, "Запасной диск"
    try:
        denied, free = await asyncio.to_thread(_looked_at, folder)
    except OSError as error:
        said = f"{folder}: {error.strerror}"
        return [finding("spool", title, "bad", said, "Запустите проверку от root или от пользователя службы.")]
    if denied is not None:
        said = f"служба не может писать: {denied}"
        return [finding("spool", title, "bad", said, "Дайте службе право писать в server.state_dir.")]
    wanted = patient.settings.server.spool_max_mb
    if free < wanted:
        said = f"свободно {free:.0f} МБ из нужных {wanted:.0f}"
        return [finding("spool", title, "bad", said, "Освободите место или уменьшите server.spool_max_mb.")]
    return [finding("spool", title, "ok", f"служба может писать, свободно {free / 1000:.1f} ГБ")]


def _looked_at(folder: Path) -> tuple[Path | None, float]:
    """Return what of a state folder its daemon's user must not write, None for nothing, and the free megabytes."""
    lock = folder / LOCK
    user = lock.stat().st_uid if lock.exists() else os.geteuid()
    place = next(path for path in (folder, *folder.parents) if path.exists())
    files = [folder / f"{FILE}{suffix}" for suffix in ("", "-wal", "-shm")]
    denied = (path for path in (place, *files) if path.exists() and not _may_write(path, user))
    return next(denied, None if place.is_dir() else place), shutil.disk_usage(place).free / 1_000_000


def _may_write(path: Path, user: int) -> bool:
    """Whether a user may; root, who asks, may everything and learns nothing by trying."""
    if user == os.geteuid():
        return os.access(path, os.W_OK)
    status, who = path.stat(), pwd.getpwuid(user)
    if status.st_uid == user:
        return bool(status.st_mode & stat.S_IWUSR)
    in_group = status.st_gid in os.getgrouplist(who.pw_name, who.pw_gid)
    return bool(status.st_mode & (stat.S_IWGRP if in_group else stat.S_IWOTH))


async def settings(patient: Patient) -> list[Finding]:
    given = patient.settings
    found = []
    if not given.public_url.startswith("https://"):
        said, fix = f"{given.public_url} — не https", "Задайте server.public_url: по нему CRM обращается к нам."
        found.append(finding("public_url", "Внешний адрес", "warning", said, fix))
    else:
        found.append(finding("public_url", "Внешний адрес", "ok", given.public_url))
    if not given.secrets.keys:
        fix = "Создайте ключ и задайте secrets.keys (docs/operators.md), затем vochi-integrations secrets rotate."
        found.append(finding("secrets", "Ключи API в базе", "warning", "не зашифрованы", fix))
    else:
        found.append(finding("secrets", "Ключи API в базе", "ok", "новые шифруются"))
    if given.crm.allow_insecure_urls:
        said, fix = "разрешены http и внутренние адреса CRM", "Уберите crm.allow_insecure_urls: это для испытаний."
        found.append(finding("insecure_urls", "Адреса CRM", "warning", said, fix))
    return found


async def configs(patient: Patient) -> list[Finding]:
    """Companies that are switched on but cannot work."""
    broken = [
        f"{number} ({config.problem})"
        for number, enterprise in sorted(patient.enterprises.items())
        for config in (cast("IntegrationConfig", item) for item in enterprise.integrations.values())
        if enterprise.active and config.enabled and config.problem
    ]
    if not broken:
        said = f"предприятий: {len(patient.enterprises)}"
        return [finding("configs", "Настройки предприятий", "ok", said)]
    fix = "Откройте страницу «Подключение» этих предприятий."
    return [finding("configs", "Настройки предприятий", "bad", listed(broken), fix)]


DAEMON_CHECKS: tuple[Check, ...] = (database, migrations, older_index, daemon, spool, settings, configs)
