-- requests_over_time --
-- An enterprise's requests $5 to the CRMs $4 in stretches of $2 seconds, the last $3 seconds: how many, how many failed,
-- how long the CRM took (milliseconds).
SELECT (floor(extract(epoch FROM created_at) / $2::float8) * $2::float8)::float8 AS since,
       count(*)::int AS requests,
       count(*) FILTER (WHERE status = 'error')::int AS errors,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY elapsed_ms)::float8 AS median,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY elapsed_ms)::float8 AS slow
FROM integration_logs
WHERE enterprise_number = $1 AND call_unique_id IS NOT NULL AND created_at > now() - make_interval(secs => $3::float8)
  AND integration_type = ANY ($4::text[]) AND event_type = ANY ($5::text[])
GROUP BY since
ORDER BY since

-- latest_requests --
-- The latest request $4 of an enterprise to the CRMs $3 that succeeded and the latest that failed, of the last $2 seconds.
SELECT l.status, l.error_message, l.http_status, l.call_unique_id, extract(epoch FROM l.created_at)::float8 AS at
FROM unnest(ARRAY['success', 'error']) AS wanted
CROSS JOIN LATERAL (
    SELECT *
    FROM integration_logs
    WHERE enterprise_number = $1 AND status = wanted AND call_unique_id IS NOT NULL
      AND created_at > now() - make_interval(secs => $2::float8)
      AND integration_type = ANY ($3::text[]) AND event_type = ANY ($4::text[])
    ORDER BY created_at DESC
    LIMIT 1
) AS l

-- deliveries_over_time --
-- What became of what CRMs $4 were to be told of an enterprise's calls, in stretches of $2 seconds by when the calls
-- began, the last $3 seconds. A call's deliveries are found by the call: no index has them by time.
SELECT (floor(extract(epoch FROM e.received_timestamp) / $2::float8) * $2::float8)::float8 AS since,
       d.kind, d.status, d.reason, d.attempts, sum(d.deliveries)::int AS deliveries
FROM call_events e
CROSS JOIN LATERAL (
    SELECT kind, status, reason, least(attempts, 1) AS attempts, count(*) AS deliveries
    FROM integration_deliveries
    WHERE enterprise_number = $1 AND integration_type = ANY ($4::text[]) AND call_external_id = e.call_unique_id
    GROUP BY kind, status, reason, least(attempts, 1)
) AS d
WHERE e.enterprise_number = $1 AND e.event_hash IS NOT NULL AND e.event_sequence = 1
  AND e.received_timestamp > (now() AT TIME ZONE 'UTC') - make_interval(secs => $3::float8)
GROUP BY since, d.kind, d.status, d.reason, d.attempts
ORDER BY since

-- popup_times --
-- How long the pop-ups of the calls of an enterprise's latest $3 requests took from the event to the CRM's yes, in
-- milliseconds, and how long until their first request.
SELECT count(*)::int AS popups,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY took)::float8 AS median,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY took)::float8 AS slow,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY ours)::float8 AS ours_median,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY ours)::float8 AS ours_slow
FROM (
    SELECT extract(epoch FROM d.finished_at - d.event_at)::float8 * 1000 AS took,
           extract(epoch FROM d.first_attempt_at - d.event_at)::float8 * 1000 AS ours
    FROM (
        SELECT DISTINCT integration_type, call_unique_id
        FROM (
            SELECT integration_type, call_unique_id
            FROM integration_logs
            WHERE enterprise_number = $1 AND created_at > now() - make_interval(secs => $2::float8)
              AND event_type IN ('call_event:in', 'call_event:out') AND status = 'success' AND call_unique_id IS NOT NULL
            ORDER BY created_at DESC
            LIMIT $3
        ) AS latest
    ) AS l
    JOIN integration_deliveries d
      ON d.enterprise_number = $1 AND d.integration_type = l.integration_type
      AND d.call_external_id = l.call_unique_id AND d.kind = 'popup'
    WHERE d.status = 'done' AND d.replays = 0
) AS shown

-- queue_of_enterprise --
-- What of an enterprise waits for the CRMs $2: how many pop-ups and records, and since when the oldest (UTC epoch
-- seconds); and how many records failed in the last $3 seconds.
SELECT count(*) FILTER (WHERE class = 'realtime')::int AS popups,
       count(*) FILTER (WHERE class = 'history')::int AS records,
       extract(epoch FROM min(event_at))::float8 AS since,
       (SELECT count(*)::int
        FROM integration_deliveries f
        WHERE f.enterprise_number = $1 AND f.status = 'failed' AND f.class = 'history'
          AND f.event_at > now() - make_interval(secs => $3::float8)) AS failed
FROM integration_deliveries
WHERE enterprise_number = $1 AND integration_type = ANY ($2) AND status IN ('pending', 'sending')

-- unmapped_extensions --
-- Extensions that nobody has in the CRM, with the pop-ups they lost in the last $2 seconds, the most first.
SELECT code AS extension, count(*)::int AS lost, extract(epoch FROM max(event_at))::float8 AS at
FROM integration_deliveries
CROSS JOIN LATERAL jsonb_array_elements_text(payload -> 'codes') AS code
WHERE enterprise_number = $1 AND status = 'skipped' AND reason = 'no_mapping'
  AND event_at > now() - make_interval(secs => $2::float8) AND jsonb_typeof(payload -> 'codes') = 'array'
GROUP BY code
ORDER BY lost DESC, code
LIMIT $3

-- calls_begun --
-- How many calls of an enterprise began in the last $2 seconds, how many of those are known by a hangup alone, and how
-- many go on.
SELECT count(*) FILTER (WHERE event_type IN ('start', 'dial', 'hangup'))::int AS calls,
       count(*) FILTER (WHERE event_type = 'hangup' AND data_source = 'live')::int AS only_hangup,
       (SELECT count(*)::int FROM open_calls o WHERE o.enterprise_number = $1) AS live
FROM call_events
WHERE enterprise_number = $1 AND event_hash IS NOT NULL AND event_sequence = 1
  AND received_timestamp > (now() AT TIME ZONE 'UTC') - make_interval(secs => $2::float8)

-- heard_of_pbx --
-- When the latest call of an enterprise began (UTC epoch seconds), how many began in the last hour, and how many in the
-- same hour of each of the four weeks before on average; null without any call then.
SELECT (SELECT extract(epoch FROM received_timestamp)::float8
        FROM call_events
        WHERE enterprise_number = $1 AND event_hash IS NOT NULL AND event_sequence = 1
        ORDER BY received_timestamp DESC
        LIMIT 1) AS last_at,
       avg(calls) FILTER (WHERE week > 0)::float8 AS usual,
       max(calls) FILTER (WHERE week = 0)::int AS lately
FROM generate_series(0, 4) AS week
CROSS JOIN LATERAL (
    SELECT count(*)::int AS calls
    FROM call_events
    WHERE enterprise_number = $1 AND event_hash IS NOT NULL AND event_sequence = 1
      AND received_timestamp > (now() AT TIME ZONE 'UTC') - make_interval(weeks => week, hours => 1)
      AND received_timestamp <= (now() AT TIME ZONE 'UTC') - make_interval(weeks => week)
) AS counted

-- failed_clicks --
-- The latest clicks on a number in the CRM that the PBX did not take, of the last $2 seconds, and how many there were.
SELECT code, phone, reason, extract(epoch FROM clicked_at)::float8 AS at, count(*) OVER ()::int AS failed
FROM click_calls
WHERE enterprise_number = $1 AND state = 'failed' AND clicked_at > now() - make_interval(secs => $2::float8)
ORDER BY clicked_at DESC
LIMIT $3
