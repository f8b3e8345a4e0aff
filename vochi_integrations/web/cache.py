"""What the daemon holds in memory of its tenants, and how to have it read again (design 4.2)."""

import asyncpg
from aiohttp import web

from vochi_integrations import clock
from vochi_integrations.db import UNAVAILABLE
from vochi_integrations.domain import Enterprise
from vochi_integrations.integrations.base import config_of
from vochi_integrations.keys import CONFIGS, INTEGRATIONS, SETTINGS, STORE
from vochi_integrations.logs import mask_secret_values
from vochi_integrations.web.answers import NUMBER, error_answer, iso, json_answer, no_database

routes = web.RouteTableDef()


@routes.get(f"/integrations/{NUMBER}")
async def integrations(request: web.Request) -> web.Response:
    """Say which CRMs an enterprise has switched on."""
    found = await request.app[STORE].look_up(request.match_info["n"])
    if found.enterprise is None:
        return _unknown()
    return json_answer(_entry(request.app, found.enterprise) | ({"stale": True} if found.stale else {}))


def _entry(app: web.Application, enterprise: Enterprise) -> dict[str, object]:
    ttl = app[SETTINGS].cache.ttl_seconds
    return {
        "enterprise_number": enterprise.number,
        "integrations": {name: is_on(enterprise, name) for name in app[INTEGRATIONS]},
        "cached_at": iso(enterprise.loaded_at),
        "created_at": iso(enterprise.loaded_at),
        "expires_at": iso(enterprise.loaded_at + ttl),
        "age_seconds": round(max(0.0, clock.now() - enterprise.loaded_at), 3),
    }


def is_on(enterprise: Enterprise, name: str) -> bool:
    config = config_of(enterprise, name)
    return enterprise.active and config is not None and config.enabled


@routes.post(f"/cache/invalidate/{NUMBER}")
async def invalidate(request: web.Request) -> web.Response:
    number = request.match_info["n"]
    await request.app[STORE].expire(number)
    return json_answer({"message": f"Cache invalidated for enterprise {number}"})


@routes.post("/cache/refresh")
async def refresh(request: web.Request) -> web.Response:
    if not await _reloaded(request.app):
        return no_database()
    return json_answer({"message": "Cache refreshed successfully"})


@routes.get("/cache/entries")
async def entries(request: web.Request) -> web.Response:
    known = request.app[STORE].current.by_number.values()
    return json_answer({"total": len(known), "entries": [_entry(request.app, enterprise) for enterprise in known]})


@routes.get("/api/config-cache/active-enterprises")
@routes.get("/api/active-enterprises")
async def active_enterprises(request: web.Request) -> web.Response:
    known = request.app[STORE].current.by_number.values()
    names = [*request.app[INTEGRATIONS]]
    active = sorted(item.number for item in known if any(is_on(item, name) for name in names))
    return json_answer({"active_enterprises": active, "count": len(active)})


@routes.post(f"/api/config-cache/refresh/{NUMBER}")
async def refresh_config(request: web.Request) -> web.Response:
    """Read one enterprise again and show its RetailCRM configuration, secrets masked."""
    number = request.match_info["n"]
    await request.app[STORE].expire(number)
    if await request.app[STORE].by_number(number) is None:
        return _unknown()
    config = mask_secret_values(await request.app[CONFIGS].get(number, "retailcrm") or {})
    return json_answer({"enterprise_number": number, "config": config, "refreshed": True})


@routes.post("/api/config-cache/refresh-all")
async def refresh_all(request: web.Request) -> web.Response:
    """Read every enterprise again; `skipped` are those without a CRM switched on."""
    if not await _reloaded(request.app):
        return no_database()
    known = request.app[STORE].current.by_number.values()
    names = [*request.app[INTEGRATIONS]]
    refreshed = {item.number for item in known if any(is_on(item, name) for name in names)}
    skipped = sorted(item.number for item in known if item.number not in refreshed)
    return json_answer({"result": {"refreshed": sorted(refreshed), "skipped": skipped}})


async def _reloaded(app: web.Application) -> bool:
    try:
        await app[STORE].load_all()
    except (*UNAVAILABLE, asyncpg.PostgresError):
        return False
    return True


def _unknown() -> web.Response:
    return error_answer(404, "unknown_enterprise", "there is no enterprise with this number")
