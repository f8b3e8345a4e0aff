"""JSON answers and errors: `{"error": "<code>", "message": "<what to do>"}` (design 4.2)."""

from datetime import UTC, datetime

import orjson
from aiohttp import web

NUMBER = "{n:[0-9]{1,10}}"
NO_DATABASE = (503, "database_unavailable", "PostgreSQL does not answer; try again later")


def json_answer(value: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def error_answer(status: int, code: str, message: str) -> web.Response:
    return json_answer({"error": code, "message": message}, status)


def no_database() -> web.Response:
    return error_answer(*NO_DATABASE)


def iso(epoch: float | None) -> str | None:
    """Write UTC epoch seconds as ISO 8601."""
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC).isoformat(timespec="seconds")[:-6] + "Z"
