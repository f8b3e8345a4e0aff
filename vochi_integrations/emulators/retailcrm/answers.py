"""The CRM's envelope: what success and refusal look like on the wire (facts: retailcrm_api §1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

BAD_ENTITY = "Errors in the entity format"
BAD_INPUT = "Errors in the input parameters"
NGINX_503 = (
    "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body>\r\n"
    "<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>"
)
NGINX_405 = (
    "<html>\r\n<head><title>Account not found</title></head>\r\n<body><h1>Account not found</h1></body>\r\n</html>"
)


@dataclass(frozen=True, slots=True)
class Answer:
    fields: Mapping[str, Any]
    status: int = 200


class Refusal(Exception):  # noqa: N818 - a refusal is an answer of the CRM, not a failure of the program
    """The CRM says no; carries the status and the envelope of that."""

    def __init__(
        self, status: int, message: str, errors: Mapping[str, str] | list[str] | None = None, **fields: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.fields = {"errorMsg": message, **({"errors": errors} if errors else {}), **fields}


def bad_entity(errors: Mapping[str, str]) -> Refusal:
    return Refusal(400, BAD_ENTITY, errors)


def bad_input(**errors: str) -> Refusal:
    return Refusal(400, BAD_INPUT, errors)


def not_found() -> Refusal:
    return Refusal(404, "Not found")


def envelope(*, success: bool, fields: Mapping[str, Any], status: int) -> web.Response:
    body = orjson.dumps({"success": success, **fields})
    return web.Response(body=body, status=status, content_type="application/json")


def accept(answer: Answer) -> web.Response:
    return envelope(success=True, fields=answer.fields, status=answer.status)


def refuse(refusal: Refusal) -> web.Response:
    return envelope(success=False, fields=refusal.fields, status=refusal.status)


def html(text: str, status: int) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html")
