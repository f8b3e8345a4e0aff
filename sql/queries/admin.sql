-- keep_secret --
-- Keep a secret of the daemons unless they have one of this name.
INSERT INTO daemon_secrets (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING

-- read_secret --
-- A secret that all daemons share.
SELECT value FROM daemon_secrets WHERE name = $1

-- provider_sessions --
-- Who the provider's cookie belongs to: a person's session, or one of the super-admin, which lasts 24 hours.
SELECT e.number AS enterprise_number,
    concat_ws(' ', nullif(trim(u.first_name), ''), nullif(trim(u.last_name), '')) AS name,
    coalesce(u.is_admin, false) AND u.enterprise_number = e.number AS allowed,
    'session_token' AS source
FROM user_sessions s
JOIN users u ON u.id = s.user_id
JOIN enterprises e ON e.number = coalesce(s.enterprise_number, u.enterprise_number)
WHERE s.session_token = $1 AND vochi_moment(s.expires_at) > now()
UNION ALL
SELECT e.number, '', true, 'super_admin'
FROM sessions s
JOIN enterprises e ON e.number = s.enterprise_number
WHERE s.session_token = $1 AND vochi_moment(s.created_at) > now() - interval '24 hours'

-- admin_sessions_of --
-- Sessions by the hashes of their cookies, seen within $2 seconds; `config` says whether they are still good.
SELECT s.id, s.enterprise_number, s.source, s.token_id,
    s.seen_at < now() - make_interval(secs => $3) AS to_touch,
    CASE s.source WHEN 'retailcrm' THEN e.integrations_config END AS config,
    EXISTS (SELECT FROM admin_links l WHERE l.id = s.token_id AND l.enterprise_number = e.number) AS link_stands
FROM admin_sessions s
JOIN enterprises e ON e.number = s.enterprise_number
WHERE s.id = ANY ($1::bytea[]) AND s.expires_at > now() AND s.seen_at > now() - make_interval(secs => $2)
ORDER BY s.seen_at DESC

-- touch_admin_session --
-- Note that a session is in use.
UPDATE admin_sessions SET seen_at = now() WHERE id = $1

-- token_target --
-- What a link's token must agree with: the integration's token id, or an unexpired link of the command line.
SELECT e.integrations_config AS config,
    EXISTS (
        SELECT FROM admin_links l WHERE l.id = $2 AND l.enterprise_number = e.number AND l.expires_at > now()
    ) AS link_stands
FROM enterprises e
WHERE e.number = $1

-- add_admin_session --
-- Begin a session of $5 seconds; sessions that are over go, and links that nobody can use or has used.
WITH over AS (
    DELETE FROM admin_sessions WHERE expires_at < now()
), unused AS (
    DELETE FROM admin_links l
    WHERE l.expires_at < now()
      AND NOT EXISTS (SELECT FROM admin_sessions s WHERE s.token_id = l.id AND s.expires_at > now())
)
INSERT INTO admin_sessions (id, enterprise_number, source, token_id, expires_at, address, agent)
VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5), $6, $7)

-- end_admin_sessions --
-- End sessions of an enterprise by their ids, all of them when $2 is null.
DELETE FROM admin_sessions WHERE enterprise_number = $1 AND ($2::bytea[] IS NULL OR id = ANY ($2)) RETURNING id

-- keep_admin_session --
-- Let the session that registers the integration anew outlive the token it was made with.
UPDATE admin_sessions SET token_id = $2 WHERE id = $1 AND source = 'retailcrm'

-- list_admin_sessions --
-- The sessions of an enterprise that are in use, the latest first.
SELECT id, source, address, agent, created_at, seen_at, expires_at
FROM admin_sessions
WHERE enterprise_number = $1 AND expires_at > now() AND seen_at > now() - make_interval(secs => $2)
ORDER BY seen_at DESC
LIMIT 50

-- add_admin_link --
-- Let a link sign in for $3 seconds; nothing when there is no such enterprise.
INSERT INTO admin_links (id, enterprise_number, expires_at)
SELECT $1, number, now() + make_interval(secs => $3)
FROM enterprises
WHERE number = $2
RETURNING id

-- revoke_admin_links --
-- Take back the links of an enterprise but the one that session $2 was made with; their sessions die with them.
DELETE FROM admin_links
WHERE enterprise_number = $1 AND id NOT IN (SELECT token_id FROM admin_sessions WHERE id = $2)
RETURNING id
