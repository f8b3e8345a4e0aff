-- append --
-- One flush of the journal: events, the deliveries they cause, calls begun and ended. All or nothing.
-- A place in a call's stream that is taken already fails it with a unique violation.
WITH stored AS (
    INSERT INTO call_events (
        enterprise_number, unique_id, call_unique_id, event_type, event_sequence, event_timestamp,
        received_timestamp, data_source, raw_data, event_hash, reason, record_url
    )
    SELECT
        enterprise, unique_id, call, kind, version, to_timestamp(received_at) AT TIME ZONE 'UTC',
        to_timestamp(received_at) AT TIME ZONE 'UTC', origin, raw, decode(digest, 'hex'), reason, record_url
    FROM jsonb_to_recordset($1::jsonb -> 'events') AS e (
        enterprise text, unique_id text, call text, kind text, version int, received_at float8, origin text, raw jsonb,
        digest text, reason text, record_url text
    )
), opened AS (
    INSERT INTO open_calls (enterprise_number, unique_id, close_at)
    SELECT enterprise, call, to_timestamp(close_at)
    FROM jsonb_to_recordset($1::jsonb -> 'opened') AS o (enterprise text, call text, close_at float8)
    ON CONFLICT DO NOTHING
), closed AS (
    DELETE FROM open_calls o
    USING jsonb_to_recordset($1::jsonb -> 'closed') AS c (enterprise text, call text)
    WHERE o.enterprise_number = c.enterprise AND o.unique_id = c.call
)
INSERT INTO integration_deliveries (
    enterprise_number, integration_type, call_external_id, kind, dedupe_key, class, payload, status, reason,
    attempts, event_at, deadline_at, locked_by, locked_until
)
SELECT
    enterprise, integration, call, kind, dedupe_key, cls, payload, status, reason,
    attempts, to_timestamp(event_at), to_timestamp(deadline_at),
    CASE WHEN status IN ('pending', 'sending') THEN $2::text END,
    CASE WHEN status IN ('pending', 'sending') THEN now() + make_interval(secs => $3) END
FROM jsonb_to_recordset($1::jsonb -> 'deliveries') AS d (
    enterprise text, integration text, call text, kind text, dedupe_key text, cls text, payload jsonb, status text,
    reason text, attempts int, event_at float8, deadline_at float8
)
ON CONFLICT (enterprise_number, integration_type, call_external_id, kind, dedupe_key) DO NOTHING
RETURNING id, enterprise_number, integration_type, call_external_id, kind, dedupe_key

-- count_repeats --
-- Events that came again, each counted on the row of the first.
UPDATE call_events e
SET repeats = repeats + 1
FROM unnest($1::text[], $2::text[], $3::bytea[]) AS r (enterprise_number, unique_id, event_hash)
WHERE e.enterprise_number = r.enterprise_number AND e.unique_id = r.unique_id AND e.event_hash = r.event_hash

-- stored_calls --
-- The events of calls, in the order they were stored in.
SELECT e.enterprise_number, e.call_unique_id, e.unique_id, e.event_type, e.raw_data, e.event_hash, e.data_source,
       e.record_url, extract(epoch FROM e.received_timestamp)::float8 AS received_at
FROM call_events e
JOIN unnest($1::text[], $2::text[]) AS c (enterprise_number, unique_id)
  ON e.enterprise_number = c.enterprise_number AND e.call_unique_id = c.unique_id
WHERE e.event_hash IS NOT NULL
ORDER BY e.id, e.event_sequence

-- calls_of_channels --
-- The calls that channels were found to be legs of.
SELECT DISTINCT e.enterprise_number, e.unique_id, e.call_unique_id
FROM call_events e
JOIN unnest($1::text[], $2::text[]) AS c (enterprise_number, unique_id)
  ON e.enterprise_number = c.enterprise_number AND e.unique_id = c.unique_id
WHERE e.event_hash IS NOT NULL AND e.call_unique_id <> e.unique_id

-- calls_of_events --
-- The calls that have some of these events already.
SELECT DISTINCT e.enterprise_number, e.call_unique_id
FROM call_events e
JOIN unnest($1::text[], $2::text[], $3::bytea[]) AS n (enterprise_number, unique_id, event_hash)
  ON e.enterprise_number = n.enterprise_number AND e.unique_id = n.unique_id AND e.event_hash = n.event_hash

-- open_calls --
-- Calls in progress of some enterprises, of all when $1 is null; the latest first.
SELECT enterprise_number, unique_id
FROM open_calls
WHERE $1::text[] IS NULL OR enterprise_number = ANY ($1)
ORDER BY close_at DESC
LIMIT $2

-- still_open --
-- Those of some calls that are in progress.
SELECT o.enterprise_number, o.unique_id
FROM open_calls o
JOIN unnest($1::text[], $2::text[]) AS c (enterprise_number, unique_id)
  ON o.enterprise_number = c.enterprise_number AND o.unique_id = c.unique_id

-- due_calls --
-- Calls that have heard nothing for so long that they may be lost.
SELECT enterprise_number, unique_id
FROM open_calls
WHERE close_at <= to_timestamp($1)
ORDER BY close_at
LIMIT $2

-- postpone_calls --
-- Look at calls again later: they are still alive.
UPDATE open_calls o
SET close_at = to_timestamp(c.close_at)
FROM unnest($1::text[], $2::text[], $3::float8[]) AS c (enterprise_number, unique_id, close_at)
WHERE o.enterprise_number = c.enterprise_number AND o.unique_id = c.unique_id
