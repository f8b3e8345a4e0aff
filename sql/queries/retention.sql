-- try_lock --
-- Tell whether this session now has the lock; it keeps it until it unlocks or ends.
SELECT pg_try_advisory_lock($1)

-- unlock --
-- Give the lock back.
SELECT pg_advisory_unlock($1)

-- forget_events --
-- Of the $2 rows after id $1: delete our events older than $3 seconds, but none of a call in progress. Rows without a
-- hash are other services'. `of_age` and `ours` count what is old enough and what may be deleted at all.
WITH stretch AS MATERIALIZED (
    SELECT id, event_hash IS NOT NULL AS ours,
           event_hash IS NOT NULL
               AND received_timestamp < (now() AT TIME ZONE 'UTC') - make_interval(secs => $3) AS of_age
    FROM call_events
    WHERE id > $1
    ORDER BY id
    LIMIT $2
), deleted AS (
    DELETE FROM call_events e
    USING stretch s
    WHERE e.id = s.id AND s.of_age
      AND NOT EXISTS (
          SELECT FROM open_calls o
          WHERE o.enterprise_number = e.enterprise_number AND o.unique_id = e.call_unique_id)
    RETURNING e.id
)
SELECT max(id)::bigint AS last_id, count(*) FILTER (WHERE ours) AS ours, count(*) FILTER (WHERE of_age) AS of_age,
       (SELECT count(*) FROM deleted) AS deleted
FROM stretch

-- forget_deliveries --
-- The same for deliveries: none that still waits, none of a call in progress, none that was done lately.
WITH stretch AS MATERIALIZED (
    SELECT id, created_at < now() - make_interval(secs => $3) AS of_age
    FROM integration_deliveries
    WHERE id > $1
    ORDER BY id
    LIMIT $2
), deleted AS (
    DELETE FROM integration_deliveries d
    USING stretch s
    WHERE d.id = s.id AND s.of_age AND d.status NOT IN ('pending', 'sending')
      AND coalesce(d.finished_at, d.created_at) < now() - make_interval(secs => $3)
      AND NOT EXISTS (
          SELECT FROM open_calls o
          WHERE o.enterprise_number = d.enterprise_number AND o.unique_id = d.call_external_id)
    RETURNING d.id
)
SELECT max(id)::bigint AS last_id, count(*) AS ours, count(*) FILTER (WHERE of_age) AS of_age,
       (SELECT count(*) FROM deleted) AS deleted
FROM stretch

-- forget_logs --
-- The same for attempts at the CRMs $4; those of other integrations are other services'.
WITH stretch AS MATERIALIZED (
    SELECT id, integration_type = ANY ($4::text[]) AS ours,
           integration_type = ANY ($4::text[]) AND created_at < now() - make_interval(secs => $3) AS of_age
    FROM integration_logs
    WHERE id > $1
    ORDER BY id
    LIMIT $2
), deleted AS (
    DELETE FROM integration_logs l USING stretch s WHERE l.id = s.id AND s.of_age RETURNING l.id
)
SELECT max(id)::bigint AS last_id, count(*) FILTER (WHERE ours) AS ours, count(*) FILTER (WHERE of_age) AS of_age,
       (SELECT count(*) FROM deleted) AS deleted
FROM stretch
