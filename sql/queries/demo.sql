-- add_demo_company --
-- The demo's company: managers with their extensions, lines, a CRM switched on.
WITH company AS (
    INSERT INTO enterprises (number, name, name2, secret, ip, active, integrations_config)
    VALUES ($1, $2, $3, $4, '127.0.0.1', true, $5)
    RETURNING number
), lines AS (
    INSERT INTO gsm_lines (enterprise_number, line_id, phone_number)
    SELECT number, line_id, phone_number
    FROM company, unnest($6::text[], $7::text[]) AS l (line_id, phone_number)
), people AS (
    INSERT INTO users (id, enterprise_number, first_name, last_name)
    SELECT id, number, first_name, last_name
    FROM company, unnest($8::int[], $10::text[], $11::text[]) AS p (id, first_name, last_name)
    RETURNING id
)
INSERT INTO user_internal_phones (user_id, phone_number, enterprise_number)
SELECT id, extension, number
FROM company, people
JOIN unnest($8::int[], $9::text[]) AS e (user_id, extension) ON e.user_id = people.id
