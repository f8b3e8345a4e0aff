"""The description of every route: the files beside this one, put together and placed on their listeners."""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from vochi_integrations import __version__
from vochi_integrations.keys import SETTINGS

FOLDER = Path(__file__).parent
COMMON = "common"
PARTS = (
    "hosts", "crm", "redirect", "gateway", "memory", "state", "calls", "connection", "staff", "entrance", "pages",
)  # fmt: skip
INTERNAL = "/api/"
PUBLIC = "/retailcrm-admin/api/"
OLDER_NAMES = {"/retailcrm-admin/api/refresh-managers/{n}": ("get", "/api/managers/{n}", "post")}
VERBS = ("get", "put", "post", "delete")
HERE = {"url": "/", "description": "The internal listener"}

Item = dict[str, Any]


async def show(request: web.Request) -> web.Response:
    body = orjson.dumps(document(request.app[SETTINGS].public_url))
    return web.Response(body=body, content_type="application/json")


@cache
def document(public_url: str) -> Mapping[str, Any]:
    """Return OpenAPI 3.1. What has no servers of its own is on the internal listener only, where this is answered."""
    whole = _read(COMMON)
    paths: dict[str, Item] = {}
    for part in map(_read, PARTS):
        paths |= part["paths"]
        whole["components"]["schemas"] |= part.get("components", {}).get("schemas", {})
    whole["info"]["version"] = __version__
    placed: dict[str, Item] = {}
    for path, item in paths.items():
        placed |= _placed(path, item, {"url": public_url, "description": "The public listener"})
    for name, (verb, path, older_verb) in OLDER_NAMES.items():
        older = {"parameters": paths[path]["parameters"], older_verb: paths[path][verb]}
        placed[name] = {"servers": placed[path.replace(INTERNAL, PUBLIC, 1)]["servers"], **_signed_in(older, "Older")}
    return {**whole, "paths": placed}


def _read(name: str) -> dict[str, Any]:
    read: dict[str, Any] = orjson.loads((FOLDER / f"{name}.json").read_bytes())
    return read


def _placed(path: str, item: Item, outside: Mapping[str, str]) -> dict[str, Item]:
    """Return a path where its `x-listeners` have it, internal unless they say otherwise.

    `administrators` have it on the public listener under a name of its own, `pages` are theirs there only.
    """
    listeners = item.pop("x-listeners", ["internal"])
    if "administrators" in listeners:
        twin = {"servers": [outside], **_signed_in(item, "Public")}
        return {path: item, path.replace(INTERNAL, PUBLIC, 1): twin}
    if "pages" in listeners:
        return {path: {"servers": [outside], **_signed_in(item, "", "Page")}}
    if "public" in listeners:
        return {path: {"servers": [outside, *([HERE] if "internal" in listeners else [])], **item}}
    return {path: item}


def _signed_in(item: Item, suffix: str, kind: str = "") -> Item:
    """Return a path that needs a session, and for changes proof of their origin."""
    found = deepcopy(item)
    refusals = {"401": "NotSignedIn", "403": "Forbidden", "503": "NoDatabase"}
    for operation in (found[verb] for verb in VERBS if verb in found):
        operation["operationId"] += suffix
        operation["security"] = [{"session": []}]
        operation["responses"] |= {
            status: {"$ref": f"#/components/responses/{kind}{name}"} for status, name in refusals.items()
        }
    return found
