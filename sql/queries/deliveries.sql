-- settle --
-- What came of attempts: the new state of deliveries, found by id, or by key where PostgreSQL was away when they were
-- made (id 0). A success counts whoever holds the row by now.
WITH news AS (
    SELECT *
    FROM jsonb_to_recordset($2::jsonb) AS n (
        id bigint, enterprise text, integration text, call text, kind text, dedupe_key text, status text, reason text,
        attempts int, pause float8, finished_at float8, started_at float8, response_status int, response jsonb
    )
), found AS (
    SELECT id AS delivery_id, status, reason, attempts, pause, finished_at, started_at, response_status, response
    FROM news
    WHERE id > 0
    UNION ALL
    SELECT d.id, n.status, n.reason, n.attempts, n.pause, n.finished_at, n.started_at, n.response_status, n.response
    FROM news n
    JOIN integration_deliveries d
      ON d.enterprise_number = n.enterprise AND d.integration_type = n.integration AND d.call_external_id = n.call
      AND d.kind = n.kind AND d.dedupe_key = n.dedupe_key
    WHERE n.id = 0
), latest AS (
    SELECT DISTINCT ON (delivery_id) * FROM found ORDER BY delivery_id, finished_at DESC
)
UPDATE integration_deliveries d
SET status = u.status,
    reason = u.reason,
    attempts = u.attempts,
    next_attempt_at = now() + make_interval(secs => u.pause),
    first_attempt_at = coalesce(d.first_attempt_at, to_timestamp(u.started_at)),
    finished_at = CASE WHEN u.status IN ('pending', 'sending') THEN NULL ELSE to_timestamp(u.finished_at) END,
    response_status = coalesce(u.response_status, d.response_status),
    response = coalesce(u.response, d.response),
    locked_by = CASE WHEN u.status = 'sending' THEN d.locked_by END,
    locked_until = CASE WHEN u.status = 'sending' THEN d.locked_until END
FROM latest u
WHERE d.id = u.delivery_id
  AND d.status NOT IN ('done', 'failed', 'expired', 'skipped')
  AND (d.locked_by = $1 OR u.status = 'done')

-- claim --
-- Take due deliveries that nobody holds: so many of each lane, pop-ups first, none of the lanes that want no more.
-- Lanes are found one after the other in the index, so a long queue of one costs the others nothing.
WITH RECURSIVE lanes AS (
    (
        SELECT enterprise_number, integration_type
        FROM integration_deliveries
        WHERE status IN ('pending', 'sending')
        ORDER BY enterprise_number, integration_type
        LIMIT 1
    )
    UNION ALL
    SELECT next.*
    FROM lanes l
    CROSS JOIN LATERAL (
        SELECT d.enterprise_number, d.integration_type
        FROM integration_deliveries d
        WHERE d.status IN ('pending', 'sending')
          AND (d.enterprise_number, d.integration_type) > (l.enterprise_number, l.integration_type)
        ORDER BY d.enterprise_number, d.integration_type
        LIMIT 1
    ) AS next
), due AS (
    SELECT w.id
    FROM lanes l
    CROSS JOIN LATERAL (
        SELECT d.id
        FROM integration_deliveries d
        WHERE d.enterprise_number = l.enterprise_number
          AND d.integration_type = l.integration_type
          AND d.status IN ('pending', 'sending')
          AND (d.status = 'pending' OR d.class = 'history')
          AND d.next_attempt_at <= now()
          AND (d.locked_until IS NULL OR d.locked_until < now())
        ORDER BY d.class DESC, d.next_attempt_at
        LIMIT $6
        FOR UPDATE SKIP LOCKED
    ) AS w
    WHERE (l.enterprise_number, l.integration_type) NOT IN (SELECT * FROM unnest($3::text[], $4::text[]))
    LIMIT $5
)
UPDATE integration_deliveries d
SET locked_by = $1, locked_until = now() + make_interval(secs => $2)
FROM due
WHERE d.id = due.id
RETURNING d.id, d.enterprise_number, d.integration_type, d.call_external_id, d.kind, d.dedupe_key, d.class, d.payload,
          d.status, d.reason, d.attempts, d.replays, extract(epoch FROM d.event_at)::float8 AS event_at,
          extract(epoch FROM d.deadline_at)::float8 AS deadline_at

-- next_due --
-- Seconds until the next delivery that nobody here holds is due, of lanes that want more; null when none waits.
SELECT extract(epoch FROM min(greatest(next_attempt_at, coalesce(locked_until, next_attempt_at))) - now())::float8
FROM integration_deliveries
WHERE (status = 'pending' OR (status = 'sending' AND class = 'history'))
  AND locked_by IS DISTINCT FROM $1
  AND (enterprise_number, integration_type) NOT IN (SELECT * FROM unnest($2::text[], $3::text[]))

-- wake_lanes --
-- CRMs that answer again, or were switched on: what waits for them is due now, or when its turn in a replay comes.
UPDATE integration_deliveries d
SET next_attempt_at = greatest(now(), d.not_before)
FROM unnest($1::text[], $2::text[]) AS l (enterprise_number, integration_type)
WHERE d.enterprise_number = l.enterprise_number AND d.integration_type = l.integration_type
  AND d.status = 'pending' AND d.next_attempt_at > greatest(now(), d.not_before)

-- renew_leases --
-- Keep what this daemon holds.
UPDATE integration_deliveries
SET locked_until = now() + make_interval(secs => $2)
WHERE id = ANY ($3::bigint[]) AND locked_by = $1 AND status IN ('pending', 'sending')

-- still_held --
-- Those of some deliveries that this daemon still holds.
SELECT id
FROM integration_deliveries
WHERE id = ANY ($2::bigint[]) AND locked_by = $1 AND status IN ('pending', 'sending')

-- release_leases --
-- Let go of all that this daemon held: nobody else of its name is alive.
UPDATE integration_deliveries
SET locked_by = NULL, locked_until = NULL
WHERE locked_by = $1 AND status IN ('pending', 'sending')

-- release_spooled --
-- Records of a flush that was stored although PostgreSQL did not say so in time: anybody may send them now.
UPDATE integration_deliveries d
SET locked_by = NULL, locked_until = NULL
FROM jsonb_to_recordset($2::jsonb -> 'deliveries') AS f (
    enterprise text, integration text, call text, kind text, dedupe_key text, cls text
)
WHERE d.enterprise_number = f.enterprise AND d.integration_type = f.integration AND d.call_external_id = f.call
  AND d.kind = f.kind AND d.dedupe_key = f.dedupe_key
  AND f.cls = 'history' AND d.locked_by = $1 AND d.status IN ('pending', 'sending')

-- bury_interrupted --
-- Up to $1 pop-ups whose attempt had begun when their daemon died, never sent again: the card may be on the screen.
UPDATE integration_deliveries d
SET status = 'failed', reason = 'interrupted', attempts = greatest(attempts, 1), finished_at = now(), locked_by = NULL, locked_until = NULL
WHERE d.id = ANY (ARRAY(
    SELECT id
    FROM integration_deliveries
    WHERE class = 'realtime' AND status = 'sending' AND (locked_until IS NULL OR locked_until < now())
    LIMIT $1
    FOR UPDATE SKIP LOCKED
))
RETURNING d.id, d.enterprise_number, d.integration_type, d.call_external_id, d.kind, d.dedupe_key, d.class, d.payload,
          d.status, d.reason, d.attempts, d.replays, extract(epoch FROM d.event_at)::float8 AS event_at,
          extract(epoch FROM d.deadline_at)::float8 AS deadline_at

-- bury_expired --
-- Up to $1 of what waits past its deadline and is held by nobody: the CRM was away, or switched off, for too long.
UPDATE integration_deliveries d
SET status = CASE class WHEN 'history' THEN 'failed' ELSE 'expired' END, reason = 'expired', finished_at = now(),
    locked_by = NULL, locked_until = NULL
WHERE d.id = ANY (ARRAY(
    SELECT id
    FROM integration_deliveries
    WHERE status = 'pending' AND deadline_at < now() AND (locked_until IS NULL OR locked_until < now())
    LIMIT $1
    FOR UPDATE SKIP LOCKED
))
RETURNING d.id, d.enterprise_number, d.integration_type, d.call_external_id, d.kind, d.dedupe_key, d.class, d.payload,
          d.status, d.reason, d.attempts, d.replays, extract(epoch FROM d.event_at)::float8 AS event_at,
          extract(epoch FROM d.deadline_at)::float8 AS deadline_at

-- cards_of_call --
-- What pop-ups a call had and how they fared; asked when no memory of them is left. A closing counts even if skipped.
SELECT kind, payload -> 'codes' AS codes, status, attempts, reason
FROM integration_deliveries
WHERE enterprise_number = $1 AND integration_type = $2 AND call_external_id = $3
  AND kind IN ('popup', 'popup_over')

-- write_logs --
-- Attempts, for the journal of an enterprise.
INSERT INTO integration_logs (
    created_at, enterprise_number, integration_type, event_type, request_data, response_data, status, error_message,
    call_unique_id, elapsed_ms, http_status
)
SELECT to_timestamp(created_at), enterprise, integration, event_type, request, response, status, error, call,
       elapsed_ms, http_status
FROM jsonb_to_recordset($1::jsonb) AS l (
    created_at float8, enterprise text, integration text, event_type text, request jsonb, response jsonb, status text,
    error text, call text, elapsed_ms real, http_status int
)
