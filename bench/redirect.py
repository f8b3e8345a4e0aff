"""Smart redirect

What a dialplan waits for, from its request being due to the last byte of the answer, at a fixed rate over 20 tenants:
a caller the daemon knows already, callers it has to ask the CRM about, and the same with that CRM answering in 5 s,
refusing connections, or never answering. The budget is the default, 800 ms. Beside a known caller: the smallest aiohttp
handler that parses a body, in turns in the same run.
"""

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import orjson
from aiohttp import web

from bench.load import percentile
from bench.processes import daemon, postgres, started
from bench.results import Options, Row
from bench.stage import add_tenants, key_of_token
from vochi_integrations.db import prepare
from vochi_integrations.emulators.retailcrm import CRM, Account, create_app
from vochi_integrations.emulators.retailcrm.people import Customer, User
from vochi_integrations.emulators.run import connected_account
from vochi_integrations.serve import listening

TENANTS = 20
RATE = 40.0
LINE = "0001363"
BUDGET_MS = 800.0
KNOWN_MS = 5.0
RECOVERY_SECONDS = 7.0
PATH = "/api/callevent/getcustomerdata"
BARE = "bare handler"
ILLS: dict[str, dict[str, Any]] = {
    "is well": {},
    "answers in 5 s": {"latency_ms": 5_000},
    "is dead": {"fault": "outage"},
    "never answers": {"fault": "hang"},
}
SMART = {"lines": {f"gsm:{LINE}": {"enabled": True, "do_routing": True, "send_customer_name": True}}}

Phones = Iterator[str]


async def measure(options: Options) -> list[Row]:
    tokens = [f"37529{1000 + number}" for number in range(TENANTS)]
    app = create_app([_account(token) for token in tokens])
    with postgres() as server, tempfile.TemporaryDirectory(prefix="vochi-bench-") as folder:
        async with listening(app, "127.0.0.1", 0, "emulator", 0.5) as port:
            await add_tenants(server.dsn, TENANTS, port)
            await _switch_on(server.dsn)
            async with (
                daemon(server.dsn, Path(folder)) as running,
                started("bench.bare", "bare", server.dsn, "0") as bare,
                aiohttp.ClientSession() as session,
            ):
                known, smallest = await _known(session, running.public, bare.public, tokens, options)
                waits = await _asking(session, running.public, tokens, app, options)
    return [*_rows(known, smallest), *_asking_rows(waits)]


def _account(token: str) -> Account:
    """An account in which the second manager is responsible for every customer, known or not."""
    account = connected_account(Account(key_of_token(token), token, users=[User(2, "Анна", "Иванова")]), {"151": 2})
    account.customers = _Everybody()
    return account


class _Everybody(dict[str, Customer]):
    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002 - everybody is somebody's customer
        return Customer(501, "Виктор", "Жук", key, manager_id=2)


async def _switch_on(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await prepare(connection)
    await connection.execute(
        "UPDATE enterprises SET integrations_config = integrations_config || jsonb_build_object('smart', $1::jsonb)",
        SMART,
    )
    await connection.close()


async def _known(
    session: aiohttp.ClientSession, public: int, bare: int, tokens: list[str], options: Options
) -> tuple[list[float], list[float]]:
    """Ask about one caller again and again, and a bare handler the same, in turns."""
    known: list[float] = []
    smallest: list[float] = []
    one = itertools.repeat("+375290000001")
    await _at_a_rate(session, f"http://127.0.0.1:{public}{PATH}", tokens, one, 1.0)
    for _ in range(int(options.pick(4, 2))):
        known += await _at_a_rate(session, f"http://127.0.0.1:{public}{PATH}", tokens, one, options.pick(5, 2))
        smallest += await _at_a_rate(session, f"http://127.0.0.1:{bare}/start", tokens, one, options.pick(5, 2))
    return known, smallest


async def _asking(
    session: aiohttp.ClientSession, public: int, tokens: list[str], app: web.Application, options: Options
) -> dict[str, list[float]]:
    """Ask about callers nobody has heard of."""
    found: dict[str, list[float]] = {}
    phones: Phones = (f"+37529{number:07}" for number in itertools.count(1_000_000))
    url = f"http://127.0.0.1:{public}{PATH}"
    app[CRM].switch(rate_limit=False)
    for name, switches in ILLS.items():
        await _at_a_rate(session, url, tokens, phones, RECOVERY_SECONDS)
        app[CRM].switch(**switches)
        found[name] = await _at_a_rate(session, url, tokens, phones, options.pick(20, 5))
        app[CRM].switch(fault=None, latency_ms=0)
    return found


async def _at_a_rate(
    session: aiohttp.ClientSession, url: str, tokens: list[str], phones: Phones, seconds: float
) -> list[float]:
    """Send requests when they are due, whatever became of the ones before; return the seconds each took."""
    began, asking = time.perf_counter(), []
    for number in range(int(RATE * seconds)):
        due = began + number / RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        token, phone = tokens[number % len(tokens)], next(phones)
        asking.append(asyncio.create_task(_ask(session, url, token, phone, due)))
    return list(await asyncio.gather(*asking))


async def _ask(session: aiohttp.ClientSession, url: str, token: str, phone: str, due: float) -> float:
    body = orjson.dumps({"UniqueId": "1.1", "Phone": phone, "TrunkId": LINE, "LoadDialPlan": "true"})
    async with session.post(url, data=body, headers={"Token": token}) as response:
        await response.read()
    return time.perf_counter() - due


def _rows(known: list[float], smallest: list[float]) -> list[Row]:
    return [
        Row(name="p99 of the answer for a known caller", value=percentile(known, 0.99), unit="ms", at_most=KNOWN_MS),
        _beside("median of the answer for a known caller", known, smallest, lambda times: percentile(times, 0.5)),
    ]


def _beside(name: str, ours: list[float], theirs: list[float], of: Callable[[list[float]], float]) -> Row:
    return Row(name=name, value=of(ours), unit="ms", reference=of(theirs), beside=BARE)


def _asking_rows(waits: dict[str, list[float]]) -> list[Row]:
    return [
        Row(
            name=f"p99 of the answer for a new caller while the CRM {name}",
            value=percentile(times, 0.99),
            unit="ms",
            at_most=BUDGET_MS,
            note=f"median {percentile(times, 0.5):.1f} ms, longest {max(times) * 1000:.0f} ms, {len(times)} calls",
        )
        for name, times in waits.items()
    ]
