"""Countries and time zones by name, in the language of the request."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import phonenumbers
from babel import Locale
from babel.dates import get_timezone_location

NEAR = ("BY", "RU", "KZ", "PL", "LT", "LV", "UA", "GE", "AM", "AZ", "MD", "UZ", "KG", "TJ")
ZONES = (
    "Europe/Kaliningrad",
    "Europe/Minsk",
    "Europe/Moscow",
    "Europe/Samara",
    "Asia/Yekaterinburg",
    "Asia/Omsk",
    "Asia/Novosibirsk",
    "Asia/Krasnoyarsk",
    "Asia/Irkutsk",
    "Asia/Yakutsk",
    "Asia/Vladivostok",
    "Asia/Magadan",
    "Asia/Kamchatka",
    "Europe/Warsaw",
    "Europe/Vilnius",
    "Europe/Riga",
    "Europe/Tallinn",
    "Europe/Kyiv",
    "Europe/Chisinau",
    "Europe/Berlin",
    "Europe/Madrid",
    "Europe/London",
    "Europe/Istanbul",
    "Asia/Tbilisi",
    "Asia/Yerevan",
    "Asia/Baku",
    "Asia/Almaty",
    "Asia/Tashkent",
    "Asia/Bishkek",
    "Asia/Dushanbe",
    "Asia/Dubai",
    "UTC",
)


@cache
def regions(language: str) -> Sequence[tuple[str, str]]:
    """Return the countries whose numbers are known, the neighbours first, with their calling codes."""
    names = Locale(language).territories
    known = [region for region in phonenumbers.SUPPORTED_REGIONS if region in names]
    ordered = [*NEAR, *sorted(set(known) - set(NEAR), key=lambda region: str(names[region]))]
    return [(region, f"{names[region]} (+{phonenumbers.country_code_for_region(region)})") for region in ordered]


def zones(language: str, chosen: str) -> Sequence[tuple[str, str]]:
    """Return time zones from west to east, the chosen one among them, with their offset of today."""
    now = datetime.now(UTC)
    offsets = {name: now.astimezone(ZoneInfo(name)).utcoffset() or timedelta() for name in {*ZONES, chosen}}
    return [
        (name, f"{_place(name, language)} ({_offset(offsets[name])})")
        for name in sorted(offsets, key=lambda name: offsets[name])
    ]


@cache
def _place(name: str, language: str) -> str:
    return name if name == "UTC" else get_timezone_location(name, locale=language, return_city=True)


def _offset(offset: timedelta) -> str:
    minutes = int(offset.total_seconds() // 60)
    sign, minutes = ("−", -minutes) if minutes < 0 else ("+", minutes)
    return f"UTC{sign}{minutes // 60}" + (f":{minutes % 60:02}" if minutes % 60 else "")


def is_zone(name: str) -> bool:
    """Tell whether there is a time zone of this name."""
    try:
        return bool(ZoneInfo(name))
    except (ValueError, LookupError, OSError):
        return False
