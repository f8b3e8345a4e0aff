"""The description of the administrator's API: `openapi.json` beside this file, with its public twins put in."""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from vochi_integrations import __version__
from vochi_integrations.keys import SETTINGS

FILE = Path(__file__).with_name("openapi.json")
INTERNAL = "/api/"
PUBLIC = "/retailcrm-admin/api/"
OLDER_NAMES = {"/retailcrm-admin/api/refresh-managers/{n}": ("get", "/api/managers/{n}", "post")}
SIGNED_IN = {"401": {"$ref": "#/components/responses/NotSignedIn"}, "403": {"$ref": "#/components/responses/Forbidden"}}

Paths = dict[str, dict[str, Any]]


async def show(request: web.Request) -> web.Response:
    body = orjson.dumps(document(request.app[SETTINGS].public_url))
    return web.Response(body=body, content_type="application/json")


@cache
def document(public_url: str) -> Mapping[str, Any]:
    """Return OpenAPI 3.1: the routes of the internal listener as written, those of the public one made from them."""
    written: dict[str, Any] = orjson.loads(FILE.read_bytes())
    paths: Paths = written["paths"]
    twins = {
        path.replace(INTERNAL, PUBLIC, 1): _twin(item, public_url) for path, item in paths.items() if "{n}" in path
    }
    for name, (verb, path, older_verb) in OLDER_NAMES.items():
        item = {"parameters": paths[path]["parameters"], older_verb: paths[path][verb]}
        twins[name] = _twin(item, public_url, suffix="Older")
    written["info"]["version"] = __version__
    return {**written, "paths": paths | twins}


def _twin(item: Mapping[str, Any], public_url: str, suffix: str = "Public") -> dict[str, Any]:
    """Return a path of the public listener: it needs a session, and a change needs proof of its origin."""
    twin = deepcopy(dict(item))
    for verb in ("get", "put", "post", "delete"):
        if verb in twin:
            operation = twin[verb]
            operation["operationId"] += suffix
            operation["security"] = [{"session": []}]
            operation["responses"] |= SIGNED_IN
    return {"servers": [{"url": public_url}], **twin}
