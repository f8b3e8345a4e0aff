"""Events from Asterisk hosts: accepted liberally, answered 200 once durable (design 4.2; contract, Intake)."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, cast

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from vochi_integrations import clock
from vochi_integrations.domain import Enterprise, Origin
from vochi_integrations.errors import BadRequestError
from vochi_integrations.events import KINDS, read_event, read_json, read_token, read_unique_id
from vochi_integrations.figures import Figures
from vochi_integrations.journal import Journal
from vochi_integrations.pbx.redirector import Redirector
from vochi_integrations.snapshot import SnapshotStore
from vochi_integrations.web.acknowledgement import acknowledged
from vochi_integrations.web.answers import error_answer
from vochi_integrations.web.bodies import read_body
from vochi_integrations.web.middlewares import errors

Server = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
UNKNOWN_TOKEN = "no enterprise has this Token; check enterprises.name2"  # noqa: S105 - a message


class Intake:
    """Takes the events of hosts. `handlers` has every route of theirs, with and without a trailing slash."""

    def __init__(self, store: SnapshotStore, journal: Journal, redirector: Redirector, figures: Figures) -> None:
        self._store = store
        self._journal = journal
        self._redirector = redirector
        self._figures = figures
        by_name: dict[str, Handler] = {kind: partial(self._take, kind, "live") for kind in sorted(KINDS)}
        by_name["download"] = partial(self._take, "hangup", "download")
        self.handlers = {f"/{name}{slash}": handler for name, handler in by_name.items() for slash in ("", "/")}

    def routes(self) -> list[web.RouteDef]:
        return [web.post(path, handler) for path, handler in self.handlers.items()]

    def before(self, application: Server) -> Server:
        """Return a handler that takes events itself and leaves all else to the application.

        Routing and middlewares are a fifth of what an event costs (docs/performance.md).
        """

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            handler = self.handlers.get(request.path) if request.method == hdrs.METH_POST else None
            if handler is None or hdrs.EXPECT in request.headers:
                return await application(request)
            answer = await errors(cast("web.Request", request), handler)
            if answer.status >= 400:
                self._figures.refused[answer.status] += 1
            return answer

        return handle

    async def _take(self, kind: str, origin: Origin, request: web.Request) -> web.StreamResponse:
        """Take one event of a host."""
        received_at = round(clock.now(), 6)
        data = await read_body(request)
        try:
            body = read_json(data)
        except BadRequestError:
            if "Token" in request.headers and await self._enterprise(request, {}) is None:
                return error_answer(401, "unknown_token", UNKNOWN_TOKEN)
            raise
        enterprise = await self._enterprise(request, body)
        if enterprise is None:
            return error_answer(401, "unknown_token", UNKNOWN_TOKEN)
        unique_id = read_unique_id(kind, body)
        event = read_event(kind, unique_id, body, enterprise.directory, received_at=received_at, origin=origin)
        if kind == "start":
            self._redirector.prefetch(enterprise, event)
        await self._journal.append(event, enterprise)
        return acknowledged(request)

    async def _enterprise(self, request: web.Request, body: Mapping[str, Any]) -> Enterprise | None:
        """Find a host's enterprise: the body's Token wins over the header's (contract, Intake)."""
        token = body.get("Token")
        token = read_token(request.headers.get("Token", "") if token is None else token)
        if not token:
            return None
        return self._store.fresh(token) or await self._store.by_token(token)
