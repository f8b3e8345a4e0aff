"""The call trace over HTTP (contract, Vocabulary)."""

from aiohttp import web

from vochi_integrations import clock
from vochi_integrations.keys import STORE, TRACER
from vochi_integrations.letters import read_time
from vochi_integrations.ops.search import read_search
from vochi_integrations.ops.trace import described, described_click
from vochi_integrations.web.answers import NUMBER, error_answer, json_answer

routes = web.RouteTableDef()


@routes.get(f"/api/trace/{NUMBER}")
async def show(request: web.Request) -> web.Response:
    """Find calls by `q`: UniqueId, phone or its end, extension, day and hour; of `since` to `until` when given."""
    number, query, tracer = request.match_info["n"], request.query, request.app[TRACER]
    enterprise = await request.app[STORE].by_number(number)
    if enterprise is None:
        return error_answer(404, "unknown_enterprise", "there is no enterprise with this number")
    wanted = read_search(query.get("q", ""), enterprise.directory.zone, clock.now())
    if "since" in query:
        wanted = wanted._replace(since=max(wanted.since, read_time("since", query["since"])))
    if "until" in query:
        wanted = wanted._replace(until=min(wanted.until, read_time("until", query["until"])))
    hits = await tracer.find(number, wanted)
    calls = [described(call) async for call in tracer.calls(number, [item.call for item in hits.calls])]
    return json_answer({"calls": calls, "clicks": [described_click(row) for row in hits.clicks], "is_cut": hits.is_cut})
