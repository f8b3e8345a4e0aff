-- internal_phones --
-- The internal numbers of an enterprise, each with its owner's name.
SELECT p.phone_number, p.user_id, nullif(trim(concat_ws(' ', u.first_name, u.last_name)), '') AS owner
FROM (
    SELECT DISTINCT ON (trim(phone_number)) trim(phone_number) AS phone_number, user_id
    FROM user_internal_phones
    WHERE enterprise_number = $1 AND trim(phone_number) <> ''
    ORDER BY trim(phone_number), id
) AS p
LEFT JOIN users u ON u.id = p.user_id
ORDER BY length(p.phone_number), p.phone_number
