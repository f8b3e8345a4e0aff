-- find_calls --
-- The latest calls of an enterprise by UniqueId, by the end of a phone, by extension; all of them for "".
SELECT call_unique_id, max(id) AS last_id
FROM call_events
WHERE enterprise_number = $1
  AND event_hash IS NOT NULL
  AND ($2 = '' OR call_unique_id = $2 OR unique_id = $2
       OR (length($3) >= 6 AND raw_data ->> 'Phone' LIKE '%' || $3)
       OR (length($3) BETWEEN 2 AND 5 AND raw_data -> 'Extensions' ? $3))
GROUP BY call_unique_id
ORDER BY last_id DESC
LIMIT $4

-- events_of_calls --
-- Everything the PBX said of some calls.
SELECT call_unique_id, unique_id, event_type, reason, repeats, data_source, raw_data,
       extract(epoch FROM received_timestamp)::float8 AS received_at
FROM call_events
WHERE enterprise_number = $1 AND call_unique_id = ANY ($2) AND event_hash IS NOT NULL
ORDER BY id

-- deliveries_of_calls --
-- Everything a CRM was told of some calls, or was not and why.
SELECT call_external_id, id, integration_type, kind, class, status, reason, attempts, replays, payload, response_status, response,
       extract(epoch FROM event_at)::float8 AS event_at,
       extract(epoch FROM first_attempt_at)::float8 AS first_attempt_at,
       extract(epoch FROM next_attempt_at)::float8 AS next_attempt_at,
       extract(epoch FROM finished_at)::float8 AS finished_at
FROM integration_deliveries
WHERE enterprise_number = $1 AND call_external_id = ANY ($2)
ORDER BY id
