"""Work that takes a while, told step by step while it goes on: one answer, sent in parts, with or without scripts."""

from collections.abc import Mapping
from typing import Any, Literal

import aiohttp_jinja2
from aiohttp import ClientConnectionResetError, web
from markupsafe import Markup

from vochi_integrations.admin.area import is_fragment
from vochi_integrations.admin.i18n import deferred
from vochi_integrations.admin.pages.parts import said, show
from vochi_integrations.integrations.base import Explanation, Said, Step

State = Literal["done", "failed", "now", "unknown"]
STATES: Mapping[str, State] = {"ok": "done", "problem": "failed", "unknown": "unknown"}
MARKS: Mapping[State, str] = {
    "done": deferred("Готово:"),
    "failed": deferred("Ошибка:"),
    "now": "",
    "unknown": deferred("Не проверено:"),
}
PLACE = Markup("<!-- steps -->")


class Steps:
    """A list of steps that grows. Who closes the page stops reading, not the work."""

    def __init__(self, request: web.Request, response: web.StreamResponse, rest: str) -> None:
        self._response = response
        self._rest = rest
        self._template = aiohttp_jinja2.get_env(request.app).get_template("admin/_step.html")
        self.is_watched = True

    @classmethod
    async def begin(cls, request: web.Request, page: str, context: Mapping[str, Any]) -> "Steps":
        """Begin the answer: the list alone for a script, the whole page around it for a browser without one.

        `page` is shown with `context` and `outcome`, where the list goes.
        """
        before, after = "", ""
        if not is_fragment(request):
            before, _, after = (show(request, page, {**context, "outcome": PLACE}).text or "").partition(PLACE)
        response = web.StreamResponse(headers={"X-Accel-Buffering": "no"})
        response.content_type, response.charset = "text/html", "utf-8"
        await response.prepare(request)
        steps = cls(request, response, f"</ol>{after}")
        await steps._write(f"{before}<ol>")
        return steps

    async def now(self, title: str) -> None:
        """Say what is being done; it disappears when the next step is told."""
        await self.tell("now", title)

    async def tell(
        self,
        state: State,
        title: Said | str,
        message: Said | str = "",
        advice: Said | str = "",
        link: tuple[str, str] | None = None,
    ) -> None:
        """Add a step; `link` is an address and its text, for what to do next."""
        told = {
            "state": state,
            "mark": said(MARKS[state]),
            "title": said(title),
            "message": said(message),
            "advice": said(advice),
        }
        await self._write(self._template.render(told | {"link": link and (link[0], said(link[1]))}))

    async def found(self, step: Step) -> None:
        """Add a step of a check."""
        await self.tell(STATES[step.status], step.title, step.message, step.advice or "")

    async def failed(self, title: str, why: Explanation) -> None:
        await self.tell("failed", title, why.what, why.advice)

    async def connected(self) -> None:
        """Let the page know that what it shows of the connection is out of date."""
        await self._write('<li hidden data-happened="connected"></li>')

    async def end(self) -> web.StreamResponse:
        await self._write(self._rest)
        if self.is_watched:
            await self._response.write_eof()
        return self._response

    async def _write(self, text: str) -> None:
        if not self.is_watched:
            return
        try:
            await self._response.write(text.encode())
        except (ClientConnectionResetError, ConnectionError):
            self.is_watched = False
