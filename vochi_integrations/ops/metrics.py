"""`/metrics`: what the daemon counts anyway, put into Prometheus' words when it is asked for.

Labels are bounded: kinds, reasons, CRMs, classes. An enterprise is never one of them; the alerts name enterprises.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from vochi_integrations import __version__, clock, logs
from vochi_integrations.breaker import State
from vochi_integrations.figures import Distribution
from vochi_integrations.ops.watch import Watch

CONTENT_TYPE = CONTENT_TYPE_LATEST
Labels = tuple[str, ...]


def create_registry(watch: Watch) -> CollectorRegistry:
    """Return a registry of one daemon: its own metrics and those of the process."""
    registry = CollectorRegistry()
    registry.register(DaemonCollector(watch))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    return generate_latest(registry)


class DaemonCollector(Collector):
    """Reads the daemon at the moment of a scrape."""

    def __init__(self, watch: Watch) -> None:
        self._sources = watch.sources
        self._watch = watch

    def describe(self) -> Iterable[Metric]:
        """Name nothing in advance: a registry then does not collect once for its own sake."""
        return ()

    def collect(self) -> Iterator[Metric]:
        parts: tuple[Callable[[], Iterable[Metric]], ...] = (
            self._process,
            self._events,
            self._deliveries,
            self._lanes,
            self._snapshot,
            self._spool,
            self._database,
            self._watched,
        )
        for part in parts:
            yield from part()

    def _process(self) -> Iterable[Metric]:
        yield _gauge("vochi_build_info", "The running version", ("version",), {(__version__,): 1})
        yield _value("vochi_uptime_seconds", "Since the start", time.monotonic() - self._sources.started_at)
        yield _value("vochi_clock_set_by_seconds", "How far the system clock was moved since the start", clock.set_by())
        lost = {(file,): count for file, count in logs.dropped_lines().items()}
        yield _counter("vochi_log_lines_dropped", "Lines of the log that could not be written", ("file",), lost)

    def _events(self) -> Iterable[Metric]:
        figures, journal = self._sources.figures, self._sources.journal
        yield _counter(
            "vochi_events",
            "Events made durable, by kind and the reason why one led to nothing",
            ("kind", "reason"),
            {(kind, reason or ""): count for (kind, reason), count in figures.events.items()},
        )
        yield _histogram(
            "vochi_event_accept_seconds", "From an event's arrival until it is durable", (), {(): figures.accepted}
        )
        yield _counter(
            "vochi_requests_refused",
            "Requests answered 4xx or 5xx",
            ("status",),
            {(str(status),): count for status, count in figures.refused.items()},
        )
        yield _total("vochi_events_shed", "Events told 503 because too many waited", journal.shed)
        yield _value("vochi_calls_in_memory", "Calls known to this daemon", len(journal.book))
        yield _value("vochi_events_waiting", "Events on their way to PostgreSQL", len(journal.batcher))

    def _deliveries(self) -> Iterable[Metric]:
        figures = self._sources.figures
        yield _counter(
            "vochi_deliveries",
            "Deliveries that ended, by outcome and reason",
            ("integration", "kind", "status", "reason"),
            {(*key[:3], key[3] or ""): count for key, count in figures.deliveries.items()},
        )
        yield _counter(
            "vochi_crm_attempts",
            "Attempts at CRMs: `ok` or the reason of the failure",
            ("integration", "kind", "outcome"),
            figures.attempts,
        )
        yield _histogram(
            "vochi_delivery_latency_seconds",
            "From an event's arrival to the CRM's success",
            ("class",),
            {(cls,): found for cls, found in figures.latency.items()},
        )
        yield _histogram(
            "vochi_crm_answer_seconds", "How long CRMs take to answer", ("integration", "kind"), figures.answers
        )

    def _lanes(self) -> Iterable[Metric]:
        lanes = self._sources.dispatcher.lanes()
        breakers: Counter[Labels] = Counter({(name, state): 0 for name in self._names() for state in State})
        breakers.update((lane.integration, lane.breaker) for lane in lanes)
        yield _gauge("vochi_breakers", "Circuit breakers of lanes in memory", ("integration", "state"), breakers)
        yield _value("vochi_deliveries_running", "Requests to CRMs under way", self._sources.dispatcher.running)
        yield _value("vochi_deliveries_waiting", "Deliveries waiting in memory", sum(lane.waiting for lane in lanes))
        yield _total("vochi_log_rows_dropped", "Attempts not logged, too many", self._sources.outbox.logs_dropped)

    def _names(self) -> Iterable[str]:
        return self._sources.dispatcher.names

    def _snapshot(self) -> Iterable[Metric]:
        store = self._sources.store
        counted, refreshed = store.counters, store.counters.last_full_refresh
        yield _total("vochi_snapshot_hits", "Look-ups answered from memory", counted.hits)
        yield _total("vochi_snapshot_misses", "Look-ups that found nothing fresh", counted.misses)
        yield _total("vochi_snapshot_stale", "Look-ups answered with what may be out of date", counted.stale)
        yield _total("vochi_snapshot_invalidations", "Changes of configuration heard of", counted.invalidations)
        yield _value("vochi_snapshot_enterprises", "Enterprises in memory", len(store.current.by_number))
        yield _value("vochi_snapshot_load_seconds", "The latest load's length", counted.load_seconds)
        age = float("nan") if refreshed is None else max(0.0, clock.now() - refreshed)
        yield _value("vochi_snapshot_age_seconds", "Since the latest full refresh", age)
        yield _value("vochi_listening", "1 while LISTEN proves to be alive", float(store.listening))

    def _spool(self) -> Iterable[Metric]:
        yield _value("vochi_spool_entries", "What waits on disk for PostgreSQL", len(self._sources.spool))
        yield _value("vochi_spool_in_use", "1 while anything is in the spool", float(self._sources.spool.in_use))
        refusing = self._sources.journal.refusing is not None
        yield _value("vochi_refusing", "1 while events are refused", float(refusing))

    def _database(self) -> Iterable[Metric]:
        pool = self._sources.database.pool
        size, idle = pool.get_size(), pool.get_idle_size()
        yield _gauge(
            "vochi_pool_connections", "Connections of the pool", ("state",), {("idle",): idle, ("busy",): size - idle}
        )
        yield _value("vochi_pool_max", "How many connections the pool may have", pool.get_max_size())
        yield _total("vochi_database_queries", "Queries sent to PostgreSQL", self._sources.database.queries)

    def _watched(self) -> Iterable[Metric]:
        """What only the database knows, as of the latest look, and the alerts; nothing while it does not answer."""
        yield _gauge("vochi_alerts", "Alerts firing", ("rule",), self._watch.firing_by_rule())
        lost = {(channel,): count for channel, count in self._watch.teller.dropped.items()}
        yield _counter("vochi_alerts_dropped", "Alerts that a channel did not take", ("channel",), lost)
        age = max(0.0, clock.now() - self._watch.looked_at)
        yield _value("vochi_watched_age_seconds", "Since the database was last looked at, or the start", age)
        backlog = self._watch.backlog
        if backlog is not None:
            yield _value("vochi_backlog", "Deliveries that wait in the table", backlog.waiting)
            yield _value("vochi_backlog_overdue_seconds", "How late the latest of them is", backlog.overdue_seconds)
            yield _value(
                "vochi_failed_records", "Call records that failed in the last hour", sum(backlog.failed.values())
            )


def _value(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _total(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, labels: Labels, values: Mapping[Any, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in list(values.items()):
        family.add_metric(key, value)
    return family


def _counter(name: str, text: str, labels: Labels, values: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in list(values.items()):
        family.add_metric(key, value)
    return family


def _histogram(name: str, text: str, labels: Labels, values: Mapping[Any, Distribution]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for key, found in list(values.items()):
        family.add_metric(key, found.cumulative(), found.total)
    return family
