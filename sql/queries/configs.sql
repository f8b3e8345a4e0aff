-- stored_config --
-- One integration's configuration; no row for an unknown enterprise, null when there is none.
SELECT CASE WHEN vochi_object(integrations_config) ? $2 THEN vochi_config_of(integrations_config, $2) END AS config
FROM enterprises
WHERE number = $1

-- merge_config --
-- Apply the patch $3 and note what it changed, by $4 as $5, undoing version $6. A plain key $7, if it is the stored
-- one, becomes $8, its encrypted form, along the way. Other writers wait for the row, and none is overwritten.
WITH stored AS (
    SELECT integrations_config AS configs,
        vochi_config_of(integrations_config, $2) AS before,
        CASE WHEN vochi_config_of(integrations_config, $2) ->> 'api_key' = $7
            THEN jsonb_build_object('api_key', $8::text) ELSE '{}' END AS sealed
    FROM enterprises
    WHERE number = $1
    FOR UPDATE
), merged AS (
    SELECT configs, before, before || sealed AS base, vochi_config_patched(before || sealed, $3) AS after
    FROM stored
), saved AS (
    UPDATE enterprises
    SET integrations_config = vochi_object(merged.configs) || jsonb_build_object($2::text, merged.after)
    FROM merged
    WHERE number = $1 AND before IS DISTINCT FROM after
), noted AS (
    INSERT INTO integration_config_versions (enterprise_number, integration_type, made_by, action, changes, undoes)
    SELECT $1, $2, $4, $5, vochi_config_changes(base, after), $6::bigint
    FROM merged
    WHERE vochi_config_changes(base, after) <> '[]'
)
SELECT after AS config FROM merged

-- drop_config --
-- Take an integration's configuration away and note what it was; no row for an unknown enterprise.
WITH stored AS (
    SELECT integrations_config AS configs, vochi_config_of(integrations_config, $2) AS before
    FROM enterprises
    WHERE number = $1
    FOR UPDATE
), saved AS (
    UPDATE enterprises
    SET integrations_config = vochi_object(configs) - $2
    FROM stored
    WHERE number = $1 AND vochi_object(configs) ? $2
    RETURNING before
), noted AS (
    INSERT INTO integration_config_versions (enterprise_number, integration_type, made_by, action, changes)
    SELECT $1, $2, $3, 'drop', vochi_config_changes(before, '{}')
    FROM saved
)
SELECT vochi_object(configs) ? $2 AS dropped FROM stored

-- config_versions --
-- The latest changes of an integration's configuration, the newest first.
SELECT id, extract(epoch FROM created_at)::float8 AS created_at, made_by, action, changes, undoes
FROM integration_config_versions
WHERE enterprise_number = $1 AND integration_type = $2
ORDER BY id DESC
LIMIT $3

-- config_version --
-- One change, with the paths that later changes touched too.
SELECT v.changes, ARRAY(
    SELECT DISTINCT later_change -> 'path'
    FROM integration_config_versions AS later, jsonb_array_elements(later.changes) AS later_change
    WHERE later.enterprise_number = v.enterprise_number
      AND later.integration_type = v.integration_type
      AND later.id > v.id
      AND EXISTS (
          SELECT FROM jsonb_array_elements(v.changes) AS own WHERE own -> 'path' = later_change -> 'path')
) AS touched_later
FROM integration_config_versions AS v
WHERE v.id = $3 AND v.enterprise_number = $1 AND v.integration_type = $2
