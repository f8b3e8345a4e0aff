"""Names that lead inside a network: refused by the connector itself, whatever the name was when it was saved."""

import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer

from tests.integration.test_call_path import fresh_id, post
from tests.kinds import dial, hangup
from tests.lab import Lab, eventually
from vochi_integrations.app import client_session
from vochi_integrations.domain import Reason
from vochi_integrations.errors import AccountDeliveryError
from vochi_integrations.integrations.retailcrm.client import RetailCrmClient
from vochi_integrations.integrations.retailcrm.config import RetailCrmConfig
from vochi_integrations.settings import Crm, Secret

NAME = "crm.example.com"


class Dns(AbstractResolver):
    """Answers every name with the addresses it is given."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - given by its name
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


class Inside(TestServer):
    """A server inside the network that counts who comes."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        super().__init__(app)

    async def _take(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        return web.json_response({"success": True})


@pytest.fixture
async def inside() -> AsyncIterator[Inside]:
    server = Inside()
    await server.start_server()
    yield server
    await server.close()


async def ask(session: aiohttp.ClientSession, port: int | None) -> Any:
    config = RetailCrmConfig(url=f"http://{NAME}:{port}", api_key=Secret("k"))
    return await RetailCrmClient(session, 2.0).get(config, "/api/credentials", {})


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.1", "10.0.0.1"], ["::1"], ["::ffff:127.0.0.1"]])
async def test_a_name_that_leads_inside_is_refused_before_any_connection(inside: Inside, addresses: list[str]) -> None:
    async with client_session(Crm(), Dns(*addresses)) as session:
        for _ in range(2):
            reply = await ask(session, inside.port)
            assert isinstance(reply.error, AccountDeliveryError)
            assert reply.error.reason == Reason.PRIVATE_ADDRESS
            assert "not public" in str(reply.error)
            assert not any(address in str(reply.error) for address in addresses)
    assert inside.requests == []


async def test_of_several_addresses_only_the_public_ones_are_tried(inside: Inside) -> None:
    async with client_session(Crm(), Dns("127.0.0.1", "192.0.0.9")) as session:
        reply = await ask(session, inside.port)
    assert reply.error is not None
    assert reply.error.reason == Reason.CRM_UNREACHABLE
    assert inside.requests == []


async def test_tests_and_the_demo_may_go_inside(inside: Inside) -> None:
    async with client_session(Crm(allow_insecure_urls=True), Dns("127.0.0.1")) as session:
        assert (await ask(session, inside.port)).error is None
    assert inside.requests == ["/api/credentials"]


async def test_a_name_that_does_not_exist_is_no_private_address() -> None:
    async with client_session(Crm()) as session:
        config = RetailCrmConfig(url="https://no-such-name.invalid", api_key=Secret("k"))
        reply = await RetailCrmClient(session, 5.0).get(config, "/api/credentials", {})
    assert reply.error is not None
    assert reply.error.reason == Reason.CRM_UNREACHABLE


async def test_a_company_whose_name_leads_inside_is_asked_once_and_told_why(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = socket.getaddrinfo

    def dns(host: Any, *args: Any, **options: Any) -> Any:
        return resolved("127.0.0.1" if host == NAME else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", dns)
    port = lab.crm_url.rpartition(":")[2]
    await lab.add_company(domain=f"https://{NAME}:{port}")
    async with lab.daemon(crm__allow_insecure_urls="false") as daemon:
        await post(daemon, fresh_id(1), dial(0, ["151"]))
        first = (await until_settled(lab, 1))[0]
        await post(daemon, fresh_id(2), dial(0, ["151"]), hangup(9, ["151"], "2"))
        others = (await until_settled(lab, 2))[1:]
    assert (first["status"], first["reason"], first["attempts"]) == ("failed", "private_address", 1)
    assert (others[0]["status"], others[0]["reason"], others[0]["attempts"]) == ("skipped", "private_address", 0)
    (record,) = await lab.deliveries(kind="record")
    assert (record["status"], record["attempts"]) == ("pending", 0)
    assert not lab.account.totals.requests


async def until_settled(lab: Lab, count: int) -> list[dict[str, Any]]:
    """Wait until so many pop-ups have come to their end."""
    found: list[dict[str, Any]] = []

    async def settled() -> None:
        found[:] = [row for row in await lab.deliveries(kind="popup") if row["status"] in ("failed", "skipped")]
        assert len(found) == count

    await eventually(settled)
    return found
