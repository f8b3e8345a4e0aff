"""Health and statistics (design 4.2; user_spec_ru: Мониторинг и диагностика)."""

import time

import msgspec
from aiohttp import web
from aiohttp.hdrs import CONTENT_TYPE as CONTENT_TYPE_HEADER

from vochi_integrations import __version__, clock
from vochi_integrations.keys import DATABASE, DISPATCHER, JOURNAL, METRICS, OUTBOX, SPOOL, STORE, UPTIME, WATCH
from vochi_integrations.ops.alerts import Reading
from vochi_integrations.ops.metrics import CONTENT_TYPE, exposition
from vochi_integrations.web.answers import iso, json_answer

public_routes = web.RouteTableDef()
internal_routes = web.RouteTableDef()


@public_routes.get("/health")
@internal_routes.get("/health")
async def health(request: web.Request) -> web.Response:
    """Answer 200 while events are accepted; reasons are words, nothing about the inside."""
    status, reasons = health_of(request.app)
    code = 503 if status == "down" else 200
    return json_answer({"status": status, "reasons": reasons, "version": __version__}, status=code)


def health_of(app: web.Application) -> tuple[str, list[str]]:
    """Return ok, degraded or down, and why."""
    reasons = []
    if not app[STORE].listening:
        reasons.append("listen_lost" if app[WATCH].only_deaf else "database_unavailable")
    if app[SPOOL].in_use:
        reasons.append("spool_in_use")
    refusing = app[JOURNAL].refusing
    if refusing is not None:
        return "down", [*reasons, refusing]
    return "degraded" if reasons else "ok", reasons


@internal_routes.get("/stats")
async def stats(request: web.Request) -> web.Response:
    return json_answer(statistics(request.app))


def statistics(app: web.Application) -> dict[str, object]:
    """Return what is in memory, as JSON."""
    counters = app[STORE].counters
    asked = counters.hits + counters.misses
    return {
        "cache_stats": {
            "total_entries": len(app[STORE].current.by_number),
            "hits": counters.hits,
            "misses": counters.misses,
            "hit_ratio": round(counters.hits / asked, 4) if asked else 1.0,
            "stale": counters.stale,
            "last_full_refresh": iso(counters.last_full_refresh),
            "last_invalidation": iso(counters.last_invalidation),
            "invalidations": counters.invalidations,
            "load_seconds": round(counters.load_seconds, 4),
            "listening": app[STORE].listening,
        },
        "uptime_seconds": round(time.monotonic() - app[UPTIME].started_at, 1),
        "clock_set_by_seconds": round(clock.set_by(), 1),
        "database_queries": app[DATABASE].queries,
        "calls_in_memory": len(app[JOURNAL].book),
        "events_shed": app[JOURNAL].shed,
        "spooled": len(app[SPOOL]),
        "deliveries_running": app[DISPATCHER].running,
        "unwell": [msgspec.to_builtins(lane) for lane in app[DISPATCHER].unwell()],
        "log_rows_dropped": app[OUTBOX].logs_dropped,
        "alerts": [_alert(*item) for item in app[WATCH].firing()],
    }


def _alert(reading: Reading, since: float) -> dict[str, object]:
    named = {"rule": reading.rule, "enterprise": reading.enterprise or None, "integration": reading.integration or None}
    return {**named, "since": iso(since), "text": reading.text}


@internal_routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    """Answer in Prometheus' text format."""
    return web.Response(body=exposition(request.app[METRICS]), headers={CONTENT_TYPE_HEADER: CONTENT_TYPE})
