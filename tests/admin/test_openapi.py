"""The routes are what their description says: a real daemon is asked for what it allows, and for what it does not."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests import routes
from tests.admin.office import PUBLIC_URL, Office, office
from tests.admin.test_public_api import COOKIE, OURS, sign_in
from tests.lab import API_KEY, NUMBER, TOKEN, Lab
from vochi_integrations.admin import openapi

EXAMPLES = 15
SLOW = ("test-call", "/live", "managers/test")
OTHERS = ("crm_unreachable", "PBX")
CALL = "1757840400.1"
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


class Side(NamedTuple):
    """A part of the description that is asked for alone, and the listener it is asked of."""

    listener: str
    has: Callable[[str, Any], bool]


def is_administrators(item: Any) -> bool:
    return any("RetailCRM" in item[verb]["tags"] for verb in routes.verbs(item))


def is_of_machines(path: str, item: Any, listener: str) -> bool:
    """A machine's route belongs to the listener that is its only one, or to the internal one."""
    return not is_administrators(item) and "-admin" not in path and routes.listeners(item)[-1] == listener


SIDES = {
    "administrators, internal": Side("internal", lambda path, item: is_administrators(item) and "-admin" not in path),
    "administrators, public": Side("public", lambda path, item: is_administrators(item) and "-admin" in path),
    "machines, internal": Side("internal", lambda path, item: is_of_machines(path, item, "internal")),
    "machines, public": Side("public", lambda path, item: is_of_machines(path, item, "public")),
    "pages": Side("public", lambda path, item: not is_administrators(item) and "-admin" in path),
}


async def described(company: Office) -> dict[str, Any]:
    status, document = await company.daemon.get("/api/openapi.json")
    assert status == 200
    return dict(document)


async def test_the_description_is_valid_and_has_every_route_there_is_and_no_other(lab: Lab) -> None:
    async with office(lab) as company:
        document = await described(company)
    schemathesis.openapi.from_dict(document).validate()
    assert routes.described(document) == routes.registered()
    urls = {server["url"] for item in document["paths"].values() for server in item.get("servers", ())}
    assert urls == {"/", PUBLIC_URL}


def test_the_document_of_routes_names_every_path_and_no_other() -> None:
    """`python -m tests.routes` writes its table anew."""
    text = routes.FILE.read_text("utf-8")
    assert text == routes.written(text)
    known = {routes.bare(path) for path in openapi.document(routes.OUTSIDE)["paths"]}
    prefixes = {"/api", "/retailcrm-admin/api"}
    assert set(routes.named(text)) - prefixes == known


@pytest.mark.parametrize("side", [*SIDES])
async def test_no_answer_is_undocumented_and_none_is_a_failure_of_ours(lab: Lab, side: str) -> None:
    await lab.add_company()
    await sign_in(lab)
    lab.crm.switch(rate_limit=False)
    async with office(lab) as company:
        document = confined(await described(company), lab.crm_url, side)
        base = getattr(company.daemon, SIDES[side].listener)
        await company.daemon.post("dial", {"UniqueId": CALL, "Phone": "+375290000001", "Extensions": ["150"]})
        await company.daemon.post("hangup", {"UniqueId": CALL})
        results: Any = schemathesis.openapi.from_dict(document).get_all_operations()
        for operation in (result.ok() for result in results):
            seen: Counter[int] = Counter()
            headers = COOKIE | OURS if SIDES[side].listener == "public" else {}
            for mode in GenerationMode:
                with suppress(Unsatisfiable):  # nothing that is sent to some can be wrong
                    await asyncio.to_thread(_check(operation, base, headers, mode, seen))
            assert seen.keys() - {400, 401, 403, 404}, f"{operation.label} never had anything to do"
            await restore(lab)


def confined(document: dict[str, Any], crm_url: str, side: str) -> dict[str, Any]:
    """Return the description of one side, for one company and one CRM: the others would only be unknown."""
    of_side = {path: item for path, item in document["paths"].items() if SIDES[side].has(path, item)}
    paths = {path: {name: part for name, part in item.items() if name != "servers"} for path, item in of_side.items()}
    components = document["components"]
    schemas, parameters = components["schemas"], components["parameters"]
    parameters["Number"]["schema"] = schemas["EnterpriseNumber"] = {"enum": [NUMBER, NUMBER, NUMBER, "999"]}
    for name in ("Connection", "Config"):
        schemas[name]["properties"]["domain"] = {"enum": [crm_url, crm_url, "", "no host"]}
        schemas[name]["properties"]["api_key"] = {"enum": [API_KEY, "", "wrong-key-00001"]}
    given = schemas["Extensions"]["properties"]["extensions"]
    given["propertyNames"], given["additionalProperties"] = {"enum": ["1000", "1001"]}, {"enum": ["150", "151", None]}
    schemas["TestCall"]["properties"] = {"userId": {"enum": [1000, 7]}, "code": {"enum": ["150", ""]}}
    schemas["DialledExtension"] = {"enum": ["150", "151"]}
    schemas["HostToken"] = schemas["Dispatched"]["properties"]["token"] = {"enum": [TOKEN, TOKEN, TOKEN, "no-token"]}
    parameters["Token"]["schema"] = schemas["HostToken"]
    parameters["ClientId"]["schema"] = {"enum": [NUMBER, f"secret-{NUMBER}", "nobody"]}
    for name in ("MakeCall", "ManagerStatus", "Activity"):
        schemas[name]["properties"]["clientId"] = {"enum": [NUMBER, NUMBER, "nobody"]}
    parameters["File"]["schema"] = {"enum": ["vochi_logo.svg", "none.svg"]}
    parameters["Call"]["schema"] = {"enum": [CALL, CALL, "0.1"]}
    return document | {"paths": paths}


async def restore(lab: Lab) -> None:
    """Let the company be connected again, whatever was done to it."""
    config = {"enabled": True, "domain": lab.crm_url, "api_key": API_KEY, "user_extensions": {"1000": "150"}}
    await lab.sql.execute("UPDATE enterprises SET integrations_config = $1", {"retailcrm": config})


def _check(
    operation: Any, base: str, headers: dict[str, str], mode: GenerationMode, seen: Counter[int]
) -> Callable[[], None]:
    """Return a test of one operation with requests that are good, or are not; it counts the answers by status."""

    is_slow = any(name in operation.label for name in SLOW)

    @settings(
        max_examples=EXAMPLES // 3 if is_slow else EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        response = case.call_and_validate(base_url=base, headers=headers, checks=CHECKS)
        seen[response.status_code] += 1
        assert response.status_code < 500 or any(said in response.text for said in OTHERS)

    return check
