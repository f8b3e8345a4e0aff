"""A tenant's smart-redirect settings: `integrations_config.smart`, read tolerantly (facts: database)."""

import math
from collections.abc import Mapping
from typing import Any, cast, get_args

from vochi_integrations.domain import NamePart, Smart, SmartLine, SmartMode
from vochi_integrations.events import decoded

OFF = Smart()
PRIMARY = "retailcrm"
PARTS: tuple[NamePart, ...] = get_args(NamePart)


def read_smart(value: object) -> Smart:
    """Read the settings; absent ones mean off, a mode that does not exist means off too."""
    raw = decoded(value)
    if not isinstance(raw, dict):
        return OFF
    mode = raw.get("mode") or "routing+name"
    primary = _name(raw.get("primary"), PRIMARY)
    lines = decoded(raw.get("lines"))
    found = lines if isinstance(lines, dict) else {}
    return Smart(
        mode=cast("SmartMode", mode) if mode in get_args(SmartMode) else "off",
        primary=primary,
        lines={key: _line(line, primary) for key, line in found.items() if isinstance(line, dict)},
    )


def _line(raw: Mapping[str, Any], primary: str) -> SmartLine:
    return SmartLine(
        enabled=raw.get("enabled") is True,
        routes=raw.get("do_routing") is True,
        algorithm=_name(raw.get("algorithm"), primary),
        parts=_parts(raw),
    )


def _parts(raw: Mapping[str, Any]) -> tuple[NamePart, ...]:
    """Return the parts that are switched on by their `*_order`; those without one come last."""
    wanted = [part for part in PARTS if raw.get(f"send_{part}_name") is True]
    return tuple(sorted(wanted, key=lambda part: _order(raw.get(f"{part}_name_order"))))


def _order(value: object) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else math.inf


def _name(value: object, otherwise: str) -> str:
    return value.strip() if isinstance(value, str) and value.strip() else otherwise
