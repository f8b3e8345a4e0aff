"""What others have published, with their conditions, and which of our rows stand beside it."""

from typing import NamedTuple


class Published(NamedTuple):
    """A published number. `ours` names a figure and the beginning of its row's name; "" where nothing compares."""

    source: str
    number: str
    conditions: str
    ours: tuple[str, str] = ("", "")


PUBLISHED = (
    Published(
        "Convoy PR #2795 (2026-08-18), PostgreSQL queue",
        "delivery p95 124 ms at 50 events/s",
        "managed PostgreSQL, hardware not stated, healthy sink, 60 s bursts, pool of 100",
        ("latency", "pop-up p95 at 50"),
    ),
    Published(
        "the same",
        "delivery p95 127 ms at 200 events/s",
        "the same; ours is at 1,000 events/s in",
        ("latency", "pop-up p95 at 200"),
    ),
    Published(
        "the same",
        "event accepted p95 12.0 ms",
        "the same; ours is p99, 200 to the host",
        ("latency", "200 to the host p99 at 50"),
    ),
    Published("the same, Redis queue", "delivery p95 1.8-2.0 s, accepted p95 5.5 ms", "the same"),
    Published(
        "the same",
        "at 1,000 events/s offered: mean delivery 67 s",
        "does not keep up; 31.7 SQL statements an event; ours: five events a call",
        ("capacity", "highest sustained rate"),
    ),
    Published(
        "Convoy commit 697ef60",
        "13,204 jobs/s enqueued",
        "one statement a batch, 200 goroutines, nothing delivered; ours over HTTP on one core",
        ("acceptance", "durable events a second"),
    ),
    Published("awa README", "9,537 jobs/s, pick-up p95 22 ms", "author's laptop (M5), 5,000 jobs, Rust"),
    Published("awa soak (2026-05-09)", "7,348 jobs/s for 6 h, end to end p99 576 ms", "4 cores, 128 workers, no HTTP"),
    Published(
        "the same author's sweep, same box",
        "procrastinate 269 jobs/s, river 501, pg-boss 2,387, pgmq 11,277, pgque 39,898",
        "1 ms jobs, author of a competitor; bias declared",
        ("peers", "jobs a second, enqueue to handler"),
    ),
    Published(
        "pgqueuer docs, benchmarks",
        "6,400-18,300 jobs/s",
        "10 s, machine not named; its CI runs with fsync and synchronous_commit off on tmpfs",
        ("peers", "jobs a second, enqueue to handler"),
    ),
    Published(
        "pgque PR #204",
        "p50 53 ms, p99 103 ms at 100 events/s",
        "laptop, PostgreSQL 16, tick 100 ms",
        ("latency", "pop-up p99 at 50"),
    ),
)
