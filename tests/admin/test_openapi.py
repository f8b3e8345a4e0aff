"""The API is what its description says: schemathesis asks a real daemon for what it allows, and what it does not."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.admin.office import PUBLIC_URL, Office, office
from tests.admin.test_public_api import COOKIE, OURS, sign_in
from tests.lab import API_KEY, NUMBER, Lab
from vochi_integrations.admin.api import internal_routes, public_routes

EXAMPLES = 25
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


async def described(company: Office) -> dict[str, Any]:
    status, document = await company.daemon.get("/api/openapi.json")
    assert status == 200
    return dict(document)


async def test_the_description_is_valid_and_has_every_route(lab: Lab) -> None:
    async with office(lab) as company:
        document = await described(company)
    schemathesis.openapi.from_dict(document).validate()
    verbs = ("get", "put", "post", "delete")
    written = {(verb.upper(), path) for path, item in document["paths"].items() for verb in verbs if verb in item}
    mounted = {
        (route.method, route.path.replace("{n:[0-9]{1,10}}", "{n}")) for route in (*internal_routes(), *public_routes())
    }
    assert written == mounted
    assert all(item["servers"] == [{"url": PUBLIC_URL}] for path, item in document["paths"].items() if "-admin" in path)


@pytest.mark.parametrize("side", ["internal", "public"])
async def test_no_answer_is_undocumented_and_none_is_a_failure_of_ours(lab: Lab, side: str) -> None:
    await lab.add_company()
    await sign_in(lab)
    lab.crm.switch(rate_limit=False)
    async with office(lab) as company:
        document = confined(await described(company), lab.crm_url, side)
        base = getattr(company.daemon, side)
        results: Any = schemathesis.openapi.from_dict(document).get_all_operations()
        for operation in (result.ok() for result in results):
            seen: Counter[int] = Counter()
            headers = COOKIE | OURS if side == "public" else {}
            await asyncio.to_thread(_check(operation, base, headers, seen))
            assert seen.keys() - {400, 404}, f"{operation.label} never had anything to do"
            await restore(lab)


def confined(document: dict[str, Any], crm_url: str, side: str) -> dict[str, Any]:
    """Return the description of one listener, for one company and one CRM: the others would only be unknown."""
    of_side = {path: item for path, item in document["paths"].items() if ("-admin" in path) == (side == "public")}
    paths = {path: {name: part for name, part in item.items() if name != "servers"} for path, item in of_side.items()}
    components = document["components"]
    components["parameters"]["Number"]["schema"] = {"enum": [NUMBER, NUMBER, NUMBER, "999"]}
    for name in ("Connection", "Config"):
        components["schemas"][name]["properties"]["domain"] = {"enum": [crm_url, crm_url, "", "no host"]}
        components["schemas"][name]["properties"]["api_key"] = {"enum": [API_KEY, "", "wrong-key-00001"]}
    given = components["schemas"]["Extensions"]["properties"]["extensions"]
    given["propertyNames"], given["additionalProperties"] = {"enum": ["1000", "1001"]}, {"enum": ["150", "151", None]}
    components["schemas"]["TestCall"]["properties"] = {"userId": {"enum": [1000, 7]}, "code": {"enum": ["150", ""]}}
    return document | {"paths": paths}


async def restore(lab: Lab) -> None:
    """Let the company be connected again, whatever was done to it."""
    config = {"enabled": True, "domain": lab.crm_url, "api_key": API_KEY, "user_extensions": {"1000": "150"}}
    await lab.sql.execute("UPDATE enterprises SET integrations_config = $1", {"retailcrm": config})


def _check(operation: Any, base: str, headers: dict[str, str], seen: Counter[int]) -> Callable[[], None]:
    """Return a test of one operation with generated requests, good and bad; it counts the answers by status."""

    is_slow = "test-call" in operation.label

    @settings(
        max_examples=EXAMPLES // 3 if is_slow else EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy() | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def check(case: Any) -> None:
        response = case.call_and_validate(base_url=base, headers=headers, checks=CHECKS)
        seen[response.status_code] += 1
        assert response.status_code < 500 or response.json()["error"] == "crm_unreachable"

    return check
