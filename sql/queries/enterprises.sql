-- load_enterprises --
-- Enterprises by number, all of them when $1 is null.
SELECT number, name, name2, secret, ip, coalesce(active, true) AS active, integrations_config
FROM enterprises
WHERE $1::text[] IS NULL OR number = ANY ($1)

-- load_extensions --
-- The internal numbers of enterprises, each with the person it belongs to.
SELECT p.enterprise_number, p.phone_number, u.personal_phone, u.follow_me_number
FROM user_internal_phones p
LEFT JOIN users u ON u.id = p.user_id
WHERE p.enterprise_number = ANY ($1) AND p.phone_number IS NOT NULL
ORDER BY p.id

-- load_mobiles --
-- The own numbers of people who have no internal number.
SELECT u.enterprise_number, u.personal_phone, u.follow_me_number
FROM users u
WHERE u.enterprise_number = ANY ($1)
  AND (u.personal_phone IS NOT NULL OR u.follow_me_number IS NOT NULL)
  AND NOT EXISTS (SELECT FROM user_internal_phones p WHERE p.user_id = u.id)

-- load_lines --
-- The trunks of enterprises: GSM lines with their number, SIP lines with their rule for incoming numbers.
SELECT enterprise_number, line_id AS trunk, phone_number, NULL AS incoming_transform
FROM gsm_lines
WHERE enterprise_number = ANY ($1) AND line_id IS NOT NULL
UNION ALL
SELECT enterprise_number, line_name, NULL, incoming_transform
FROM sip_unit
WHERE enterprise_number = ANY ($1) AND line_name IS NOT NULL

-- add_enterprise --
-- Create an enterprise, or set the given values of one that exists.
INSERT INTO enterprises (number, name, name2, secret, ip, active)
VALUES ($1, $2, $3, $4, $5, true)
ON CONFLICT (number) DO UPDATE SET
    name = coalesce(excluded.name, enterprises.name),
    name2 = coalesce(excluded.name2, enterprises.name2),
    secret = coalesce(excluded.secret, enterprises.secret),
    ip = coalesce(excluded.ip, enterprises.ip)
RETURNING (xmax = 0) AS created
