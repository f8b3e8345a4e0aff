"""Dead letters over HTTP: what failed and why, and sending it again (design decision 5)."""

import msgspec
import structlog
from aiohttp import web

from vochi_integrations.db import Row
from vochi_integrations.events import read_json
from vochi_integrations.keys import DATABASE, DISPATCHER, SETTINGS
from vochi_integrations.letters import list_letters, read_order, read_page, replay
from vochi_integrations.web.answers import iso, json_answer

routes = web.RouteTableDef()
log = structlog.get_logger()


@routes.get("/api/deliveries")
async def show(request: web.Request) -> web.Response:
    """List deliveries, the failed ones unless `status` says otherwise."""
    page = read_page(request.query)
    listing = await list_letters(request.app[DATABASE], page)
    deliveries = [_entry(row) for row in listing.rows]
    return json_answer({"deliveries": deliveries, "total": listing.total, "next": listing.next})


def _entry(row: Row) -> dict[str, object]:
    return {**row, "event_at": iso(row["event_at"]), "finished_at": iso(row["finished_at"])}


@routes.post("/api/deliveries/replay")
async def replay_chosen(request: web.Request) -> web.Response:
    """Send deliveries again: by `ids`, or by the filters of the listing."""
    order = read_order(read_json(await request.read()))
    outcome = await replay(request.app[DATABASE], order, request.app[SETTINGS].delivery)
    if outcome.replayed:
        log.info("deliveries replayed", matched=outcome.matched, replayed=outcome.replayed, seconds=outcome.seconds)
        request.app[DISPATCHER].wake()
    return json_answer(msgspec.to_builtins(outcome))
