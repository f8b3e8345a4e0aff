-- recent_calls --
-- The latest calls that began between two moments (UTC epoch seconds, the second excluded). What is only a bridge's or
-- a colleague's channel's own stream is no call.
SELECT call_unique_id AS call, extract(epoch FROM received_timestamp)::float8 AS found_at
FROM call_events e
WHERE enterprise_number = $1 AND event_hash IS NOT NULL AND event_sequence = 1
  AND received_timestamp >= to_timestamp($2) AT TIME ZONE 'UTC'
  AND received_timestamp < to_timestamp($3) AT TIME ZONE 'UTC'
  AND (event_type IN ('start', 'dial', 'hangup') OR (
      SELECT true
      FROM call_events x
      WHERE x.enterprise_number = e.enterprise_number AND x.call_unique_id = e.call_unique_id
        AND x.event_hash IS NOT NULL AND x.event_type IN ('start', 'dial', 'hangup')
      LIMIT 1))
ORDER BY received_timestamp DESC
LIMIT $4

-- calls_by_id --
-- The call with a UniqueId, and the call that a channel of this UniqueId is a leg of.
SELECT call, extract(epoch FROM max(received_timestamp))::float8 AS found_at
FROM (
    SELECT call_unique_id AS call, received_timestamp
    FROM call_events
    WHERE enterprise_number = $1 AND call_unique_id = $2 AND event_hash IS NOT NULL
    UNION ALL
    SELECT call_unique_id, received_timestamp
    FROM call_events
    WHERE enterprise_number = $1 AND unique_id = $2 AND event_hash IS NOT NULL
) AS found
WHERE received_timestamp >= to_timestamp($3) AT TIME ZONE 'UTC'
  AND received_timestamp < to_timestamp($4) AT TIME ZONE 'UTC'
GROUP BY call
ORDER BY found_at DESC
LIMIT $5

-- calls_by_phone --
-- The latest calls with a number of which nine digits are known, given backwards; some have several events of it.
SELECT call, extract(epoch FROM max(received_timestamp))::float8 AS found_at
FROM (
    SELECT call_unique_id AS call, received_timestamp
    FROM call_events
    WHERE enterprise_number = $1 AND vochi_phone_tail(raw_data) = $2 COLLATE "C"
      AND event_hash IS NOT NULL AND event_type IN ('dial', 'hangup')
      AND received_timestamp >= to_timestamp($3) AT TIME ZONE 'UTC'
      AND received_timestamp < to_timestamp($4) AT TIME ZONE 'UTC'
    ORDER BY received_timestamp DESC
    LIMIT 8 * $5
) AS found
GROUP BY call
ORDER BY found_at DESC
LIMIT $5

-- calls_by_phone_end --
-- The latest calls whose number ends with some digits, given backwards; of more than $6 events some are not looked at.
SELECT call, extract(epoch FROM max(received_timestamp))::float8 AS found_at
FROM (
    SELECT call_unique_id AS call, received_timestamp
    FROM call_events
    WHERE enterprise_number = $1
      AND vochi_phone_tail(raw_data) >= $2 COLLATE "C" AND vochi_phone_tail(raw_data) < ($2 || ':') COLLATE "C"
      AND event_hash IS NOT NULL AND event_type IN ('dial', 'hangup')
      AND received_timestamp >= to_timestamp($3) AT TIME ZONE 'UTC'
      AND received_timestamp < to_timestamp($4) AT TIME ZONE 'UTC'
    LIMIT $6
) AS found
GROUP BY call
ORDER BY found_at DESC
LIMIT $5

-- calls_by_extension --
-- The latest calls that named an extension: the lists of extensions a company has, one after the other in the index, at
-- most $6 of them; of those with this extension the latest events.
WITH RECURSIVE lists AS (
    (
        SELECT vochi_extensions(raw_data) COLLATE "C" AS list
        FROM call_events
        WHERE enterprise_number = $1 AND event_hash IS NOT NULL AND event_type IN ('dial', 'hangup')
        ORDER BY vochi_extensions(raw_data) COLLATE "C"
        LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT vochi_extensions(e.raw_data) COLLATE "C"
        FROM call_events e
        WHERE e.enterprise_number = $1 AND e.event_hash IS NOT NULL AND e.event_type IN ('dial', 'hangup')
          AND vochi_extensions(e.raw_data) > l.list COLLATE "C"
        ORDER BY vochi_extensions(e.raw_data) COLLATE "C"
        LIMIT 1
    )
    FROM lists l
    WHERE l.list IS NOT NULL
), known AS (
    SELECT list FROM lists LIMIT $6
)
SELECT found.call, extract(epoch FROM max(found.received_timestamp))::float8 AS found_at
FROM known k
CROSS JOIN LATERAL (
    SELECT call_unique_id AS call, received_timestamp
    FROM call_events
    WHERE enterprise_number = $1 AND vochi_extensions(raw_data) = k.list COLLATE "C"
      AND event_hash IS NOT NULL AND event_type IN ('dial', 'hangup')
      AND received_timestamp >= to_timestamp($3) AT TIME ZONE 'UTC'
      AND received_timestamp < to_timestamp($4) AT TIME ZONE 'UTC'
    ORDER BY received_timestamp DESC
    LIMIT 2 * $5
) AS found
WHERE k.list LIKE '% ' || $2 || ' %'
GROUP BY found.call
ORDER BY found_at DESC
LIMIT $5

-- events_of_calls --
-- Everything the PBX said of some calls.
SELECT call_unique_id, unique_id, event_type, reason, repeats, data_source, raw_data,
       extract(epoch FROM received_timestamp)::float8 AS received_at
FROM call_events
WHERE enterprise_number = $1 AND call_unique_id = ANY ($2) AND event_hash IS NOT NULL
ORDER BY id
LIMIT $3

-- deliveries_of_calls --
-- Everything the CRMs $3 were told of some calls, or were not and why.
SELECT call_external_id, id, integration_type, kind, class, status, reason, attempts, replays, payload, response_status, response,
       extract(epoch FROM event_at)::float8 AS event_at,
       extract(epoch FROM first_attempt_at)::float8 AS first_attempt_at,
       extract(epoch FROM next_attempt_at)::float8 AS next_attempt_at,
       extract(epoch FROM finished_at)::float8 AS finished_at
FROM integration_deliveries
WHERE enterprise_number = $1 AND integration_type = ANY ($3) AND call_external_id = ANY ($2)
ORDER BY id
LIMIT $4

-- attempts_of_call --
-- The requests made for a call, the earliest first.
SELECT integration_type, event_type, request_data, response_data, status, error_message, elapsed_ms, http_status,
       extract(epoch FROM created_at)::float8 AS began_at
FROM integration_logs
WHERE enterprise_number = $1 AND call_unique_id = $2
ORDER BY id
LIMIT $3

-- recent_starts --
-- How late the first events of the latest incoming calls were by the second in their UniqueId, in seconds.
SELECT call_unique_id AS call, event_type, unique_id, extract(epoch FROM received_timestamp)::float8 AS received_at
FROM call_events
WHERE enterprise_number = $1 AND event_hash IS NOT NULL AND event_sequence = 1
ORDER BY received_timestamp DESC
LIMIT $2

-- clicks_of_call --
-- The clicks on a number in the CRM that a call came of, or the manager's half of one.
SELECT source, code, phone, state, reason, message, pbx_ms, extract(epoch FROM clicked_at)::float8 AS clicked_at
FROM click_calls
WHERE enterprise_number = $1 AND (call_unique_id = $2 OR manager_unique_id = $2)
ORDER BY id
LIMIT $3
