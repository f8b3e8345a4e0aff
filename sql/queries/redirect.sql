-- last_talks_of_number --
-- The events of the latest $3 calls in which somebody talked with a number, given by its last nine digits.
SELECT e.call_unique_id, e.unique_id, e.event_type, e.raw_data, e.event_hash, e.data_source, e.record_url,
       extract(epoch FROM e.received_timestamp)::float8 AS received_at
FROM (
    SELECT DISTINCT call_unique_id
    FROM (
        SELECT call_unique_id
        FROM call_events
        WHERE enterprise_number = $1 AND right(ltrim(raw_data ->> 'Phone', '+'), 9) = $2
          AND event_type = 'hangup' AND event_hash IS NOT NULL
          AND (raw_data ->> 'CallStatus' = '2' OR raw_data ->> 'CallType' = '2')
        ORDER BY id DESC
        LIMIT $3
    ) AS talks
) AS c
JOIN call_events e ON e.enterprise_number = $1 AND e.call_unique_id = c.call_unique_id
WHERE e.event_hash IS NOT NULL
ORDER BY e.id, e.event_sequence

-- first_talks_of_number --
-- The same of the earliest calls.
SELECT e.call_unique_id, e.unique_id, e.event_type, e.raw_data, e.event_hash, e.data_source, e.record_url,
       extract(epoch FROM e.received_timestamp)::float8 AS received_at
FROM (
    SELECT DISTINCT call_unique_id
    FROM (
        SELECT call_unique_id
        FROM call_events
        WHERE enterprise_number = $1 AND right(ltrim(raw_data ->> 'Phone', '+'), 9) = $2
          AND event_type = 'hangup' AND event_hash IS NOT NULL
          AND (raw_data ->> 'CallStatus' = '2' OR raw_data ->> 'CallType' = '2')
        ORDER BY id
        LIMIT $3
    ) AS talks
) AS c
JOIN call_events e ON e.enterprise_number = $1 AND e.call_unique_id = c.call_unique_id
WHERE e.event_hash IS NOT NULL
ORDER BY e.id, e.event_sequence
