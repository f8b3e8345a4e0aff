-- plan_for_these_values --
-- In a transaction: plan what follows for the values it is given, so that filters not given cost nothing.
SET LOCAL plan_cache_mode = force_custom_plan

-- list_deliveries --
-- A page of chosen deliveries, the latest first, after the place ($3, $4) of the last of the page before.
SELECT id, enterprise_number, integration_type AS integration, call_external_id AS call, kind, class, status, reason,
       attempts, replays, extract(epoch FROM d.event_at)::float8 AS event_at,
       extract(epoch FROM finished_at)::float8 AS finished_at, response_status, response
FROM vochi_chosen_deliveries($1, $2) d
WHERE $3::float8 IS NULL OR (d.event_at, d.id) < (to_timestamp($3), $4::bigint)
ORDER BY d.event_at DESC, d.id DESC
LIMIT $5

-- count_deliveries --
-- How many deliveries are chosen; it stops counting at $3.
SELECT count(*) FROM (SELECT FROM vochi_chosen_deliveries($1, $2) LIMIT $3) AS chosen

-- one_replay_at_a_time --
-- In a transaction: wait for another replay to end; the next begins behind it.
SELECT pg_advisory_xact_lock($1)

-- replay_deliveries --
-- Chosen deliveries that came to nothing wait again, the oldest first, $4 a second and enterprise, behind those of
-- earlier replays; at most $3 of them, none when $7. Whoever has no payload, or was not failed or expired, stays.
WITH chosen AS MATERIALIZED (
    SELECT id, enterprise_number, event_at, status IN ('failed', 'expired') AND payload <> '{}' AS replayable
    FROM vochi_chosen_deliveries($1, $2)
), oldest AS (
    SELECT id, enterprise_number, event_at FROM chosen WHERE replayable ORDER BY event_at, id LIMIT $3
), queues AS (
    SELECT enterprise_number, greatest(now(), (
        SELECT max(w.not_before) + make_interval(secs => greatest(1, 1 / $4::float8))
        FROM integration_deliveries w
        WHERE w.enterprise_number = o.enterprise_number AND w.status = 'pending'
    )) AS begins_at
    FROM oldest o
    GROUP BY enterprise_number
), placed AS (
    SELECT id, begins_at + make_interval(secs => floor(
        (row_number() OVER (PARTITION BY enterprise_number ORDER BY event_at, id) - 1) / $4::float8)) AS due_at
    FROM oldest
    JOIN queues USING (enterprise_number)
), replayed AS (
    UPDATE integration_deliveries d
    SET status = 'pending',
        reason = NULL,
        attempts = 0,
        replays = d.replays + 1,
        next_attempt_at = p.due_at,
        not_before = p.due_at,
        deadline_at = p.due_at + make_interval(secs => CASE d.class WHEN 'history' THEN $5::float8 ELSE $6::float8 END),
        finished_at = NULL,
        locked_by = NULL,
        locked_until = NULL
    FROM placed p
    WHERE d.id = p.id AND d.status IN ('failed', 'expired') AND NOT $7::bool
    RETURNING d.id
)
SELECT (SELECT count(*) FROM chosen) AS matched,
       (SELECT count(*) FROM chosen WHERE NOT replayable) AS not_replayable,
       (SELECT count(*) FROM replayed) AS replayed,
       coalesce((SELECT extract(epoch FROM max(due_at) - now()) FROM placed), 0)::float8 AS seconds
