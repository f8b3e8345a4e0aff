"""The demo's words on the terminal: a line for everything that happens, a table at the end."""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from vochi_integrations.demo.check import Verdict
from vochi_integrations.demo.sequences import Sequence
from vochi_integrations.emulators.retailcrm import Account


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Timeline:
    """Writes what the CRM receives, as it receives it."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._began = time.perf_counter()
        self._names: dict[str, str] = {}
        self._dialled: dict[str, deque[float]] = {}

    def expect(self, sequence: Sequence) -> None:
        """Learn which call the ids of a sequence are of."""
        self._names |= {body["UniqueId"]: sequence.id for _, _, body in sequence.events if body.get("UniqueId")}

    def dialled(self, unique_id: str, at: float) -> None:
        """Remember when a dial was sent, to measure its pop-up from there."""
        self._dialled.setdefault(unique_id, deque()).append(at)
        self._account.note_dial(unique_id, time.time())

    def note(self, text: str) -> None:
        say(f"{time.perf_counter() - self._began:7.2f}  {text}")

    async def follow(self) -> None:
        """Write a line for each pop-up and each record, for ever."""
        wake = asyncio.Event()
        self._account.listeners.add(wake)
        events = calls = 0
        while True:
            await wake.wait()
            wake.clear()
            total = self._account.totals
            for event in list(self._account.events)[len(self._account.events) - (total.events - events) :]:
                self.note(self._event(event.event, event.tick))
            for call in list(self._account.calls.values())[calls:]:
                self.note(self._record(call.call))
            events, calls = total.events, len(self._account.calls)

    def _event(self, event: Mapping[str, Any], tick: float) -> str:
        call, codes = event.get("callExternalId", ""), " ".join(event["codes"])
        name, dialled = self._names.get(call, ""), self._dialled.get(call)
        if event["type"] == "hangup":
            return f"{name:4} card closed   {event['phone']:14} at {codes} ({event['hangupStatus']})"
        latency = f"{(tick - dialled.popleft()) * 1000:.1f} ms after the dial" if dialled else ""
        return f"{name:4} pop-up {event['type']:3}    {event['phone']:14} at {codes}   {latency}"

    def _record(self, call: Mapping[str, Any]) -> str:
        name = self._names.get(call["externalId"], "")
        manager = call.get("code", "nobody")
        seconds = f"{call['duration']} s talk, {call['durationWaiting']} s waiting"
        return f"{name:4} record {call['type']:3}    {call['phone']:14} {call['result']}, {manager}, {seconds}"


def table(verdicts: Iterable[Verdict]) -> list[str]:
    """Return the summary, a row a call."""
    rows = ["", f"{'call':52} {'pop-ups':>7} {'ms':>14} {'records':>7}"]
    for item in verdicts:
        latencies = ", ".join(f"{value:.1f}" for value in item.latencies) or "-"
        result = "DIFFERS" if item.differences else "ok"
        rows.append(f"{item.name:52} {item.popups:7} {latencies:>14} {item.records:7}  {result}")
        rows += [f"    {difference}" for difference in item.differences]
    return rows
