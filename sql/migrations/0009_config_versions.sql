-- Every change of an integration's configuration: who made it, when, and what was before. Secrets are kept encrypted,
-- or as `****`. The functions below are the one way in which configurations are read and changed in SQL.

CREATE TABLE IF NOT EXISTS integration_config_versions (
    id bigserial PRIMARY KEY,
    enterprise_number text NOT NULL,
    integration_type text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    made_by text NOT NULL,
    action text NOT NULL,
    changes jsonb NOT NULL,
    undoes bigint
);
CREATE INDEX IF NOT EXISTS integration_config_versions_of_enterprise
    ON integration_config_versions (enterprise_number, integration_type, id);

-- JSON as an object; an old writer stored some of it as a string. What is no object is an empty one.
CREATE OR REPLACE FUNCTION vochi_object(value jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF jsonb_typeof(value) = 'string' THEN
        value := (value #>> '{}')::jsonb;
    END IF;
    RETURN CASE WHEN jsonb_typeof(value) = 'object' THEN value ELSE '{}' END;
EXCEPTION WHEN invalid_text_representation OR untranslatable_character OR program_limit_exceeded
    OR statement_too_complex THEN
    RETURN '{}';
END
$$;

-- One integration's part of `integrations_config`, its map of extensions an object too.
CREATE OR REPLACE FUNCTION vochi_config_of(configs jsonb, integration text) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN jsonb_typeof(part -> 'user_extensions') = 'string'
        THEN part || jsonb_build_object('user_extensions', vochi_object(part -> 'user_extensions'))
        ELSE part END
    FROM vochi_object(vochi_object(configs) -> integration) AS part
$$;

-- An object with a patch applied: null takes a key away, the keys that the patch does not have stay.
CREATE OR REPLACE FUNCTION vochi_patched(base jsonb, patch jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT (base || patch) - coalesce(array_agg(key) FILTER (WHERE value = 'null'), '{}')
    FROM jsonb_each(patch)
$$;

-- A map of extensions with a patch applied: a number that is given to one user leaves whoever had it.
CREATE OR REPLACE FUNCTION vochi_extensions_patched(base jsonb, patch jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT vochi_patched(coalesce(jsonb_object_agg(had.key, had.value), '{}'), patch)
    FROM jsonb_each(base) AS had
    WHERE patch ? had.key
       OR NOT EXISTS (SELECT FROM jsonb_each_text(patch) AS given WHERE given.value = trim(had.value #>> '{}'))
$$;

-- A configuration with a patch applied; objects in it, such as the map of extensions, are patched by their own keys.
CREATE OR REPLACE FUNCTION vochi_config_patched(base jsonb, patch jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT vochi_patched(base, coalesce(jsonb_object_agg(key, CASE
        WHEN jsonb_typeof(value) <> 'object' THEN value
        WHEN key = 'user_extensions' THEN vochi_extensions_patched(vochi_object(base -> key), value)
        ELSE vochi_patched(vochi_object(base -> key), value) END), '{}'))
    FROM jsonb_each(patch)
$$;

-- The values of a configuration by their path: a key, or a key and a key of the object under it. What the daemon notes
-- there for itself is nobody's change.
CREATE OR REPLACE FUNCTION vochi_config_values(config jsonb, OUT path text[], OUT value jsonb) RETURNS SETOF record
LANGUAGE sql IMMUTABLE AS $$
    WITH whole AS (
        SELECT * FROM jsonb_each(config) AS each WHERE each.key NOT IN ('registered_at', 'unpushed_extensions')
    )
    SELECT ARRAY[whole.key], whole.value FROM whole WHERE jsonb_typeof(whole.value) <> 'object'
    UNION ALL
    SELECT ARRAY[whole.key, part.key], part.value
    FROM whole, jsonb_each(vochi_object(whole.value)) AS part
    WHERE jsonb_typeof(whole.value) = 'object'
$$;

-- A secret shows only when it is encrypted.
CREATE OR REPLACE FUNCTION vochi_config_shown(path text[], value jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN value IS NULL OR value #>> '{}' LIKE 'fernet:%' THEN value
        WHEN path[1] ~* 'token|secret|api_?key|password|cookie|client_?id|jwt|session_id' THEN '"****"'
        ELSE value END
$$;

-- What differs between two configurations: [{path, before, after}], an absent value without its key.
CREATE OR REPLACE FUNCTION vochi_config_changes(before jsonb, after jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_agg(
        jsonb_build_object('path', path)
        || CASE WHEN a.value IS NULL THEN '{}' ELSE jsonb_build_object('before', vochi_config_shown(path, a.value)) END
        || CASE WHEN b.value IS NULL THEN '{}' ELSE jsonb_build_object('after', vochi_config_shown(path, b.value)) END
        ORDER BY path), '[]')
    FROM vochi_config_values(before) AS a
    FULL JOIN vochi_config_values(after) AS b USING (path)
    WHERE a.value IS DISTINCT FROM b.value
$$;
