"""All enterprises in memory: immutable values, swapped whole, read without a lock (design decision 2)."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import asyncpg
import structlog
from msgspec import Struct, field
from msgspec.structs import replace

from vochi_integrations import clock
from vochi_integrations.background import cancelled
from vochi_integrations.db import UNAVAILABLE, Database, Row, queries
from vochi_integrations.domain import Directory, Enterprise
from vochi_integrations.events import decoded
from vochi_integrations.phones import last9
from vochi_integrations.settings import Cache
from vochi_integrations.smart import read_smart

LOAD_TIMEOUT = 10.0
REVALIDATE_TIMEOUT = 1.0
RETRY_SECONDS = 2.0

log = structlog.get_logger()

ReadIntegrations = Callable[[Mapping[str, Any]], Mapping[str, object]]
OnChange = Callable[[Collection[str]], None]


class Snapshot(Struct, frozen=True):
    """Every enterprise at one moment. `shared` are the tokens and secrets that more than one has."""

    by_number: Mapping[str, Enterprise] = field(default_factory=dict)
    by_token: Mapping[str, Enterprise] = field(default_factory=dict)
    by_secret: Mapping[str, Enterprise] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()

    @classmethod
    def of(cls, enterprises: Iterable[Enterprise]) -> "Snapshot":
        """Index enterprises; of two with one token the active one has it, then the lower number."""
        ranked = sorted(enterprises, key=lambda item: (not item.active, item.number), reverse=True)
        return cls(
            {item.number: item for item in ranked},
            {item.token: item for item in ranked if item.token},
            {item.secret: item for item in ranked if item.secret},
            _shared(ranked),
        )

    def with_reloaded(self, numbers: Collection[str], found: Collection[Enterprise]) -> "Snapshot":
        """Return a copy in which `numbers` are as `found`; those not found are gone."""
        gone = [self.by_number[number] for number in numbers if number in self.by_number]
        rest = self._without(gone)
        if rest is None or _shared(found) or any(rest.knows(item) for item in found):
            kept = (item for number, item in self.by_number.items() if number not in numbers)
            return Snapshot.of([*kept, *found])
        return Snapshot(
            {**rest.by_number, **{item.number: item for item in found}},
            {**rest.by_token, **{item.token: item for item in found if item.token}},
            {**rest.by_secret, **{item.secret: item for item in found if item.secret}},
            self.shared,
        )

    def _without(self, gone: Iterable[Enterprise]) -> "Snapshot | None":
        """Return a copy without some; None when one of them shares its token with another."""
        by_number, by_token, by_secret = dict(self.by_number), dict(self.by_token), dict(self.by_secret)
        for item in gone:
            if item.token in self.shared or item.secret in self.shared:
                return None
            del by_number[item.number]
            by_token.pop(item.token, None)
            by_secret.pop(item.secret, None)
        return Snapshot(by_number, by_token, by_secret, self.shared)

    def knows(self, item: Enterprise) -> bool:
        """Tell whether another enterprise has this one's token or secret."""
        proofs = (item.token, item.secret)
        return any(proof in self.by_token or proof in self.by_secret for proof in proofs if proof)


def _shared(enterprises: Iterable[Enterprise]) -> frozenset[str]:
    proofs = Counter(proof for item in enterprises for proof in {item.token, item.secret})
    return frozenset(proof for proof, count in proofs.items() if proof and count > 1)


class Statistics(Struct):
    """What `/stats` tells of the snapshot; times are UTC epoch seconds."""

    hits: int = 0
    misses: int = 0
    stale: int = 0
    invalidations: int = 0
    last_invalidation: float | None = None
    last_full_refresh: float | None = None
    load_seconds: float = 0.0


class Found(NamedTuple):
    """An enterprise, and whether it is older than the TTL with no way to re-read it."""

    enterprise: Enterprise | None
    stale: bool = False


class SnapshotStore:
    """Holds the current snapshot and renews it; `listening` says whether NOTIFY keeps it fresh."""

    def __init__(self, database: Database, settings: Cache, zone: ZoneInfo, read: ReadIntegrations) -> None:
        self._database = database
        self._settings = settings
        self._zone = zone
        self._read = read
        self._loads: dict[str | None, asyncio.Task[None]] = {}
        self._dirty: set[str | None] = set()
        self._wake = asyncio.Event()
        self._swapping = asyncio.Lock()
        self._unavailable_until = 0.0
        self.current = Snapshot()
        self.counters = Statistics()
        self.listening = False
        self.on_change: OnChange = lambda _: None

    def fresh(self, token: str) -> Enterprise | None:
        """Find an enterprise by its PBX token when the one in memory is fresh, as nearly all are: nothing to await."""
        found = self.current.by_token.get(token)
        if found is None or not self._is_fresh(found):
            return None
        self.counters.hits += 1
        return found

    async def by_token(self, token: str) -> Enterprise | None:
        """Find an enterprise by its PBX token (`enterprises.name2`)."""
        return await self.find(lambda snapshot: snapshot.by_token.get(token))

    async def by_token_or_secret(self, token: str) -> Enterprise | None:
        """Find an enterprise as the gateway routes do: by token, else by secret."""
        return await self.find(lambda snapshot: snapshot.by_token.get(token) or snapshot.by_secret.get(token))

    async def by_number(self, number: str) -> Enterprise | None:
        return await self.find(lambda snapshot: snapshot.by_number.get(number))

    async def look_up(self, number: str) -> Found:
        """Find an enterprise by number and say whether the answer may be out of date."""
        enterprise = await self.by_number(number)
        return Found(enterprise, enterprise is not None and not self._is_fresh(enterprise))

    async def find(self, choose: Callable[[Snapshot], Enterprise | None]) -> Enterprise | None:
        """Find an enterprise in the snapshot, which is renewed first where it may be out of date."""
        found = choose(self.current)
        if found is not None and self._is_fresh(found):
            self.counters.hits += 1
            return found
        self.counters.misses += 1
        if self.listening and found is None:
            return None
        if found is None and self._was_refreshed():
            return None
        if not await self._revalidated(None if found is None else found.number):
            self.counters.stale += 1
        return choose(self.current)

    def _is_fresh(self, enterprise: Enterprise) -> bool:
        """While NOTIFY works an entry is as fresh as the database, unless it was invalidated by hand."""
        if self.listening and enterprise.loaded_at:
            return True
        return clock.now() - enterprise.loaded_at <= self._settings.ttl_seconds

    def _was_refreshed(self) -> bool:
        refreshed = self.counters.last_full_refresh
        return refreshed is not None and clock.now() - refreshed <= self._settings.ttl_seconds

    async def _revalidated(self, number: str | None) -> bool:
        """Re-read one enterprise, or all; False when the database cannot answer soon, or could not just now."""
        if time.monotonic() < self._unavailable_until:
            return False
        try:
            async with asyncio.timeout(REVALIDATE_TIMEOUT):
                await self._shared_load(number)
        except UNAVAILABLE:
            self._unavailable_until = time.monotonic() + RETRY_SECONDS
            return False
        return True

    async def _shared_load(self, number: str | None) -> None:
        """Re-read on use: callers at the same time share one query."""
        task = self._loads.get(number)
        if task is None:
            task = self._loads[number] = asyncio.create_task(self._load(None if number is None else {number}))
            task.add_done_callback(lambda done: self._forget(number, done))
        await asyncio.shield(task)

    def _forget(self, number: str | None, task: asyncio.Task[None]) -> None:
        self._loads.pop(number, None)
        if not task.cancelled() and task.exception():
            log.warning("snapshot not reloaded", error=repr(task.exception()))

    async def load_all(self) -> None:
        """Re-read every enterprise as of now. Raises what the database raises when it cannot answer."""
        await self._load(None)

    async def close(self) -> None:
        """End the loads under way."""
        await cancelled(self._loads.values())

    def invalidate(self, number: str | None) -> None:
        """Note that an enterprise, or all when None, has changed; `keep_fresh` re-reads it."""
        self.counters.invalidations += 1
        self.counters.last_invalidation = clock.now()
        log.info("invalidated", enterprise=number or "all")
        self._dirty.add(number)
        self._wake.set()

    async def expire(self, number: str) -> None:
        """Re-read an enterprise now; when the database cannot answer, on its next use."""
        self.counters.invalidations += 1
        self.counters.last_invalidation = clock.now()
        log.info("invalidated", enterprise=number, by="hand")
        try:
            async with asyncio.timeout(REVALIDATE_TIMEOUT):
                await self._load({number})
        except UNAVAILABLE:
            known = self.current.by_number.get(number)
            if known is not None:
                self.current = self.current.with_reloaded({number}, [replace(known, loaded_at=0.0)])

    async def keep_fresh(self) -> None:
        """Re-read what was invalidated, for ever: a burst of notifications becomes one query."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            dirty, self._dirty = self._dirty, set()
            try:
                await self._load(None if None in dirty else {number for number in dirty if number})
            except UNAVAILABLE as error:
                self._dirty |= dirty
                log.warning("snapshot not reloaded", error=repr(error))
                await asyncio.sleep(1)
                self._wake.set()

    async def refresh_regularly(self) -> None:
        """Re-read everything at intervals anyway, for ever."""
        settings = self._settings
        while True:
            pause = settings.refresh_interval + random.uniform(-settings.refresh_jitter, settings.refresh_jitter)  # noqa: S311 - jitter
            await asyncio.sleep(max(0.05, pause))
            try:
                await self._load(None)
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                log.warning("snapshot not reloaded", error=repr(error))

    async def _load(self, numbers: set[str] | None) -> None:
        """Read enterprises and swap the snapshot; one load at a time, so that none overwrites a newer one."""
        async with self._swapping:
            began = time.perf_counter()
            now = clock.now()
            found = await self._read_enterprises(numbers, now)
            before = self.current
            self.current = Snapshot.of(found) if numbers is None else before.with_reloaded(numbers, found)
            self.counters.load_seconds = time.perf_counter() - began
            if numbers is None:
                self.counters.last_full_refresh = now
        self._report(numbers, before)

    def _report(self, numbers: set[str] | None, before: Snapshot) -> None:
        after = self.current.by_number
        touched = (after.keys() | before.by_number.keys()) if numbers is None else numbers
        changed = {number for number in touched if _differs(before.by_number.get(number), after.get(number))}
        log.info(
            "refreshed", enterprises=len(after), changed=len(changed), seconds=round(self.counters.load_seconds, 4)
        )
        _warn_of_problems(after[number] for number in sorted(changed) if number in after)
        if changed:
            self.on_change(changed)

    async def _read_enterprises(self, numbers: set[str] | None, now: float) -> list[Enterprise]:
        self._database.queries += 5
        async with (
            self._database.pool.acquire() as connection,
            asyncio.timeout(LOAD_TIMEOUT),
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            wanted = None if numbers is None else list(numbers)
            rows = await connection.fetch(queries()["load_enterprises"], wanted)
            present = [row["number"] for row in rows]
            directories = {
                name: await connection.fetch(queries()[name], present)
                for name in ("load_extensions", "load_mobiles", "load_lines", "load_shops")
            }
        grouped = {name: _by_enterprise(items) for name, items in directories.items()}
        read = (self._readable(row, now, *(grouped[name].get(row["number"], []) for name in grouped)) for row in rows)
        return [enterprise for enterprise in read if enterprise is not None]

    def _readable(self, row: Row, now: float, *directory: list[Row]) -> Enterprise | None:
        """Read a tenant. One that breaks the reader stays as it was, and does not stop the others' reload."""
        try:
            return self._enterprise(row, now, *directory)
        except Exception:
            log.exception("enterprise not read", enterprise=row["number"])
            return self.current.by_number.get(row["number"])

    def _enterprise(self, row: Row, now: float, *directory: list[Row]) -> Enterprise:
        extensions, mobiles, lines, shops = directory
        number = row["number"]
        config = read_config(number, row["integrations_config"])
        return Enterprise(
            number=number,
            name=row["name"] or "",
            token=(row["name2"] or "").strip(),
            secret=(row["secret"] or "").strip(),
            ip=row["ip"] or "",
            active=row["active"],
            integrations=self._read(config),
            directory=Directory(
                internal=frozenset(item["phone_number"].strip() for item in extensions),
                mobiles=_mobiles(extensions, mobiles),
                lines={item["trunk"]: item["phone_number"] or "" for item in lines},
                transforms={item["trunk"]: item["incoming_transform"] for item in lines if item["incoming_transform"]},
                ids={item["phone_number"].strip(): item["id"] for item in reversed(extensions)},
                sip=frozenset(item["trunk"] for item in lines if item["is_sip"]),
                line_names={item["trunk"]: item["name"] for item in lines if item["name"]},
                shops={item["trunk"]: item["name"] for item in reversed(shops) if item["name"]},
                zone=self._zone,
            ),
            smart=read_smart(config.get("smart")),
            loaded_at=now,
        )


def read_config(number: str, value: object) -> Mapping[str, Any]:
    """Return `integrations_config` as an object; an old writer stored it as a JSON string (contract, Set-up)."""
    config = decoded(value)
    if config is None and value is not None:
        log.warning("integrations_config is not JSON", enterprise=number)
    return config if isinstance(config, dict) else {}


def _warn_of_problems(enterprises: Iterable[Enterprise]) -> None:
    """Name the tenants whose CRM is switched on and gets nothing: after a change of keys that may be all of them."""
    for enterprise in enterprises:
        for name, config in enterprise.integrations.items():
            problem = getattr(config, "problem", "")
            if enterprise.active and problem and getattr(config, "enabled", False):
                log.warning("integration unusable", enterprise=enterprise.number, integration=name, problem=problem)


def _by_enterprise(rows: Iterable[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row["enterprise_number"]].append(row)
    return grouped


def _mobiles(extensions: Iterable[Row], without_extension: Iterable[Row]) -> dict[str, str]:
    """Map the last nine digits of people's own numbers to their extension; their first extension wins."""
    found: dict[str, str] = {}
    for row in (*extensions, *without_extension):
        for number in (row["personal_phone"], row["follow_me_number"]):
            digits = "".join(char for char in number or "" if char.isdigit())
            if len(digits) >= 6:
                found.setdefault(last9(digits), row.get("phone_number") or "")
    return found


def _differs(before: Enterprise | None, after: Enterprise | None) -> bool:
    if before is None or after is None:
        return before is not after
    return replace(before, loaded_at=0.0) != replace(after, loaded_at=0.0)
