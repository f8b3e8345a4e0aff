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

-- phone_tails --
-- The numbers of a company's calls that end with some digits, one after the other in the index, at most $3 of them. All
-- of them backwards, as the index has them.
WITH RECURSIVE tails AS (
    (
        SELECT vochi_phone_tail(raw_data) COLLATE "C" AS tail
        FROM call_events
        WHERE enterprise_number = $1 AND event_hash IS NOT NULL AND event_type IN ('dial', 'hangup')
          AND vochi_phone_tail(raw_data) >= $2 COLLATE "C"
        ORDER BY vochi_phone_tail(raw_data) COLLATE "C"
        LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT vochi_phone_tail(e.raw_data) COLLATE "C"
        FROM call_events e
        WHERE e.enterprise_number = $1 AND e.event_hash IS NOT NULL AND e.event_type IN ('dial', 'hangup')
          AND vochi_phone_tail(e.raw_data) > t.tail COLLATE "C"
        ORDER BY vochi_phone_tail(e.raw_data) COLLATE "C"
        LIMIT 1
    )
    FROM tails t
    WHERE t.tail < ($2 || ':') COLLATE "C"
)
SELECT tail FROM tails WHERE tail < ($2 || ':') COLLATE "C" LIMIT $3

-- calls_by_phones --
-- The latest calls with one of some numbers, given backwards; some calls have several events of it.
SELECT found.call, extract(epoch FROM max(found.received_timestamp))::float8 AS found_at
FROM unnest($2::text[]) AS tail
CROSS JOIN LATERAL (
    SELECT call_unique_id AS call, received_timestamp
    FROM call_events
    WHERE enterprise_number = $1 AND vochi_phone_tail(raw_data) = tail COLLATE "C"
      AND event_hash IS NOT NULL AND event_type IN ('dial', 'hangup')
      AND received_timestamp >= to_timestamp($3) AT TIME ZONE 'UTC'
      AND received_timestamp < to_timestamp($4) AT TIME ZONE 'UTC'
    ORDER BY received_timestamp DESC
    LIMIT 8 * $5
) AS found
GROUP BY found.call
ORDER BY found_at DESC
LIMIT $5

-- live_calls_by_phone --
-- The calls under way whose number ends with some digits, given backwards: one that rings nobody yet has no event that
-- is in the index.
SELECT e.call_unique_id AS call, extract(epoch FROM max(e.received_timestamp))::float8 AS found_at
FROM open_calls o
JOIN call_events e
  ON e.enterprise_number = o.enterprise_number AND e.call_unique_id = o.unique_id AND e.event_hash IS NOT NULL
WHERE o.enterprise_number = $1 AND e.event_type = 'start' AND starts_with(vochi_phone_tail(e.raw_data), $2)
  AND e.received_timestamp >= to_timestamp($3) AT TIME ZONE 'UTC'
  AND e.received_timestamp < to_timestamp($4) AT TIME ZONE 'UTC'
GROUP BY e.call_unique_id
ORDER BY found_at DESC
LIMIT $5

-- extension_lists --
-- The lists of extensions that a company's calls named, one after the other in the index, at most $2 of them.
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
)
SELECT list FROM lists WHERE list IS NOT NULL LIMIT $2

-- calls_by_extensions --
-- The latest calls that named exactly one of some lists of extensions.
SELECT found.call, extract(epoch FROM max(found.received_timestamp))::float8 AS found_at
FROM unnest($2::text[]) AS list
CROSS JOIN LATERAL (
    SELECT call_unique_id AS call, received_timestamp
    FROM call_events
    WHERE enterprise_number = $1 AND vochi_extensions(raw_data) = list COLLATE "C"
      AND event_hash IS NOT NULL AND event_type IN ('dial', 'hangup')
      AND received_timestamp >= to_timestamp($3) AT TIME ZONE 'UTC'
      AND received_timestamp < to_timestamp($4) AT TIME ZONE 'UTC'
    ORDER BY received_timestamp DESC
    LIMIT 2 * $5
) AS found
GROUP BY found.call
ORDER BY found_at DESC
LIMIT $5

-- calls_lately --
-- Of the latest $5 calls those with a number that ends with the digits $6, given backwards, or with the extension $7;
-- "" for neither. For companies with more numbers or lists than can be looked through.
SELECT begun.call, extract(epoch FROM max(e.received_timestamp))::float8 AS found_at
FROM (
    SELECT call_unique_id AS call
    FROM call_events
    WHERE enterprise_number = $1 AND event_hash IS NOT NULL AND event_sequence = 1
      AND received_timestamp >= to_timestamp($2) AT TIME ZONE 'UTC'
      AND received_timestamp < to_timestamp($3) AT TIME ZONE 'UTC'
    ORDER BY received_timestamp DESC
    LIMIT $5
) AS begun
CROSS JOIN LATERAL (
    SELECT received_timestamp
    FROM call_events
    WHERE enterprise_number = $1 AND call_unique_id = begun.call AND event_hash IS NOT NULL
      AND event_type IN ('dial', 'hangup')
      AND ($6 <> '' AND starts_with(vochi_phone_tail(raw_data), $6)
           OR $7 <> '' AND strpos(vochi_extensions(raw_data), ' ' || $7 || ' ') > 0)
      AND received_timestamp < to_timestamp($3) AT TIME ZONE 'UTC'
    ORDER BY event_sequence DESC
    LIMIT 1
) AS e
GROUP BY begun.call
ORDER BY found_at DESC
LIMIT $4

-- clicks_without_call --
-- The latest clicks on a number in the CRM that led to no call: of a number that ends with the digits $5, of an
-- extension $6; "" for both chooses all.
SELECT source, code, phone, state, reason, message, pbx_ms, extract(epoch FROM clicked_at)::float8 AS clicked_at
FROM click_calls
WHERE enterprise_number = $1 AND call_unique_id IS NULL
  AND clicked_at >= to_timestamp($2) AND clicked_at < to_timestamp($3)
  AND ($5 = '' AND $6 = '' OR $6 <> '' AND code = $6
       OR $5 <> '' AND starts_with(reverse(translate(phone, '+ -()', '')), $5))
ORDER BY clicked_at DESC
LIMIT $4

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
-- The first events of the latest $2 calls before a moment (UTC epoch seconds): how late those of incoming ones came by
-- the second in their UniqueId.
SELECT event_type, unique_id, extract(epoch FROM received_timestamp)::float8 AS received_at
FROM call_events
WHERE enterprise_number = $1 AND event_hash IS NOT NULL AND event_sequence = 1
  AND received_timestamp < to_timestamp($3) AT TIME ZONE 'UTC'
ORDER BY received_timestamp DESC
LIMIT $2

-- clicks_of_call --
-- The clicks on a number in the CRM that a call came of, or the manager's half of one.
SELECT source, code, phone, state, reason, message, pbx_ms, extract(epoch FROM clicked_at)::float8 AS clicked_at
FROM click_calls
WHERE enterprise_number = $1 AND (call_unique_id = $2 OR manager_unique_id = $2)
ORDER BY id
LIMIT $3
