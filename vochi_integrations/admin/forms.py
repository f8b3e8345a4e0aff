"""Bodies of the administrator's requests: JSON or a form, one reading for both; what is unusable is a clear 400."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from aiohttp import web

from vochi_integrations.errors import BadRequestError
from vochi_integrations.events import read_json
from vochi_integrations.web.bodies import read_form

DEEPEST = 16
URLENCODED = "application/x-www-form-urlencoded"
FORMS = (URLENCODED, "multipart/form-data")
NESTED = re.compile(r"(\w+)\[([^\[\]]*)\]")
FLAGS: Mapping[str, bool] = {
    "true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False, "": False,
}  # fmt: skip


class Form(dict[str, Any]):
    """A body that was a form: every value is a text, and a text may stand for what JSON has other types for."""


async def read_body(request: web.Request, *, optional: bool = False) -> dict[str, Any]:
    """Return the fields of a body, a `Form` when it was one; an empty body is an empty one when `optional`.

    Raises BadRequestError when it is neither JSON nor a form, or cannot be kept.
    """
    if await _is_form(request):
        body: dict[str, Any] = await _read_form(request)
    else:
        data = await request.read()
        body = read_json(data) if data.strip() else {}
        if data.strip():
            optional = True
    if not body and not optional:
        raise BadRequestError("the body is empty; send a JSON object or a form")
    _check_storable(body)
    return body


async def _is_form(request: web.Request) -> bool:
    """Tell by the body too: curl calls everything a form, and no form begins with a bracket."""
    if request.content_type != URLENCODED:
        return request.content_type in FORMS
    return (await request.read()).lstrip()[:1] not in (b"{", b"[")


async def _read_form(request: web.Request) -> Form:
    fields = await read_form(request)
    form = Form()
    for name, value in fields.items():
        if not isinstance(value, str):
            raise BadRequestError(f"{name} must be a text, not a file")
        nested = NESTED.fullmatch(name)
        if nested is None:
            form[name] = value
        elif isinstance(form.setdefault(nested[1], {}), dict):
            form[nested[1]][nested[2]] = value
    return form


def _check_storable(body: object) -> None:
    """Raise BadRequestError for what PostgreSQL cannot keep: a NUL, half a character, a nest too deep."""
    level = [body]
    for _ in range(DEEPEST):
        texts = [item for item in level if isinstance(item, str)]
        texts += [key for item in level if isinstance(item, dict) for key in item]
        if any("\x00" in text or not _is_whole(text) for text in texts):
            raise BadRequestError("a text holds a NUL or half a character; leave it out")
        level = [part for item in level for part in _parts(item)]
        if not level:
            return
    raise BadRequestError(f"the body is nested more than {DEEPEST} levels deep")


def _is_whole(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def _parts(item: object) -> Iterable[object]:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()


def typed_flag(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the body with a flag of a form as true or false. Raises BadRequestError when it is neither."""
    value = body.get(name)
    if not isinstance(body, Form) or not isinstance(value, str):
        return dict(body)
    if value.strip().lower() not in FLAGS:
        raise BadRequestError(f"{name} must be true or false")
    return {**body, name: FLAGS[value.strip().lower()]}


def object_field(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object of a body; a form has it as `name[key]=value` or as JSON. Raises BadRequestError."""
    value = body.get(name)
    if isinstance(body, Form) and isinstance(value, str):
        value = _json(value)
    if not isinstance(value, dict):
        raise BadRequestError(f"{name} must be an object")
    return value


def _json(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def id_field(body: Mapping[str, Any], name: str) -> str:
    """Return a number or a text of digits as text, "" when there is none. Raises BadRequestError."""
    value = body.get(name)
    if value is None:
        return ""
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else "?"
    if text and not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        raise BadRequestError(f"{name} must be a number")
    return text
