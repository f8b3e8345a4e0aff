"""RetailCRM over HTTP: one request, one answer (facts: retailcrm_api §1)."""

import time
from collections.abc import Mapping, Sequence
from urllib.parse import quote_plus, urlencode

import aiohttp
import orjson
from aiohttp import hdrs
from msgspec import Struct

from vochi_integrations import clock
from vochi_integrations.domain import Reason
from vochi_integrations.errors import AccountDeliveryError, DeliveryError, TemporaryDeliveryError
from vochi_integrations.exchange import Exchanger
from vochi_integrations.integrations.retailcrm.answers import failure_of, read_body
from vochi_integrations.integrations.retailcrm.config import RetailCrmConfig
from vochi_integrations.resolver import PrivateAddressError

FORM = "application/x-www-form-urlencoded"  # written here: aiohttp's own form costs a tenth of a delivery


class Reply(Struct, kw_only=True):
    """A request's outcome. `answer` is the CRM's JSON or text, `error` what is wrong with it, None for success."""

    started_at: float
    elapsed_ms: float = 0.0
    status: int | None = None
    answer: object = None
    error: DeliveryError | None = None


class RetailCrmClient:
    """Speaks API v5 to one account at a time; never follows redirects, never raises for the CRM."""

    def __init__(self, session: aiohttp.ClientSession, timeout: float) -> None:
        self._exchanger = Exchanger(session, timeout)

    async def call_event(self, config: RetailCrmConfig, event: Mapping[str, object]) -> Reply:
        """Show or close a card (facts: retailcrm_api §2)."""
        return await self.post(config, "/api/v5/telephony/call/event", "event", event)

    async def upload_calls(self, config: RetailCrmConfig, calls: Sequence[Mapping[str, object]]) -> Reply:
        """Write up to 50 records into the call history (facts: retailcrm_api §3)."""
        return await self.post(config, "/api/v5/telephony/calls/upload", "calls", calls)

    async def get(self, config: RetailCrmConfig, path: str, query: Mapping[str, str]) -> Reply:
        """Read; `path` begins with /api/, `query` is written the way PHP reads it (`filter[active]`)."""
        return await self._request(config, hdrs.METH_GET, f"{path}?{urlencode(query)}" if query else path)

    async def post(self, config: RetailCrmConfig, path: str, field: str, value: object) -> Reply:
        """Write one composite form field, a JSON string."""
        body = f"{field}={quote_plus(orjson.dumps(value))}".encode()
        return await self._request(config, hdrs.METH_POST, path, body)

    async def _request(self, config: RetailCrmConfig, method: str, path: str, body: bytes | None = None) -> Reply:
        reply = Reply(started_at=clock.now())
        began = time.perf_counter()
        headers = {"X-API-KEY": config.api_key.reveal()}
        if body is not None:
            headers[hdrs.CONTENT_TYPE] = FORM
        try:
            answered = await self._exchanger.request(method, config.url, path, headers, body)
            reply.status, reply.answer = answered.status, read_body(answered.body)
            reply.error = failure_of(reply.status, reply.answer, answered.headers.get(hdrs.RETRY_AFTER))
        except ValueError:
            reply.error = TemporaryDeliveryError(Reason.NOT_CONFIGURED, "domain or api_key cannot be sent as they are")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reply.error = _no_answer(error, reply.status)
        reply.elapsed_ms = round((time.perf_counter() - began) * 1000, 2)
        return reply


def _no_answer(error: Exception, status: int | None) -> DeliveryError:
    """A domain that leads inside a network is its administrator's to change; all else may pass."""
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, PrivateAddressError):
        message = "the domain leads to an address that is not public: correct it"
        return AccountDeliveryError(Reason.PRIVATE_ADDRESS, message)
    return TemporaryDeliveryError(Reason.CRM_UNREACHABLE, _describe(error), status=status)


def _describe(error: Exception) -> str:
    """Say what happened without the address, which a later reader may see."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "TLS: the certificate or the handshake was refused"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {error.os_error.strerror or type(error.os_error).__name__}"
    return f"the connection broke: {type(error).__name__}"
