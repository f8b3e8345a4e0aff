"""Carrying out the switches: a request is refused, held, cut off, slowed down or answered with rubbish."""

import socket
import struct
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from vochi_integrations.emulators.retailcrm.account import Account
from vochi_integrations.emulators.retailcrm.answers import NGINX_405, NGINX_503, Refusal, html, refuse
from vochi_integrations.emulators.retailcrm.crm import Crm
from vochi_integrations.emulators.retailcrm.switches import Fault

RESET_AT_ONCE = struct.pack("ii", 1, 0)

Process = Callable[[], web.Response]
Spoil = Callable[[web.Request, web.Response, Crm, Account], Awaitable[web.StreamResponse]]

INSTEAD: Mapping[Fault | None, Process] = {
    Fault.ERROR_500: lambda: refuse(Refusal(500, "Internal Server Error")),
    Fault.ERROR_503: lambda: html(NGINX_503, 503),
    Fault.ERROR_405: lambda: html(NGINX_405, 405),
    Fault.SUCCESS_FALSE: lambda: refuse(Refusal(200, "Something went wrong")),
}


async def answer(request: web.Request, crm: Crm, account: Account, process: Process) -> web.StreamResponse:
    """The answer to a request under the account's switches."""
    if account.fault() is Fault.HANG and not await crm.hold(account, request, Fault.HANG):
        return cut(request)
    fault = account.fault()
    if fault is Fault.OUTAGE:
        return cut(request)
    response = INSTEAD[fault]() if fault in INSTEAD else process()
    if account.switches.latency_ms:
        await crm.pause(account.switches.latency_ms / 1000)
    return await SPOILT[fault](request, response, crm, account) if fault in SPOILT else response


def cut(request: web.Request) -> web.Response:
    """Reset the connection; aiohttp drops the empty answer, for there is nobody left to take it."""
    if request.transport is not None:
        taken: socket.socket = request.transport.get_extra_info("socket")
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_ONCE)
        request.transport.abort()
    return web.Response()


async def lose(request: web.Request, _response: web.Response, crm: Crm, account: Account) -> web.StreamResponse:
    await crm.hold(account, request, Fault.LOST_ANSWER)
    return cut(request)


async def garble(_request: web.Request, response: web.Response, _crm: Crm, _account: Account) -> web.StreamResponse:
    return web.Response(body=body_of(response)[:-1] + b',"', content_type="application/json")


async def begin(request: web.Request, response: web.Response) -> web.StreamResponse:
    stream = web.StreamResponse(status=response.status, headers={"Content-Type": response.content_type})
    stream.content_length = len(body_of(response))
    await stream.prepare(request)
    return stream


async def reset(request: web.Request, response: web.Response, _crm: Crm, _account: Account) -> web.StreamResponse:
    stream, body = await begin(request, response), body_of(response)
    await stream.write(body[: len(body) // 2])
    cut(request)
    return stream


async def drip(request: web.Request, response: web.Response, crm: Crm, account: Account) -> web.StreamResponse:
    stream = await begin(request, response)
    for byte in body_of(response):
        await stream.write(bytes([byte]))
        await crm.pause(account.switches.drip_ms / 1000)
    return stream


def body_of(response: web.Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b""


SPOILT: Mapping[Fault | None, Spoil] = {
    Fault.LOST_ANSWER: lose,
    Fault.INVALID_JSON: garble,
    Fault.RESET: reset,
    Fault.DRIP: drip,
}
