-- note_hosts --
-- Add what hosts have sent since it was last noted: $1 enterprises, $2 events, $3 the latest one (UTC epoch seconds).
INSERT INTO host_hours AS h (hour, enterprise_number, events, last_at)
SELECT date_trunc('hour', to_timestamp(last_at), 'UTC'), number, events, to_timestamp(last_at)
FROM unnest($1::text[], $2::int[], $3::float8[]) AS n (number, events, last_at)
ON CONFLICT (hour, enterprise_number) DO UPDATE
SET events = h.events + excluded.events, last_at = greatest(h.last_at, excluded.last_at)

-- usual_hours --
-- What hosts usually send in each of the $1 hours up to now: the median of the same hours of the week in the $2 weeks
-- before. Only hosts known for three weeks and longer have a usual hour; an hour without events counts as 0.
WITH hours AS (
    SELECT ago, date_trunc('hour', now(), 'UTC') - make_interval(hours => ago) AS hour
    FROM generate_series(0, $1::int - 1) AS ago
), weeks AS (
    SELECT week FROM generate_series(1, $2::int) AS week
), known AS (
    SELECT enterprise_number, least($2::int, floor(extract(epoch FROM now() - min(hour)) / 604800)::int) AS weeks
    FROM host_hours
    WHERE hour > now() - make_interval(weeks => $2::int + 1)
    GROUP BY enterprise_number
), counted AS (
    SELECT k.enterprise_number, h.ago, k.weeks, e.events
    FROM hours h
    CROSS JOIN weeks w
    JOIN host_hours e ON e.hour = h.hour - make_interval(weeks => w.week)
    JOIN known k ON k.enterprise_number = e.enterprise_number AND w.week <= k.weeks
    WHERE k.weeks >= 3
)
SELECT enterprise_number, ago,
       (array_agg(events ORDER BY events DESC) || array_fill(0, ARRAY[greatest(0, max(weeks) - count(*)::int)]))
           [max(weeks) / 2 + 1] AS usual
FROM counted
GROUP BY enterprise_number, ago

-- last_heard --
-- When each host was last heard, among those heard in the latest $1 hours (UTC epoch seconds).
SELECT enterprise_number, extract(epoch FROM max(last_at))::float8 AS last_at
FROM host_hours
WHERE hour > now() - make_interval(hours => $1::int)
GROUP BY enterprise_number

-- forget_hours --
-- Hours older than any comparison looks at.
DELETE FROM host_hours WHERE hour < now() - make_interval(weeks => $1::int)

-- backlog --
-- What waits in the table, and how late the latest of it is that nobody should still be waiting for.
SELECT count(*)::int AS waiting,
       coalesce(extract(epoch FROM now() - min(next_attempt_at) FILTER (WHERE status = 'pending')), 0)::float8 AS overdue
FROM integration_deliveries
WHERE status IN ('pending', 'sending')

-- failed_records --
-- How many call records of each enterprise came to nothing in the latest $1 seconds; none are tried for $2 seconds more.
SELECT enterprise_number, count(*)::int AS failed
FROM integration_deliveries
WHERE status = 'failed' AND class = 'history'
  AND event_at > now() - make_interval(secs => $1::float8 + $2::float8)
  AND finished_at > now() - make_interval(secs => $1::float8)
GROUP BY enterprise_number

-- fire_alert --
-- Note that an alert fires; a row only for the daemon that is the first to see it.
INSERT INTO alert_states (rule, enterprise_number, integration_type, seen_by, text)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
RETURNING rule

-- end_alert --
-- Note that an alert is over; a row only for the daemon that is the first to see it, none while a daemon other than $4
-- has seen in the latest $5 seconds that it is not.
DELETE FROM alert_states
WHERE rule = $1 AND enterprise_number = $2 AND integration_type = $3
  AND (seen_by IN ('', $4) OR seen_at < now() - make_interval(secs => $5))
RETURNING rule

-- see_alert --
-- Note that the daemon $2 sees the alert $1 of some enterprises $3 and CRMs $4.
UPDATE alert_states a
SET seen_by = $2, seen_at = now()
FROM unnest($3::text[], $4::text[]) AS s (enterprise_number, integration_type)
WHERE a.rule = $1 AND a.enterprise_number = s.enterprise_number AND a.integration_type = s.integration_type

-- alerts --
-- The alerts that fire, as of the latest look of any daemon.
SELECT rule, enterprise_number, integration_type, text, extract(epoch FROM since)::float8 AS since FROM alert_states

-- bot_of_enterprise --
-- The Telegram bot and chat of an enterprise.
SELECT bot_token, chat_id FROM enterprises WHERE number = $1 AND bot_token <> '' AND chat_id <> ''
