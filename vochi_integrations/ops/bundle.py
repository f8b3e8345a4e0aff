"""The support bundle: all a vendor asks for in one archive, without a secret and without a whole phone number."""

import asyncio
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
from vochi_integrations.integrations.findings import Finding
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
# A whole phone under such a key, however short: a city's has six digits. A GSM line is called 000xxxx.
WRITTEN = re.compile(r"(?!000\d{4}$)\+?(?:[\s()-]*\d){6,15}")


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
        **_told(findings),
        "stats.json": _json(clean(stats or {})),
        "log.jsonl": await _log_lines(None),
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
            **_told(findings),
            "log.jsonl": await _log_lines(number),
            **{f"{name}.json": await _rows(patient, query, number) for name, query in TABLES.items()},
            "configs.json": await _configs(patient, number),
        }
    )


def _told(findings: Iterable[Finding]) -> dict[str, bytes]:
    """Return what the doctor found, for people and for programs."""
    found = list(findings)
    return {
        "doctor.txt": hide_phones("\n".join(lines(found))).encode(),
        "doctor.json": _json(clean([msgspec.to_builtins(finding) for finding in found])),
    }


async def _log_lines(number: str | None) -> bytes:
    """Return the latest lines of the log, of an enterprise or all, phone numbers masked; the loop does not wait."""
    mark = b"" if number is None else orjson.dumps({"enterprise": number})[1:-1]
    wanted = [line for line in logs.recent_lines() if mark in line]
    return await asyncio.to_thread(lambda: b"\n".join(map(_log_line, wanted)))


def _log_line(line: bytes) -> bytes:
    """Return a line as it was written for a machine; one for a terminal has no keys to know a phone by."""
    try:
        return orjson.dumps(clean(orjson.loads(line)))
    except orjson.JSONDecodeError:
        return hide_phones(line.decode(errors="replace")).encode()


def file_name(number: str | None) -> str:
    """Return a name for the archive: when it was made, and of which enterprise."""
    moment = datetime.fromtimestamp(clock.now(), UTC).strftime("%Y%m%d-%H%M%S")
    return f"vochi-support-{number or 'all'}-{moment}.zip"


def clean(value: Any) -> Any:
    """Return a copy of JSON without secrets, its phone numbers masked."""
    return _without_phones(without_secrets(value))


def _without_phones(value: Any, *, known: bool = False) -> Any:
    """Mask what a phone's key names, and in any other text what looks like a phone."""
    if isinstance(value, Mapping):
        return {
            hide_phones(str(key)): _without_phones(item, known=bool(PHONES.search(str(key))))
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_phones(item, known=known) for item in value]
    if known and type(value) in (str, int) and WRITTEN.fullmatch(text := str(value).strip()):
        return mask_phone(re.sub(r"[^\d+]", "", text))
    return hide_phones(value) if isinstance(value, str) else value


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
    return await asyncio.to_thread(lambda: _json([clean(dict(row)) for row in rows]))


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
