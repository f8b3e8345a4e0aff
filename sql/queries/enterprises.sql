-- load_enterprises --
-- Enterprises by number, all of them when $1 is null.
SELECT number, name, name2, secret, ip, coalesce(active, true) AS active, integrations_config
FROM enterprises
WHERE $1::text[] IS NULL OR number = ANY ($1)

-- load_extensions --
-- The internal numbers of enterprises, each with the person it belongs to.
SELECT p.enterprise_number, p.id, p.phone_number, u.personal_phone, u.follow_me_number
FROM unnest($1::text[]) AS n (number)
JOIN user_internal_phones p ON p.enterprise_number = n.number
LEFT JOIN users u ON u.id = p.user_id
WHERE p.phone_number IS NOT NULL
ORDER BY p.id

-- load_mobiles --
-- The own numbers of people who have no internal number.
SELECT u.enterprise_number, u.personal_phone, u.follow_me_number
FROM unnest($1::text[]) AS n (number)
JOIN users u ON u.enterprise_number = n.number
WHERE (u.personal_phone IS NOT NULL OR u.follow_me_number IS NOT NULL)
  AND NOT EXISTS (SELECT FROM user_internal_phones p WHERE p.user_id = u.id)

-- load_lines --
-- The trunks of enterprises: GSM lines with their number, SIP lines with their rule for incoming numbers.
SELECT enterprise_number, line_id AS trunk, phone_number, NULL AS incoming_transform, line_name AS name, false AS is_sip
FROM unnest($1::text[]) AS n (number)
JOIN gsm_lines ON enterprise_number = number
WHERE line_id IS NOT NULL
UNION ALL
SELECT enterprise_number, line_name, NULL, incoming_transform, line_name, true
FROM unnest($1::text[]) AS n (number)
JOIN sip_unit ON enterprise_number = number
WHERE line_name IS NOT NULL

-- load_shops --
-- The shops that the trunks of enterprises belong to; of several the one that came first.
SELECT g.enterprise_number, g.line_id AS trunk, s.name, s.id
FROM unnest($1::text[]) AS n (number)
JOIN gsm_lines g ON g.enterprise_number = n.number
JOIN shop_lines l ON l.gsm_line_id = g.id
JOIN shops s ON s.id = l.shop_id
WHERE g.line_id IS NOT NULL
UNION ALL
SELECT u.enterprise_number, u.line_name, s.name, s.id
FROM unnest($1::text[]) AS n (number)
JOIN sip_unit u ON u.enterprise_number = n.number
JOIN shop_sip_lines l ON l.sip_line_id = u.id
JOIN shops s ON s.id = l.shop_id
WHERE u.line_name IS NOT NULL
ORDER BY id

-- other_with_token --
-- Another enterprise whose PBX sends this token.
SELECT number FROM enterprises WHERE number <> $1 AND trim(name2) = $2 ORDER BY number LIMIT 1

-- add_enterprise --
-- Create an enterprise, or set the given values of one that exists.
INSERT INTO enterprises (number, name, name2, secret, ip, active)
VALUES ($1, coalesce($2, $1), $3, $4, $5, true)
ON CONFLICT (number) DO UPDATE SET
    name = coalesce($2, enterprises.name),
    name2 = coalesce(excluded.name2, enterprises.name2),
    secret = coalesce(excluded.secret, enterprises.secret),
    ip = coalesce(excluded.ip, enterprises.ip)
RETURNING (xmax = 0) AS created

-- add_extensions --
-- The internal numbers an enterprise does not have yet.
INSERT INTO user_internal_phones (phone_number, enterprise_number)
SELECT DISTINCT x.number, $1
FROM unnest($2::text[]) AS x (number)
WHERE NOT EXISTS (
    SELECT FROM user_internal_phones p WHERE p.enterprise_number = $1 AND p.phone_number = x.number
)
