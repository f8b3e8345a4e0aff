"""How the CRM reads parameters: a composite one is a JSON string in one form field (facts: retailcrm_api §1)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web
from multidict import MultiDict, MultiMapping

from vochi_integrations.emulators.retailcrm.account import Account
from vochi_integrations.emulators.retailcrm.answers import Refusal, bad_input
from vochi_integrations.emulators.retailcrm.validation import CHOICE, INVALID

Parameters = MultiMapping[Any]
LIMITS = ("20", "50", "100")


@dataclass(frozen=True, slots=True)
class Query:
    """A request that was let in, as a method of the API sees it."""

    account: Account
    parameters: Parameters
    path: Mapping[str, str]
    origin: str
    at: float
    tick: float


async def read_parameters(request: web.Request) -> Parameters:
    """The query of a GET, the form of a POST; a JSON body counts for nothing, as no official client sends one."""
    if request.method != "POST":
        return request.query
    try:
        return await request.post()
    except ValueError:
        return MultiDict()


def key_of(request: web.Request, parameters: Parameters) -> str | None:
    key = request.headers.get("X-API-KEY") or request.query.get("apiKey") or parameters.get("apiKey")
    return key if isinstance(key, str) else None


def scalar(parameters: Parameters, name: str) -> str:
    if any(key.startswith(f"{name}[") for key in parameters):
        raise Refusal(400, f'Input value "{name}" contains a non-scalar value')
    # PHP keeps the last of several parameters of one name.
    value = parameters.getall(name, [""])[-1]
    if not isinstance(value, str):
        raise Refusal(400, f'Input value "{name}" contains a non-scalar value')
    if not value:
        raise Refusal(400, f"Parameter '{name}' is missing")
    return value


def composite(parameters: Parameters, name: str) -> Any:
    try:
        return orjson.loads(scalar(parameters, name))
    except orjson.JSONDecodeError:
        raise bad_input(**{name: "Invalid JSON"}) from None


def choice_of(parameters: Parameters, name: str, allowed: Collection[str], default: str) -> str:
    value = parameters.get(name, default)
    if value not in allowed:
        raise bad_input(**{name: CHOICE})
    return str(value)


def number_of(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 16 else None


def filters_of(parameters: Parameters, allowed: Collection[str]) -> dict[str, list[str]]:
    """`filter[key]=value`, `filter[key][]=value`; a scalar `filter` is ignored, the official Python client sends it."""
    filters: dict[str, list[str]] = {}
    for key, value in parameters.items():
        if key.startswith("filter["):
            filters.setdefault(key[7:].partition("]")[0], []).append(value)
    if unknown := [key for key in filters if key not in allowed]:
        raise bad_input(**{f"filter[{key}]": INVALID for key in unknown})
    return filters


def paged(parameters: Parameters, name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One page of rows with its `pagination` (facts: retailcrm_api §1)."""
    limit = int(choice_of(parameters, "limit", LIMITS, "20"))
    page = number_of(parameters.get("page", "1"))
    if not page:
        raise bad_input(page=INVALID)
    pagination = {
        "limit": limit,
        "totalCount": len(rows),
        "currentPage": page,
        "totalPageCount": -(-len(rows) // limit),
    }
    return {"pagination": pagination, name: rows[(page - 1) * limit : page * limit]}
