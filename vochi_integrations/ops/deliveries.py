"""The command `deliveries`: dead letters as plain tables, worked on in the database itself."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from vochi_integrations import db
from vochi_integrations.db import Row
from vochi_integrations.letters import Outcome, list_letters, read_order, read_page, replay
from vochi_integrations.settings import Delivery as DeliverySettings

COLUMNS = ("id", "enterprise", "call", "kind", "status", "reason", "attempts", "replays", "event", "answer")


async def deliveries_table(dsn: str, asked: Mapping[str, Any]) -> str:
    """Return a page of deliveries as a table, and how to see the next. Raises BadRequestError."""
    page = read_page(asked)
    async with db.connected(dsn) as database:
        listing = await list_letters(database, page)
    ends = [f"{len(listing.rows)} of {listing.total}"]
    if listing.next:
        ends.append(f"the next page: --cursor {listing.next}")
    return "\n".join([*table(COLUMNS, [_cells(row) for row in listing.rows]), *ends])


async def replay_deliveries(dsn: str, asked: Mapping[str, Any], settings: DeliverySettings) -> str:
    """Send deliveries again and return what was done. A running daemon takes them up within a second."""
    order = read_order(asked)
    async with db.connected(dsn) as database:
        outcome = await replay(database, order, settings)
    return _sentence(outcome, dry_run=order.dry_run)


def _sentence(outcome: Outcome, *, dry_run: bool) -> str:
    replayable = outcome.matched - outcome.not_replayable
    done = f"{replayable} would be replayed" if dry_run else f"{outcome.replayed} replayed"
    return (
        f"{outcome.matched} matched, {outcome.not_replayable} not replayable, {done},"
        f" the last one in {outcome.seconds:.0f} s"
    )


def table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return lines whose columns are as wide as their widest cell."""
    lines = [list(names), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def _cells(row: Row) -> list[str]:
    moment = datetime.fromtimestamp(row["event_at"], UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    names = ("id", "enterprise_number", "call", "kind", "status", "reason", "attempts", "replays")
    return [*(_cell(row[name]) for name in names), moment, _cell(row["response_status"])]


def _cell(value: object) -> str:
    return "-" if value is None else str(value)
