"""Every route of the administrator's area there is, also those of tomorrow: nobody gets in without a session."""

import re
from collections.abc import AsyncIterator

import pytest

from tests.lab import NUMBER, Lab
from tests.visitor import Visitor, registered, visiting
from vochi_integrations.admin.area import API, PREFIX, is_admin_page
from vochi_integrations.admin.headers import HEADERS
from vochi_integrations.app import create_public

OTHER = "0368"
SAFE = {"GET", "HEAD"}


def routes(number: str) -> list[tuple[str, str]]:
    """Method and address of every route under `/retailcrm-admin`, for an enterprise."""
    found = [(route.method, route.resource.canonical) for route in create_public([]).router.routes() if route.resource]
    return [
        (method, re.sub(r"\{\w+\}", number, path) + f"?enterprise_number={number}")
        for method, path in found
        if is_admin_page(path)
    ]


@pytest.fixture
async def visitor(lab: Lab) -> AsyncIterator[Visitor]:
    await lab.add_company()
    await lab.add_company(OTHER, token="other-token")
    async with lab.daemon() as daemon, visiting(daemon) as opened:
        yield opened


def test_there_are_routes() -> None:
    """What finds none would make the other tests pass."""
    paths = {path.partition("?")[0] for _, path in routes(NUMBER)}
    assert paths > {PREFIX, f"{PREFIX}/", f"{PREFIX}/access", f"{API}config/{NUMBER}"}


async def test_without_a_session_none_answers(visitor: Visitor) -> None:
    for method, path in routes(NUMBER):
        answer = await visitor.ask(method, path)
        assert answer.status == 401, (method, path)
        is_page = not path.startswith(API)
        assert answer.headers["Content-Type"].startswith("text/html" if is_page else "application/json"), path
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


async def test_with_the_session_of_another_enterprise_none_answers(lab: Lab, visitor: Visitor) -> None:
    await visitor.get(f"{PREFIX}/?enterprise_number={OTHER}&token={await registered(lab, OTHER)}")
    for method, path in routes(NUMBER):
        assert (await visitor.ask(method, path)).status == 403, (method, path)


async def test_nothing_is_changed_without_proof_of_origin(lab: Lab, visitor: Visitor) -> None:
    await visitor.get(f"{PREFIX}/?enterprise_number={NUMBER}&token={await registered(lab)}")
    unsafe = [(method, path) for method, path in routes(NUMBER) if method not in SAFE]
    signing_in = {("POST", f"{path}?enterprise_number={NUMBER}") for path in (PREFIX, f"{PREFIX}/")}
    assert set(unsafe) > signing_in
    for method, path in unsafe:
        for origin in (None, "https://evil.example.com"):
            answer = await visitor.ask(method, path, headers={"Origin": origin})
            assert answer.status == (303 if (method, path) in signing_in else 403), (method, path)
