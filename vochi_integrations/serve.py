"""The command `serve`: both listeners, signals, an orderly end."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import structlog
from aiohttp import web

from vochi_integrations.acceptor import Acceptor
from vochi_integrations.app import Daemon, daemon
from vochi_integrations.errors import StartupError
from vochi_integrations.notify import READY, STOPPING, notify, stay_alive, watchdog_seconds
from vochi_integrations.settings import Settings
from vochi_integrations.web.intake import Intake
from vochi_integrations.web.middlewares import AccessLogger

BACKLOG = 4_096  # hosts open a connection for each event: a burst in one moment must not wait for TCP to try again

log = structlog.get_logger()


async def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT (0), or until a background task dies (1), be it at the end."""
    stop = stop_signal()
    async with running(settings) as (served, _, _):
        notify(READY)
        if seconds := watchdog_seconds():
            served.loops.start({"watchdog": stay_alive(seconds, served.loops.failed)})
        signalled = asyncio.create_task(stop.wait(), name="signal")
        ends: set[asyncio.Future[Any]] = {signalled, served.loops.failed}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        signalled.cancel()
        log.info("stopping")
        notify(STOPPING)
    log.info("stopped")
    return int(served.loops.failed.done())


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set, in place of what they did."""
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    return stop


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[tuple[Daemon, int, int]]:
    """Run the daemon inside the block; yield it with the ports of its public and its internal listener."""
    server = settings.server
    async with daemon(settings) as served:
        public = Listener(served.public, server.shutdown_seconds)
        internal = Listener(served.internal, server.shutdown_seconds)
        try:
            await public.open(server.public_host, server.public_port, "public", served.intake)
            await internal.open(server.internal_host, server.internal_port, "internal", served.intake)
            addresses = f"{server.public_host}:{public.port}", f"{server.internal_host}:{internal.port}"
            log.info("ready", public=addresses[0], internal=addresses[1])
            yield served, public.port, internal.port
        finally:
            deadline = asyncio.get_running_loop().time() + server.shutdown_seconds
            await asyncio.gather(public.close(), internal.close())
        await _finish(served, deadline)


async def _finish(served: Daemon, deadline: float) -> None:
    """Finish in order, but not when a background task is dead: what it was to write, nobody writes."""
    if served.loops.failed.done():
        return
    finishing = asyncio.create_task(served.finish(deadline), name="finish")
    ends: set[asyncio.Future[Any]] = {finishing, served.loops.failed}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if finishing.done():
        await finishing
        return
    log.warning("work left unfinished; it stays in the database")
    finishing.cancel()
    await asyncio.gather(finishing, return_exceptions=True)


@asynccontextmanager
async def listening(
    app: web.Application, host: str, port: int, name: str, shutdown_seconds: float
) -> AsyncIterator[int]:
    """Serve an application inside the block; yield its port. Raises StartupError when the port is taken."""
    listener = Listener(app, shutdown_seconds)
    try:
        await listener.open(host, port, name)
        yield listener.port
    finally:
        await listener.close()


class Listener:
    """Serves an application at an address; what is under way when it closes has `shutdown_seconds` to end."""

    def __init__(self, app: web.Application, shutdown_seconds: float) -> None:
        self._runner = web.AppRunner(
            app, access_log_class=AccessLogger, shutdown_timeout=shutdown_seconds, handle_signals=False
        )
        self._acceptor: Acceptor | None = None
        self.port = 0

    async def open(self, host: str, port: int, name: str, events: Intake | None = None) -> None:
        """Bind; hosts' events go to `events`. Raises StartupError naming the setting when that is not possible."""
        await self._runner.setup()
        server = cast("web.Server", self._runner.server)
        if events is not None:
            server.request_handler = events.before(server.request_handler)
        try:
            bound = socket.create_server((host, port), family=_family(host), backlog=BACKLOG)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StartupError(f"cannot listen on server.{name}_host:{name}_port {host}:{port}: {reason}") from None
        self.port = int(bound.getsockname()[1])
        self._acceptor = Acceptor(bound, server)

    async def close(self) -> None:
        if self._acceptor is not None:
            await self._acceptor.close()
        await self._runner.cleanup()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
