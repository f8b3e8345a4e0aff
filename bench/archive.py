"""An archive of calls as years of work leave it, written by PostgreSQL itself: events, deliveries, attempts."""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

TENANTS = 77
EVENTS_OF_A_CALL = 8
DAYS = 90
TABLES = ("call_events", "integration_deliveries", "integration_logs")
INDEXES = """
    SELECT indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND tablename = ANY ($1::text[]) AND indexdef NOT LIKE '%UNIQUE%'
      AND ($2::text IS NULL OR indexname LIKE $2)
"""
CALLS = """
    CREATE TABLE archive AS
    SELECT c AS call,
           CASE WHEN c % 5 < 2 THEN 1000 ELSE 1000 + (hashint8(c) & 65535) % $2::int END::text AS number,
           (extract(epoch FROM now()) - $3::int * 86400.0 * (1 - c::float8 / $1))::bigint || '.' || c AS unique_id,
           extract(epoch FROM now()) - $3::int * 86400.0 * (1 - c::float8 / $1) AS began_at,
           '37529' || lpad(((hashint8(c * 7) & 2147483647) % greatest($1 / 3, 1000))::text, 7, '0') AS phone,
           150 + (hashint8(c * 3) & 65535) % 30 AS first_ext,
           c % 3 = 0 AS is_out
    FROM generate_series(1, $1::bigint) c
"""
EVENTS = """
    INSERT INTO call_events (enterprise_number, unique_id, call_unique_id, event_type, event_sequence, event_timestamp,
        received_timestamp, raw_data, event_hash, reason)
    SELECT number, unique_id, unique_id, kind, place, moment, moment,
        jsonb_build_object('UniqueId', unique_id, 'Trunk', '0001363') || CASE kind
            WHEN 'start' THEN jsonb_build_object('Phone', phone, 'CallType', 0)
            WHEN 'dial' THEN jsonb_build_object('Phone', phone, 'CallType', is_out::int, 'ExtPhone', phone,
                'Extensions', CASE WHEN is_out OR call % 2 = 0 THEN jsonb_build_array(first_ext::text)
                    ELSE jsonb_build_array(first_ext::text, (first_ext + 1)::text, (first_ext + 2)::text) END)
            WHEN 'hangup' THEN jsonb_build_object('Phone', phone, 'CallType', is_out::int, 'CallStatus', '2',
                'StartTime', to_char(moment - interval '60 s', 'YYYY-MM-DD HH24:MI:SS'),
                'EndTime', to_char(moment, 'YYYY-MM-DD HH24:MI:SS'),
                'Extensions', jsonb_build_array(CASE WHEN call % 9 = 0 THEN phone ELSE first_ext::text END))
            ELSE jsonb_build_object('BridgeUniqueid', '00000000-0000-4000-8000-' || lpad(call::text, 12, '0'),
                'Channel', 'SIP/' || first_ext || '-00000006', 'Exten', '', 'CallerIDNum', first_ext::text,
                'ConnectedLineNum', phone, 'CallerIDName', '', 'ConnectedLineName', '<unknown>')
        END,
        decode(md5(unique_id || kind || place), 'hex'), 'informational'
    FROM archive
    CROSS JOIN LATERAL (VALUES (1, CASE WHEN is_out THEN 'new_callerid' ELSE 'start' END), (2, 'dial'), (3, 'bridge'),
        (4, 'bridge'), (5, 'bridge_leave'), (6, 'bridge_leave'), (7, 'bridge_destroy'), (8, 'hangup')
    ) AS k (place, kind)
    CROSS JOIN LATERAL (SELECT to_timestamp(began_at + place * 10) AT TIME ZONE 'UTC' AS moment) AS m
    WHERE call > $1 AND call <= $2
    ORDER BY call, place
"""
DELIVERIES = """
    INSERT INTO integration_deliveries (enterprise_number, integration_type, call_external_id, kind, dedupe_key, class,
        payload, status, reason, attempts, event_at, first_attempt_at, finished_at, response_status)
    SELECT number, 'retailcrm', unique_id, kind, first_ext, class,
        jsonb_build_object('phone', phone, 'callExternalId', unique_id, 'codes', jsonb_build_array(first_ext::text)),
        CASE WHEN kind = 'popup' AND call % 50 = 0 THEN 'skipped' ELSE 'done' END,
        CASE WHEN kind = 'popup' AND call % 50 = 0 THEN 'no_mapping' END,
        1, moment, moment + interval '3 ms', moment + interval '45 ms', 200
    FROM archive
    CROSS JOIN (VALUES ('popup', 'realtime', 20), ('record', 'history', 80)) AS k (kind, class, after)
    CROSS JOIN LATERAL (SELECT to_timestamp(began_at + after) AS moment) AS m
    ORDER BY call, kind
"""
ATTEMPTS = """
    INSERT INTO integration_logs (created_at, enterprise_number, integration_type, event_type, request_data,
        response_data, status, call_unique_id, elapsed_ms, http_status)
    SELECT moment, number, 'retailcrm', event_type, jsonb_build_object('phone', phone, 'callExternalId', unique_id),
        '{"success": true}', CASE WHEN call % 40 = 0 THEN 'error' ELSE 'success' END, unique_id, 42, 200
    FROM archive
    CROSS JOIN (VALUES ('call_event:in', 20), ('calls_upload', 80)) AS k (event_type, after)
    CROSS JOIN LATERAL (SELECT to_timestamp(began_at + after) AS moment) AS m
    ORDER BY call, event_type
"""


class Known(NamedTuple):
    """A call of the archive, by which it can be looked for."""

    number: str
    unique_id: str
    phone: str
    extension: str


async def fill(connection: asyncpg.Connection, events: int, tenants: int = TENANTS) -> None:
    """Write `events` events and what belongs to them over 90 days; two calls in five are of tenant 1000."""
    calls = events // EVENTS_OF_A_CALL
    await connection.execute("DROP TABLE IF EXISTS archive")
    await connection.execute(CALLS, calls, tenants, DAYS, timeout=None)
    indexes = await connection.fetch(INDEXES, TABLES, None)
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['indexname']}")
    slice_ = 125_000
    for first in range(0, calls, slice_):
        await connection.execute(EVENTS, first, min(first + slice_, calls), timeout=None)
    await connection.execute(DELIVERIES, timeout=None)
    await connection.execute(ATTEMPTS, timeout=None)
    for index in indexes:
        await connection.execute(index["indexdef"], timeout=None)
    for table in TABLES:
        await connection.execute(f"VACUUM (ANALYZE) {table}", timeout=None)


async def sample(connection: asyncpg.Connection, count: int, number: str | None = None) -> Sequence[Known]:
    """Return some calls of the archive, of one tenant when its number is given."""
    rows = await connection.fetch(
        "SELECT number, unique_id, phone, first_ext::text AS extension FROM archive"
        " WHERE $2::text IS NULL OR number = $2 ORDER BY hashint8(call * 11) LIMIT $1",
        *(count, number),
    )
    return [Known(*row) for row in rows]
