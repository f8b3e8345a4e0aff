-- release_clicks --
-- Let a click of the same manager on the same number be a call again: the last was long enough ago.
UPDATE click_calls
SET guarding = false
WHERE enterprise_number = $1 AND code = $2 AND phone = $3 AND guarding
  AND clicked_at < now() - make_interval(secs => $4)

-- begin_click --
-- Note a click; no row comes back when another of the same manager on the same number is guarding.
INSERT INTO click_calls (
    enterprise_number, code, phone, source, crm_user, external_phone, followed_until, since_event
)
VALUES (
    $1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7), (SELECT coalesce(max(id), 0) FROM call_events)
)
ON CONFLICT (enterprise_number, code, phone) WHERE guarding DO NOTHING
RETURNING id, since_event

-- guarding_click --
-- The click that guards: what has become of it.
SELECT state, reason, message
FROM click_calls
WHERE enterprise_number = $1 AND code = $2 AND phone = $3
ORDER BY id DESC
LIMIT 1

-- settle_clicks --
-- News of clicks. A failed one guards no more, so that the next click may try again.
UPDATE click_calls c
SET state = n.state,
    reason = n.reason,
    message = n.message,
    pbx_ms = coalesce(n.pbx_ms, c.pbx_ms),
    manager_unique_id = coalesce(n.manager_unique_id, c.manager_unique_id),
    call_unique_id = coalesce(n.call_unique_id, c.call_unique_id),
    guarding = c.guarding AND n.state <> 'failed',
    finished_at = CASE WHEN n.finished THEN coalesce(c.finished_at, now()) END
FROM jsonb_to_recordset($1::jsonb) AS n (
    id bigint, state text, reason text, message text, pbx_ms real, manager_unique_id text, call_unique_id text,
    finished boolean
)
WHERE c.id = n.id AND c.finished_at IS NULL

-- renew_clicks --
-- Keep following these clicks.
UPDATE click_calls SET followed_until = now() + make_interval(secs => $2) WHERE id = ANY ($1::bigint[])

-- adopt_clicks --
-- Take over clicks whose daemon does not follow them any more.
UPDATE click_calls
SET followed_until = now() + make_interval(secs => $1)
WHERE id IN (
    SELECT id FROM click_calls
    WHERE finished_at IS NULL AND followed_until < now()
    ORDER BY followed_until
    LIMIT 100
    FOR UPDATE SKIP LOCKED
)
RETURNING id, enterprise_number, source, code, phone, since_event, state, manager_unique_id, call_unique_id,
          extract(epoch FROM now() - clicked_at)::float8 AS age

-- events_since --
-- What PBXs of some enterprises said after an event: what a followed click can be told by.
SELECT id, enterprise_number, unique_id, event_type, raw_data
FROM call_events
WHERE id > $1 AND enterprise_number = ANY ($2::text[]) AND event_type IN ('dial', 'bridge', 'hangup')
ORDER BY id
LIMIT 10000

-- forget_clicks --
-- Of the $2 rows after id $1: delete the clicks older than $3 seconds.
WITH stretch AS MATERIALIZED (
    SELECT id, clicked_at < now() - make_interval(secs => $3) AS of_age
    FROM click_calls
    WHERE id > $1
    ORDER BY id
    LIMIT $2
), deleted AS (
    DELETE FROM click_calls c USING stretch s WHERE c.id = s.id AND s.of_age RETURNING c.id
)
SELECT max(id)::bigint AS last_id, count(*) AS ours, count(*) FILTER (WHERE of_age) AS of_age,
       (SELECT count(*) FROM deleted) AS deleted
FROM stretch
