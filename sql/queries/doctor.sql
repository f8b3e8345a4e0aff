-- about_server --
-- Which PostgreSQL answers, and what its clock says (UTC epoch seconds).
SELECT current_setting('server_version') AS version, extract(epoch FROM clock_timestamp())::float8 AS now

-- latest_call --
-- When the latest call of an enterprise in $2 days began; UTC epoch seconds.
SELECT extract(epoch FROM received_timestamp)::float8 AS received_at
FROM call_events
WHERE enterprise_number = $1 AND event_hash IS NOT NULL AND event_sequence = 1 AND event_type IN ('start', 'dial')
  AND received_timestamp > (now() AT TIME ZONE 'UTC') - make_interval(days => $2::int)
ORDER BY received_timestamp DESC
LIMIT 1

-- lost_popups --
-- The extensions whose pop-ups were lost in $2 days because nobody in the CRM has them, and how many each.
SELECT code, count(*)::int AS lost
FROM integration_deliveries d
CROSS JOIN LATERAL jsonb_array_elements_text(CASE jsonb_typeof(payload -> 'codes') WHEN 'array' THEN payload -> 'codes' ELSE '[]' END) AS code
WHERE d.enterprise_number = $1 AND d.status = 'skipped' AND d.reason = 'no_mapping'
  AND d.event_at > now() - make_interval(days => $2::int)
GROUP BY code
ORDER BY lost DESC, code
LIMIT 20

-- deliveries_for_support --
-- The latest deliveries, of one enterprise or of all when $1 is null.
SELECT id, enterprise_number, integration_type, call_external_id, kind, class, status, reason, attempts, replays, payload,
       extract(epoch FROM event_at)::float8 AS event_at, extract(epoch FROM finished_at)::float8 AS finished_at,
       response_status, response
FROM integration_deliveries
WHERE $1::text IS NULL OR enterprise_number = $1
ORDER BY id DESC
LIMIT $2

-- latest_logs --
-- The latest attempts at CRMs, of one enterprise or of all when $1 is null.
SELECT id, extract(epoch FROM created_at)::float8 AS created_at, enterprise_number, integration_type, event_type,
       request_data, response_data, status, error_message, call_unique_id
FROM integration_logs
WHERE $1::text IS NULL OR enterprise_number = $1
ORDER BY id DESC
LIMIT $2

-- latest_call_events --
-- The latest events of hosts, of one enterprise or of all when $1 is null.
SELECT id, enterprise_number, unique_id, call_unique_id, event_type, event_sequence, reason, repeats, data_source, raw_data,
       extract(epoch FROM received_timestamp)::float8 AS received_at
FROM call_events
WHERE event_hash IS NOT NULL AND ($1::text IS NULL OR enterprise_number = $1)
ORDER BY id DESC
LIMIT $2

-- configs --
-- Stored configurations, of one enterprise or of all when $1 is null.
SELECT number, active, ip, integrations_config FROM enterprises WHERE $1::text IS NULL OR number = $1 ORDER BY number

-- older_index --
-- The unique index of an older service that lets a call have one event of a kind only; its name, if it is there.
SELECT i.indexrelid::regclass::text AS name
FROM pg_index i
WHERE i.indrelid = to_regclass('call_events') AND i.indisunique AND i.indpred IS NULL
  AND (SELECT array_agg(a.attname::text ORDER BY a.attname)
       FROM pg_attribute a
       WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)) = ARRAY['event_type', 'unique_id']
