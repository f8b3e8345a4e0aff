"""The contract's speaking half: one request, one answer each, whatever the CRM does."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import orjson
import pytest

from tests.integrations.answering import Reply, answering, http
from tests.integrations.subjects import SUBJECTS, TIMEOUT, Subject, enterprise_with, registry
from vochi_integrations.domain import ClosePopup, Delivery, Effect, Reason, ShowPopup, WriteRecord
from vochi_integrations.errors import DeliveryError, TemporaryDeliveryError
from vochi_integrations.integrations.base import Answer

PAGE = b"<html><body>nginx</body></html>"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n"
LATER = {
    "hangs": Reply(end="hang"),
    "hangs after the head": Reply(WHOLE, "hang"),
    "closes without an answer": Reply(),
    "resets": Reply(end="reset"),
    "resets in the body": Reply(WHOLE + b'{"succ', "reset"),
    "closes in the body": Reply(WHOLE + b'{"succ'),
    "speaks something else": Reply(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "drips": Reply(WHOLE, "drip"),
    "500": http(500, b'{"success":false,"errorMsg":"Internal Server Error"}'),
    "502 page": http(502, PAGE, kind="text/html"),
    "503 page": http(503, PAGE, kind="text/html"),
    "504 empty": http(504, b""),
    "429": http(429, b'{"success":false}'),
    "200 empty": http(200, b""),
    "200 garbage": http(200, bytes(range(256))),
    "200 half of JSON": http(200, b'{"success":tru'),
    "200 page": http(200, PAGE, kind="text/html"),
    "200 list": http(200, b"[]"),
}
RECORDED = {"began_at": 1_757_840_400.0, "duration": 7, "waiting": 2}
NEVER = ("400", "403")


@pytest.fixture(params=sorted(SUBJECTS))
def subject(request: pytest.FixtureRequest) -> Subject:
    return SUBJECTS[request.param]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def effects(kind: str, count: int) -> list[Effect]:
    """What leads to so many deliveries of a kind."""
    common = {"at": 1_757_840_400.0, "direction": "in", "phone": "375290000001", "trunk": ""}
    own: dict[str, dict[str, object]] = {
        "popup": {"extensions": ["150", "151"]},
        "popup_over": {"extensions": ["150"], "outcome": "answered", "reason": Reason.CALL_OVER},
        "record": {"result": "answered", "first": "150", "last": "150", **RECORDED},
    }
    shape = {"popup": ShowPopup, "popup_over": ClosePopup, "record": WriteRecord}[kind]
    return [msgspec.convert(common | own[kind] | {"call": f"1757840400.{n}"}, shape) for n in range(count)]


async def send(
    subject: Subject, session: aiohttp.ClientSession, origin: str, kind: str = "record", count: int = 1
) -> tuple[list[Delivery], list[Answer]]:
    integration = registry(session)[subject.name]
    enterprise = enterprise_with(integration, subject.config(origin))
    planned = [row for effect in effects(kind, count) for row in integration.plan(effect, enterprise)]
    assert len(planned) == count
    async with asyncio.timeout(TIMEOUT + 2):
        return planned, await integration.send(planned, enterprise)


@pytest.mark.parametrize("kind", ["popup", "popup_over", "record"])
async def test_a_success_is_no_error(subject: Subject, session: aiohttp.ClientSession, kind: str) -> None:
    async with answering(http(200, subject.success)) as crm:
        planned, (answer,) = await send(subject, session, crm.origin, kind)
    assert answer.error is None
    assert answer.http_status == 200
    assert crm.requests == 1
    assert answer.request == planned[0].payload
    assert (answer.event_type != "", answer.started_at > 0, answer.elapsed_ms > 0) == (True, True, True)


async def test_a_full_batch_is_one_request_and_one_answer_each(
    subject: Subject, session: aiohttp.ClientSession
) -> None:
    count = registry(session)[subject.name].batch_size
    async with answering(http(200, subject.success)) as crm:
        planned, answers = await send(subject, session, crm.origin, "record", count)
    assert crm.requests == 1
    assert [answer.request for answer in answers] == [row.payload for row in planned]
    assert [answer.error for answer in answers] == [None] * count


@pytest.mark.parametrize("kind", ["popup", "popup_over", "record"])
@pytest.mark.parametrize("case", LATER)
async def test_what_may_be_better_later_is_temporary(
    subject: Subject, session: aiohttp.ClientSession, case: str, kind: str
) -> None:
    count = 3 if kind == "record" else 1
    began = time.perf_counter()
    async with answering(LATER[case]) as crm:
        _, answers = await send(subject, session, crm.origin, kind, count)
    assert time.perf_counter() - began < TIMEOUT + 1
    assert [type_of(answer.error) for answer in answers] == ["temporary"] * count
    keeps_secrets(subject, answers)


async def test_nobody_listening_is_temporary(subject: Subject, session: aiohttp.ClientSession) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        _, answers = await send(subject, session, f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert [type_of(answer.error) for answer in answers] == ["temporary"]
    keeps_secrets(subject, answers)


@pytest.mark.parametrize("status", NEVER)
async def test_what_the_crm_refuses_is_not_temporary(
    subject: Subject, session: aiohttp.ClientSession, status: str
) -> None:
    async with answering(http(int(status), subject.refusal)) as crm:
        _, answers = await send(subject, session, crm.origin, "record", 2)
    assert [type_of(answer.error) for answer in answers] == ["for good"] * 2
    assert [answer.http_status for answer in answers] == [int(status)] * 2
    keeps_secrets(subject, answers)


@pytest.mark.parametrize("status", [429, 503])
async def test_the_pause_a_crm_asks_for_is_told(subject: Subject, session: aiohttp.ClientSession, status: int) -> None:
    async with answering(http(status, b"{}", retry_after="7")) as crm:
        _, (answer,) = await send(subject, session, crm.origin)
    assert getattr(answer.error, "retry_after", None) == 7


async def test_a_redirect_is_not_followed(subject: Subject, session: aiohttp.ClientSession) -> None:
    async with answering(http(200, subject.success)) as other:
        moved = Reply(f"HTTP/1.1 302 Found\r\nLocation: {other.origin}/\r\nContent-Length: 0\r\n\r\n".encode())
        async with answering(moved) as crm:
            _, (answer,) = await send(subject, session, crm.origin)
    assert answer.error is not None
    assert (crm.requests, other.requests) == (1, 0)


async def test_a_large_answer_is_bounded(subject: Subject, session: aiohttp.ClientSession) -> None:
    async with answering(http(502, b"x" * 5_000_000, kind="text/html")) as crm:
        _, (answer,) = await send(subject, session, crm.origin)
    assert type_of(answer.error) == "temporary"
    assert len(orjson.dumps(answer.response)) < 100_000


def type_of(error: DeliveryError | None) -> str:
    if error is None:
        return "none"
    return "temporary" if isinstance(error, TemporaryDeliveryError) else "for good"


def keeps_secrets(subject: Subject, answers: list[Answer]) -> None:
    told = "".join(f"{answer!r} {answer.error!r} {vars(answer.error)}" for answer in answers)
    assert not [secret for secret in subject.secrets if secret in told]
