"""The routes that the daemon has and the table of them in docs/api.md. `python -m tests.routes` writes it anew."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from vochi_integrations.admin.openapi import HERE, VERBS, document
from vochi_integrations.app import create_internal, create_public
from vochi_integrations.figures import Figures
from vochi_integrations.journal import Journal
from vochi_integrations.pbx.redirector import Redirector
from vochi_integrations.snapshot import SnapshotStore
from vochi_integrations.web.intake import Intake

FILE = Path(__file__).parents[1] / "docs" / "api.md"
HEADING = "## Every route"
LEAD = "Written by `python -m tests.routes` from the description, `GET /api/openapi.json`."
OUTSIDE = "https://bot.example.com"


class Route(NamedTuple):
    """A route as it is described: a path without the slash that may follow it."""

    listener: str
    verb: str
    path: str


def registered() -> set[Route]:
    """Every route of both applications."""
    events = Intake(
        cast("SnapshotStore", None), cast("Journal", None), cast("Redirector", None), cast("Figures", None)
    ).routes()
    applications = {"public": create_public(events), "internal": create_internal(events)}
    return {
        Route(listener, route.method, bare(route.resource.canonical))
        for listener, app in applications.items()
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }


def described(found: Mapping[str, Any]) -> set[Route]:
    """Every route of a description."""
    return {
        Route(listener, verb.upper(), bare(path))
        for path, item in found["paths"].items()
        for listener in listeners(item)
        for verb in verbs(item)
    }


def bare(path: str) -> str:
    return path.rstrip("/") or "/"


def verbs(item: Mapping[str, Any]) -> list[str]:
    return [verb for verb in VERBS if verb in item]


def listeners(item: Mapping[str, Any]) -> list[str]:
    servers = item.get("servers", [HERE])
    return ["internal" if server == HERE else "public" for server in servers]


def table() -> str:
    """Every path of the description, a line each."""
    lines = ["| path | | on | what |", "|---|---|---|---|"]
    for path, item in document(OUTSIDE)["paths"].items():
        told = "; ".join(item[verb]["summary"] for verb in verbs(item))
        lines.append(f"| `{path}` | {' '.join(verbs(item)).upper()} | {', '.join(listeners(item))} | {told} |")
    return "\n".join(lines)


def written(text: str) -> str:
    """Return the document with its last section as it has to be."""
    return f"{text.partition(HEADING)[0]}{HEADING}\n\n{LEAD}\n\n{table()}\n"


def named(text: str) -> Iterator[str]:
    """Every path that a document names in code, without its query."""
    for code in re.findall(r"`([^`\n]+)`", text):
        for path in re.findall(r"(?<![\w.:}…/])/[\w{}./-]*", code):
            yield bare(path)


if __name__ == "__main__":
    FILE.write_text(written(FILE.read_text("utf-8")), "utf-8")
