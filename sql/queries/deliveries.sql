-- settle --
-- What came of attempts: the new state of deliveries. A success counts whoever holds the row by now.
UPDATE integration_deliveries d
SET status = u.status,
    reason = u.reason,
    attempts = u.attempts,
    next_attempt_at = now() + make_interval(secs => u.pause),
    first_attempt_at = coalesce(d.first_attempt_at, to_timestamp(u.started_at)),
    finished_at = CASE WHEN u.status IN ('pending', 'sending') THEN NULL ELSE now() END,
    response_status = u.response_status,
    response = u.response,
    locked_by = CASE WHEN u.status = 'sending' THEN d.locked_by END,
    locked_until = CASE WHEN u.status = 'sending' THEN d.locked_until END
FROM unnest(
    $2::bigint[], $3::text[], $4::text[], $5::int[], $6::float8[], $7::float8[], $8::int[], $9::jsonb[]
) AS u (id, status, reason, attempts, pause, started_at, response_status, response)
WHERE d.id = u.id
  AND d.status IN ('pending', 'sending')
  AND (d.locked_by = $1 OR u.status = 'done')

-- claim --
-- Take due deliveries that nobody holds, the oldest first, none of the lanes that have enough already.
WITH due AS (
    SELECT id
    FROM integration_deliveries
    WHERE (status = 'pending' OR (status = 'sending' AND class = 'history'))
      AND next_attempt_at <= now()
      AND (locked_until IS NULL OR locked_until < now())
      AND (enterprise_number, integration_type) NOT IN (SELECT * FROM unnest($3::text[], $4::text[]))
    ORDER BY class DESC, id
    LIMIT $5
    FOR UPDATE SKIP LOCKED
)
UPDATE integration_deliveries d
SET locked_by = $1, locked_until = now() + make_interval(secs => $2)
FROM due
WHERE d.id = due.id
RETURNING d.id, d.enterprise_number, d.integration_type, d.call_external_id, d.kind, d.dedupe_key, d.class, d.payload,
          d.status, d.reason, d.attempts, d.replays, extract(epoch FROM d.event_at)::float8 AS event_at,
          extract(epoch FROM d.deadline_at)::float8 AS deadline_at

-- next_due --
-- Seconds until the next delivery that nobody holds is due; null when none waits.
SELECT extract(epoch FROM min(greatest(next_attempt_at, coalesce(locked_until, next_attempt_at))) - now())::float8
FROM integration_deliveries
WHERE status IN ('pending', 'sending') AND locked_by IS DISTINCT FROM $1

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
WHERE locked_by = $1 AND status IN ('pending', 'sending')

-- release_leases --
-- Let go of all that this daemon held: nobody else of its name is alive.
UPDATE integration_deliveries
SET locked_by = NULL, locked_until = NULL
WHERE locked_by = $1 AND status IN ('pending', 'sending')

-- bury_interrupted --
-- Pop-ups whose attempt had begun when their daemon died are never sent again: the card may be on the screen.
UPDATE integration_deliveries
SET status = 'failed', reason = 'interrupted', finished_at = now(), locked_by = NULL, locked_until = NULL
WHERE class = 'realtime' AND status = 'sending' AND (locked_until IS NULL OR locked_until < now())

-- cards_of_call --
-- What pop-ups a call had and how they fared; asked when no memory of them is left.
SELECT kind, payload -> 'codes' AS codes, status, attempts, reason
FROM integration_deliveries
WHERE enterprise_number = $1 AND integration_type = $2 AND call_external_id = $3
  AND kind IN ('popup', 'popup_over') AND status <> 'skipped'

-- write_logs --
-- Attempts, for the journal of an enterprise.
INSERT INTO integration_logs (
    created_at, enterprise_number, integration_type, event_type, request_data, response_data, status, error_message,
    call_unique_id
)
SELECT to_timestamp(created_at), enterprise_number, integration_type, event_type, request_data, response_data, status,
       error_message, call_unique_id
FROM unnest(
    $1::float8[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::jsonb[], $7::text[], $8::text[], $9::text[]
) AS l (
    created_at, enterprise_number, integration_type, event_type, request_data, response_data, status, error_message,
    call_unique_id
)
