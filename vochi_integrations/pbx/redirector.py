"""Smart redirect: what the CRM and our own history say of a caller, within a hard deadline."""

import asyncio
from typing import Any, NamedTuple, Protocol

import asyncpg
import structlog
from msgspec.structs import replace

from vochi_integrations import clock
from vochi_integrations.background import Errands
from vochi_integrations.db import UNAVAILABLE
from vochi_integrations.domain import CallEvent, Enterprise, Reason
from vochi_integrations.errors import DeliveryError, PbxError
from vochi_integrations.integrations.base import Answer, Caller, Integration
from vochi_integrations.pbx.callers import Callers, Known
from vochi_integrations.pbx.history import History
from vochi_integrations.pbx.redirect import (
    OWN_HISTORY,
    Decision,
    Question,
    context_of,
    question_of,
    shown_name,
)

LOGGED_AS = "smart"
UNDECIDED = frozenset({"timeout", "error"})

log = structlog.get_logger()


class LogRows(Protocol):
    """Where decisions are kept: the outbox."""

    def log_answer(self, enterprise: str, integration: str, call: str, answer: Answer) -> None: ...


class Switchboard(Protocol):
    """Who moves a channel: the PBX's control. Raises PbxError, also when the PBX did not do it."""

    async def redirect_channel(self, enterprise: Enterprise, channel: str, extension: str) -> None: ...


class Asked(NamedTuple):
    """The CRM that is asked, None when none is, and what is known there; `cached` when nobody has to wait for it."""

    integration: Integration | None
    known: Known
    cached: bool

    @property
    def pending(self) -> "asyncio.Task[None] | None":
        return None if self.cached else self.known.asking


class Redirector:
    """Decides who gets a call. A decision never waits longer than its deadline, whatever hangs."""

    def __init__(self, callers: Callers, history: History, rows: LogRows, switchboard: Switchboard) -> None:
        self._callers = callers
        self._history = history
        self._rows = rows
        self._switchboard = switchboard
        self._errands = Errands()

    async def close(self) -> None:
        await self._errands.close()
        await self._callers.close()

    def prefetch(self, enterprise: Enterprise, event: CallEvent) -> None:
        """A call begins: ask the CRM now, so that the dialplan finds the answer here."""
        if enterprise.smart.lines:
            question = question_of(enterprise, event.phone.digits, event.trunk)
            self._ask(enterprise, self._permitted(enterprise, question))

    async def decide(self, enterprise: Enterprise, question: Question, deadline: float) -> Decision:
        """Say who gets a call; at `deadline` (loop time), from what is known by then."""
        question = self._permitted(enterprise, question)
        if question.closed:
            return Decision(source=question.closed)
        asked = self._ask(enterprise, question)
        recalled = self._recall(enterprise, question, asked)
        if question.by_crm or "customer" in question.parts:
            await _until(asked.pending, deadline)
        found = self._by_crm(enterprise, question, asked) if question.by_crm else None
        if found is None and recalled is not None:
            await _until(recalled, deadline)
            found = self._by_history(enterprise, question, recalled)
        caller = asked.known.caller or Caller()
        return Decision(
            source=found.source if found else _why_nobody(asked, recalled),
            extension=found.extension if found else "",
            manager=found.manager if found else "",
            context=found.context if found else None,
            name=shown_name(question, enterprise.directory, caller.name),
            cached=asked.cached,
        )

    def _permitted(self, enterprise: Enterprise, question: Question) -> Question:
        """Leave routing out where the tenant does not let the CRM decide on it; the name may still be shown."""
        integration = self._callers.integration(question.crm, enterprise) if question.by_crm else None
        if integration is None or integration.routes_callers(enterprise):
            return question
        return replace(question, routes=False, closed=question.closed or ("" if question.parts else "off"))

    def _ask(self, enterprise: Enterprise, question: Question) -> Asked:
        integration = self._callers.integration(question.crm, enterprise) if question.asks_crm else None
        if integration is None:
            return Asked(None, Known(), cached=False)
        known = self._callers.ask(integration, enterprise, question.phone, question.trunk)
        return Asked(integration, known, cached=known.is_usable)

    def _recall(self, enterprise: Enterprise, question: Question, asked: Asked) -> "asyncio.Task[str | None] | None":
        """Look into our own history beside the CRM, unless the CRM's answer is here and enough."""
        if not question.asks_history:
            return None
        if question.by_crm and asked.cached and self._by_crm(enterprise, question, asked):
            return None
        return self._errands.start(self._recalled(enterprise, question), "call history")

    async def _recalled(self, enterprise: Enterprise, question: Question) -> str | None:
        """Return an extension, "" when nobody has talked with the caller, None when the database does not say."""
        find = self._history.first if question.algorithm == "first_call" else self._history.last
        try:
            return await find(enterprise, question.phone)
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            log.warning("call history not read", enterprise=enterprise.number, error=repr(error))
            return None

    def _by_crm(self, enterprise: Enterprise, question: Question, asked: Asked) -> Decision | None:
        """Our own mapping of the responsible manager, else the CRM's extension if it is one of ours (contract, PBX)."""
        integration, caller = asked.integration, asked.known.caller
        if integration is None or caller is None:
            return None
        code = caller.code if caller.code in enterprise.directory.internal else ""
        mapped = integration.extension_of(enterprise, caller.manager) if caller.manager else None
        return _decision(enterprise, question, integration.name, mapped or code, caller.manager)

    def _by_history(
        self, enterprise: Enterprise, question: Question, recalled: "asyncio.Task[str | None]"
    ) -> Decision | None:
        extension = recalled.result() if recalled.done() and not recalled.cancelled() else None
        if not extension or extension not in enterprise.directory.ids:
            return None
        integration = self._callers.integration(question.crm, enterprise)
        manager = integration.user_of(enterprise, extension) if integration else None
        source = question.algorithm if question.algorithm in OWN_HISTORY else "last_call"
        return _decision(enterprise, question, source, extension, manager or "")

    def move(self, enterprise: Enterprise, channel: str, extension: str, call: str) -> None:
        """Send a caller's channel to an extension, in the background; what came of it is kept."""
        self._errands.start(self._move(enterprise, channel, extension, call), "redirect")

    async def _move(self, enterprise: Enterprise, channel: str, extension: str, call: str) -> None:
        began, answer = clock.now(), Answer(event_type="channel_redirect", request={})
        try:
            await self._switchboard.redirect_channel(enterprise, channel, extension)
        except PbxError as error:
            log.warning("call not redirected", enterprise=enterprise.number, call=call, error=str(error))
            answer.error, answer.response = DeliveryError(error.reason, str(error)), {"reason": error.reason}
        else:
            log.info("call redirected", enterprise=enterprise.number, call=call, extension=extension)
        answer.request = {"channel": channel, "extension": extension}
        answer.started_at, answer.elapsed_ms = began, round((clock.now() - began) * 1000, 2)
        self._rows.log_answer(enterprise.number, LOGGED_AS, call, answer)

    def record(
        self, enterprise: Enterprise, question: Question, decision: Decision, *, call: str, elapsed_ms: float
    ) -> None:
        """Keep what was decided in the log, and in the tenant's journal when its line is switched on."""
        log.info(
            "smart redirect",
            enterprise=enterprise.number,
            call=call,
            phone=question.phone,
            trunk=question.trunk,
            source=decision.source,
            cached=decision.cached,
            extension=decision.extension,
            context=decision.context,
            ms=elapsed_ms,
        )
        if not question.closed:
            self._rows.log_answer(enterprise.number, LOGGED_AS, call, _row(question, decision, elapsed_ms))


def _decision(enterprise: Enterprise, question: Question, source: str, extension: str, manager: str) -> Decision | None:
    """Return a decision for an extension; none when a context is needed and there cannot be one."""
    context = context_of(extension, question.trunk, enterprise.directory) if question.to_context else None
    if not extension or (question.to_context and context is None):
        return None
    return Decision(source=source, extension=extension, manager=manager, context=context)


def _why_nobody(asked: Asked, recalled: "asyncio.Task[str | None] | None") -> str:
    is_waiting = asked.pending is not None or (recalled is not None and not recalled.done())
    if is_waiting:
        return "timeout"
    has_failed = asked.known.error and not asked.cached
    return "error" if has_failed or (recalled is not None and recalled.result() is None) else "none"


def _row(question: Question, decision: Decision, elapsed_ms: float) -> Answer:
    undecided = decision.source in UNDECIDED
    response: dict[str, Any] = {
        "source": decision.source,
        "cached": decision.cached,
        "extension": decision.extension,
        "manager": decision.manager,
        "context": decision.context,
        "name": decision.name,
    }
    return Answer(
        event_type="smart_redirect",
        request={"phone": question.phone, "trunk": question.trunk, "algorithm": question.algorithm},
        response=response | {"elapsed_ms": elapsed_ms},
        error=DeliveryError(Reason.CRM_UNREACHABLE, f"smart redirect: {decision.source}") if undecided else None,
        started_at=clock.now() - elapsed_ms / 1000,
        elapsed_ms=elapsed_ms,
    )


async def _until(task: "asyncio.Task[Any] | None", deadline: float) -> None:
    """Wait for a task until then, without ending it."""
    if task is not None and not task.done():
        await asyncio.wait({task}, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
