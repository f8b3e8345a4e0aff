"""The call trace over HTTP (contract, Vocabulary)."""

from aiohttp import web

from vochi_integrations.keys import DATABASE, STORE
from vochi_integrations.ops.trace import trace
from vochi_integrations.web.answers import NUMBER, error_answer, json_answer

routes = web.RouteTableDef()


@routes.get(f"/api/trace/{NUMBER}")
async def show(request: web.Request) -> web.Response:
    """Find calls by `q`: UniqueId, phone or extension."""
    number = request.match_info["n"]
    if await request.app[STORE].by_number(number) is None:
        return error_answer(404, "unknown_enterprise", "there is no enterprise with this number")
    return json_answer(await trace(request.app[DATABASE], number, request.query.get("q", "")))
