"""Watches over the daemon: one loop that looks, judges by the rules of `alerts`, and tells of what changes."""

import asyncio
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from contextlib import suppress

import asyncpg
import structlog

from vochi_integrations import clock
from vochi_integrations.db import UNAVAILABLE
from vochi_integrations.figures import Hour
from vochi_integrations.ops.alerts import Alarms, Backlog, Change, Facts, Key, Reading, limits, read
from vochi_integrations.ops.channels import Teller
from vochi_integrations.ops.silence import HOURS, missed_events
from vochi_integrations.ops.sources import Sources
from vochi_integrations.settings import Settings

LOOK_TIMEOUT = 5.0
PROOF_SECONDS = 1.0
FAILED_SECONDS = 3600.0
WEEKS = 6
HEARD_HOURS = 168
# Rules about this process, not about what all daemons share: each daemon tells of its own.
LOCAL = frozenset({"hit_ratio", "crm_errors", "listen_lost", "spool_in_use", "events_refused", "blind"})
# Each daemon sees its own breakers, yet one tells of them: it is over when none of the daemons sees it any more.
SEEN_APART = "breaker_open"
SEEN_LOOKS = 4

log = structlog.get_logger()


class Watch:
    """Knows what only regular looks can tell; `backlog` is None until the first one and while the database is away.

    `looked_at` is when it was last seen, or the start (UTC epoch seconds). `only_deaf` says that it answered at the
    latest look although LISTEN was lost.
    """

    def __init__(self, settings: Settings, sources: Sources) -> None:
        self._settings = settings
        self.sources = sources
        self.teller = Teller(settings.alerts, sources.database)
        self._alarms = Alarms(limits(settings.alerts, settings.cache.heartbeat), settings.alerts.repeat_seconds)
        self._facts: deque[Facts] = deque()
        self._usual: Mapping[str, Mapping[int, float]] = {}
        self._usual_of = 0
        self._heard_by_listen = time.monotonic()
        self.looked_at = clock.now()
        self._silent: Mapping[str, float | None] = {}
        self._restored = False
        self._unnoted: dict[Key, Change] = {}
        self.only_deaf = False
        self.backlog: Backlog | None = None

    def firing(self) -> list[tuple[Reading, float]]:
        return self._alarms.firing()

    def firing_by_rule(self) -> Counter[tuple[str, ...]]:
        """Return how many alerts of each rule fire, those without any included."""
        known: Counter[tuple[str, ...]] = Counter({(rule,): 0 for rule in limits(self._settings.alerts, 1.0)})
        known.update((reading.rule,) for reading, _ in self.firing())
        return known

    async def run(self) -> None:
        """Look at intervals, for ever. A bug in one look is logged: calls must not end with it."""
        while True:
            await asyncio.sleep(self._settings.alerts.interval * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
            try:
                await self.look()
            except Exception:
                log.exception("look failed")

    async def run_proofs(self) -> None:
        """See for ever whether events are taken again: a quiet host sends none that would show it, a write does."""
        while True:
            await asyncio.sleep(PROOF_SECONDS)
            if self.sources.journal.refusing is not None:
                with suppress(*UNAVAILABLE, asyncpg.PostgresError):
                    await self.sources.database.execute("forget_hours", WEEKS + 2, timeout=PROOF_SECONDS)
                    self.sources.journal.takes_again()

    async def look(self) -> list[Change]:
        """Look once, and tell what has changed."""
        complete = await self._look_at_table()
        self.only_deaf = complete and not self.sources.store.listening
        now = self._gathered()
        self._facts.append(now)
        while len(self._facts) > 1 and now.at - self._facts[0].at > self._settings.alerts.window:
            self._facts.popleft()
        changes = self._alarms.advance(read(now, self._facts[0]), now.at, complete=complete)
        for change in changes:
            if await self._is_ours_to_tell(change):
                self.teller.tell(change)
        return changes

    async def _look_at_table(self) -> bool:
        """Read what the database knows; False when it does not answer."""
        try:
            await self._restore()
            await self._note_told()
            await self._note_seen()
            await self._note_hosts()
            self.backlog = await self._read_backlog()
            self._silent = await self._read_silent()
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            log.warning("not looked at the database", error=repr(error))
            self.backlog = None
            return False
        self.looked_at = clock.now()
        return True

    async def _restore(self) -> None:
        """Once: what fired before this process began."""
        if self._restored:
            return
        for row in await self.sources.database.fetch("alerts", timeout=LOOK_TIMEOUT):
            named = {"enterprise": row["enterprise_number"], "integration": row["integration_type"]}
            self._alarms.restore(Reading(rule=row["rule"], level=1.0, text=row["text"], **named), row["since"])
        self._restored = True

    async def _note_hosts(self) -> None:
        """Write down what hosts have sent since the last time; given back when it could not be written."""
        figures = self.sources.figures
        heard, figures.heard = figures.heard, defaultdict(Hour)
        if not heard:
            return
        columns = (list(heard), [hour.events for hour in heard.values()], [hour.last_at for hour in heard.values()])
        try:
            await self.sources.database.execute("note_hosts", *columns, timeout=LOOK_TIMEOUT)
        except BaseException:
            for number, hour in heard.items():
                newer = figures.heard[number]
                newer.events += hour.events
                newer.last_at = max(newer.last_at, hour.last_at)
            raise

    async def _read_backlog(self) -> Backlog:
        database, age = self.sources.database, self._settings.delivery.history_max_age
        (row,) = await database.fetch("backlog", timeout=LOOK_TIMEOUT)
        failed = await database.fetch("failed_records", FAILED_SECONDS, age, timeout=LOOK_TIMEOUT)
        return Backlog(
            at=clock.now(),
            waiting=row["waiting"],
            overdue_seconds=row["overdue"],
            failed={item["enterprise_number"]: item["failed"] for item in failed},
        )

    async def _read_silent(self) -> Mapping[str, float | None]:
        """Compare how long hosts are silent with what they usually send; what is usual changes with the hour."""
        if not self._settings.alerts.silent_events:
            return {}
        hour = int(clock.now() // 3600)
        if hour != self._usual_of:
            self._usual = await self._read_usual()
            self._usual_of = hour
        rows = await self.sources.database.fetch("last_heard", HEARD_HOURS, timeout=LOOK_TIMEOUT)
        heard = {row["enterprise_number"]: row["last_at"] for row in rows}
        missed: dict[str, float | None] = {
            number: missed_events(last_at, clock.now(), self._usual[number])
            for number, last_at in heard.items()
            if number in self._usual
        }
        active = {number for number, found in self.sources.store.current.by_number.items() if found.active}
        # Of a host that has been silent for so long nothing is known any more: what was told of it stays.
        told = {reading.enterprise for reading, _ in self.firing() if reading.rule == "host_silent"} - heard.keys()
        return {number: missed.get(number) for number in active & (missed.keys() | told)}

    async def _read_usual(self) -> Mapping[str, Mapping[int, float]]:
        database = self.sources.database
        await database.execute("forget_hours", WEEKS + 2, timeout=LOOK_TIMEOUT)
        usual: dict[str, dict[int, float]] = defaultdict(dict)
        for row in await database.fetch("usual_hours", HOURS + 1, WEEKS, timeout=LOOK_TIMEOUT):
            usual[row["enterprise_number"]][row["ago"]] = float(row["usual"])
        return usual

    def _gathered(self) -> Facts:
        sources = self.sources
        if sources.store.listening:
            self._heard_by_listen = time.monotonic()
        attempts: dict[str, tuple[int, int]] = {}
        for (name, _, outcome), count in sources.figures.attempts.items():
            good, bad = attempts.get(name, (0, 0))
            attempts[name] = (good + count, bad) if outcome == "ok" else (good, bad + count)
        return Facts(
            at=clock.now(),
            hits=sources.store.counters.hits,
            misses=sources.store.counters.misses,
            shed=sources.journal.shed,
            attempts=attempts,
            deaf_seconds=0.0 if sources.store.listening else time.monotonic() - self._heard_by_listen,
            spooled=sources.spool.in_use,
            refusing=sources.journal.refusing,
            lanes=sources.dispatcher.lanes(),
            backlog=self.backlog,
            looked_at=self.looked_at,
            silent=self._silent,
        )

    async def _is_ours_to_tell(self, change: Change) -> bool:
        """Of several daemons that see the same, the first tells; while the database is away each does."""
        if change.reading.rule in LOCAL or change.repeated:
            return True
        try:
            return await self._note(change)
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            log.warning("alert not noted", rule=change.reading.rule, error=repr(error))
            self._unnoted[change.reading.key] = change
            return True

    async def _note(self, change: Change) -> bool:
        """Write down that an alert fires or is over; False when that is not this daemon's to tell."""
        reading, owner, fetch = change.reading, self.sources.outbox.owner, self.sources.database.fetch
        if change.firing:
            seen_by = owner if reading.rule == SEEN_APART else ""
            return bool(await fetch("fire_alert", *reading.key, seen_by, reading.text, timeout=LOOK_TIMEOUT))
        fresh = SEEN_LOOKS * self._settings.alerts.interval
        return bool(await fetch("end_alert", *reading.key, owner, fresh, timeout=LOOK_TIMEOUT))

    async def _note_told(self) -> None:
        """Write down what was told while the database was away, so that its end is told too."""
        for key, change in list(self._unnoted.items()):
            await self._note(change)
            del self._unnoted[key]

    async def _note_seen(self) -> None:
        """Write down which breakers are open here, lest another daemon tells that they are closed."""
        lanes = [lane for lane in self.sources.dispatcher.lanes() if lane.breaker != "closed"]
        if lanes:
            columns = [lane.enterprise for lane in lanes], [lane.integration for lane in lanes]
            arguments = SEEN_APART, self.sources.outbox.owner, *columns
            await self.sources.database.execute("see_alert", *arguments, timeout=LOOK_TIMEOUT)
