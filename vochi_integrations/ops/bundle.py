"""The support bundle: all a vendor asks for in one archive, without a secret and without a whole phone number."""

import io
import platform
import re
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import asyncpg
import msgspec
import orjson

from vochi_integrations import __version__, clock, logs
from vochi_integrations.db import UNAVAILABLE
from vochi_integrations.events import decoded
from vochi_integrations.logs import MASK, mask_phone, without_secrets
from vochi_integrations.ops.doctor import checks, enterprise_checks, lines
from vochi_integrations.ops.patient import ClosedError, EnterpriseCheck, Patient
from vochi_integrations.settings import Secret, Settings, mask_dsn
from vochi_integrations.statuslines import hide_phones

ROWS = 200
README = b"Made by vochi-integrations for support. Secrets are removed, phone numbers are masked.\n"
TABLES = {"deliveries": "deliveries_for_support", "attempts": "latest_logs", "events": "latest_call_events"}
PACKAGES = (
    "aiohttp",
    "asyncpg",
    "msgspec",
    "orjson",
    "phonenumbers",
    "prometheus-client",
    "pyjwt",
    "structlog",
    "uvloop",
)
PHONES = re.compile(r"(?i)phone|caller|connected|exten|number$|^trunk$")
DIGITS = re.compile(r"\+?\d{9,15}")


async def bundle(
    patient: Patient,
    number: str | None = None,
    *,
    stats: Mapping[str, Any] | None = None,
    more: Iterable[EnterpriseCheck] = (),
) -> bytes:
    """Return a ZIP: of an enterprise, or of all when `number` is None. `stats` is what the running daemon tells."""
    findings = await checks(patient, number, tuple(more))
    files: dict[str, bytes] = {
        "README.txt": README,
        "versions.json": _json(_versions(patient.settings)),
        "settings.json": _json(settings_without_secrets(patient.settings)),
        "doctor.txt": "\n".join(lines(findings)).encode(),
        "doctor.json": _json([msgspec.to_builtins(finding) for finding in findings]),
        "stats.json": _json(clean(stats or {})),
        "log.jsonl": b"\n".join(_log_lines(None)),
        **{f"{name}.json": await _rows(patient, query, number) for name, query in TABLES.items()},
        "configs.json": await _configs(patient, number),
    }
    return _zipped(files)


async def bundle_of_enterprise(patient: Patient, number: str, *, more: Iterable[EnterpriseCheck] = ()) -> bytes:
    """Return a ZIP for an enterprise's own administrator: nothing of the server and nothing of another enterprise."""
    findings = await enterprise_checks(patient, number, tuple(more))
    return _zipped(
        {
            "README.txt": README,
            "versions.json": _json({"vochi-integrations": __version__}),
            "doctor.txt": "\n".join(lines(findings)).encode(),
            "doctor.json": _json([msgspec.to_builtins(finding) for finding in findings]),
            "log.jsonl": b"\n".join(_log_lines(number)),
            **{f"{name}.json": await _rows(patient, query, number) for name, query in TABLES.items()},
            "configs.json": await _configs(patient, number),
        }
    )


def _log_lines(number: str | None) -> list[bytes]:
    """Return the latest lines of the log, of an enterprise or all, phone numbers masked."""
    mark = b"" if number is None else orjson.dumps({"enterprise": number})[1:-1]
    return [hide_phones(line.decode(errors="replace")).encode() for line in logs.recent_lines() if mark in line]


def file_name(number: str | None) -> str:
    """Return a name for the archive: when it was made, and of which enterprise."""
    moment = datetime.fromtimestamp(clock.now(), UTC).strftime("%Y%m%d-%H%M%S")
    return f"vochi-support-{number or 'all'}-{moment}.zip"


def clean(value: Any) -> Any:
    """Return a copy of JSON without secrets, its phone numbers masked."""
    return _without_phones(without_secrets(value))


def _without_phones(value: Any, *, known: bool = False) -> Any:
    """Mask what a phone's key names, and any text that is all digits of a phone's length; a UniqueId has a point."""
    if isinstance(value, Mapping):
        return {key: _without_phones(item, known=bool(PHONES.search(str(key)))) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_phones(item, known=known) for item in value]
    if isinstance(value, str):
        return mask_phone(value) if known and DIGITS.fullmatch(value.strip()) else hide_phones(value)
    return value


def settings_without_secrets(settings: Settings) -> dict[str, Any]:
    """Return the settings in force; of a secret only whether it is set, of a DSN all but its password."""

    def shown(value: object) -> object:
        if isinstance(value, Secret):
            text = value.reveal()
            return mask_dsn(text) if "://" in text and "@" in text else MASK if text else ""
        raise NotImplementedError

    found: dict[str, Any] = msgspec.to_builtins(settings, enc_hook=shown)
    found["alerts"]["webhook_url"] = MASK if settings.alerts.webhook_url else ""
    return found


def _versions(settings: Settings) -> dict[str, Any]:
    return {
        "vochi-integrations": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "state_dir": str(settings.state_dir),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


async def _rows(patient: Patient, query: str, number: str | None) -> bytes:
    try:
        rows = await patient.fetch(query, number, ROWS)
    except (ClosedError, *UNAVAILABLE, asyncpg.PostgresError) as error:
        return _json({"error": str(error) or type(error).__name__})
    return _json([clean(dict(row)) for row in rows])


async def _configs(patient: Patient, number: str | None) -> bytes:
    try:
        rows = await patient.fetch("configs", number)
    except (ClosedError, *UNAVAILABLE, asyncpg.PostgresError) as error:
        return _json({"error": str(error) or type(error).__name__})
    return _json([{**row, "integrations_config": _config(row["integrations_config"])} for row in rows])


def _config(value: object) -> object:
    """Show a configuration with its secrets masked; one that cannot be read, not at all."""
    read = decoded(value)
    return {name: clean(decoded(part)) for name, part in read.items()} if isinstance(read, dict) else MASK


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str)


def _zipped(files: Mapping[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in files.items():
            zipped.writestr(name, data)
    return archive.getvalue()
