-- latest_deliveries --
-- A company's deliveries, the latest first, after the place ($7, $8) of the last of the page before; null chooses all.
SELECT id, integration_type AS integration, call_external_id AS call, kind, class, status, reason, attempts, replays,
       payload, response_status, response,
       extract(epoch FROM event_at)::float8 AS event_at,
       extract(epoch FROM first_attempt_at)::float8 AS first_attempt_at,
       extract(epoch FROM next_attempt_at)::float8 AS next_attempt_at,
       extract(epoch FROM finished_at)::float8 AS finished_at
FROM integration_deliveries
WHERE enterprise_number = $1
  AND ($2::text[] IS NULL OR status = ANY ($2))
  AND ($3::text[] IS NULL OR call_external_id = ANY ($3))
  AND ($4::text IS NULL OR kind = $4)
  AND ($5::float8 IS NULL OR event_at >= to_timestamp($5))
  AND ($6::float8 IS NULL OR event_at < to_timestamp($6))
  AND ($7::float8 IS NULL OR (event_at, id) < (to_timestamp($7), $8::bigint))
ORDER BY event_at DESC, id DESC
LIMIT $9

-- numbers_of_calls --
-- Who called in some calls, as the PBX said first.
SELECT DISTINCT ON (call_unique_id) call_unique_id AS call, raw_data ->> 'Phone' AS phone,
       raw_data ->> 'CallType' AS call_type
FROM call_events
WHERE enterprise_number = $1 AND call_unique_id = ANY ($2) AND event_hash IS NOT NULL AND raw_data ->> 'Phone' <> ''
ORDER BY call_unique_id, id
