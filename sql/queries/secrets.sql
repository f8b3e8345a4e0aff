-- stored_secrets --
-- The API keys of the integrations $1, as they are stored.
SELECT number, crm, vochi_config_of(integrations_config, crm) ->> 'api_key' AS secret
FROM enterprises, unnest($1::text[]) AS crm
WHERE jsonb_typeof(vochi_config_of(integrations_config, crm) -> 'api_key') = 'string'
  AND vochi_config_of(integrations_config, crm) ->> 'api_key' <> ''
ORDER BY number

-- replace_secret --
-- Replace an API key that still is $3; nothing else of the configuration is touched.
UPDATE enterprises
SET integrations_config = vochi_object(integrations_config) || jsonb_build_object(
    $2::text, vochi_config_of(integrations_config, $2) || jsonb_build_object('api_key', $4::text))
WHERE number = $1 AND vochi_config_of(integrations_config, $2) ->> 'api_key' = $3
RETURNING number

-- kept_secrets --
-- The encrypted secrets in versions of the integrations $1.
SELECT DISTINCT id, secret
FROM integration_config_versions,
    jsonb_array_elements(changes) AS change,
    unnest(ARRAY[change ->> 'before', change ->> 'after']) AS secret
WHERE integration_type = ANY ($1) AND secret LIKE 'fernet:%'
ORDER BY id

-- replace_kept_secret --
-- Replace an encrypted secret in a version; it is base64, so its text is the same in JSON.
UPDATE integration_config_versions
SET changes = replace(changes::text, $2, $3)::jsonb
WHERE id = $1 AND position($2 IN changes::text) > 0
RETURNING id
