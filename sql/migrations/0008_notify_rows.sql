-- Over 100 changed rows, of however few enterprises, are one "reload all".

-- Arguments: the column of the enterprise number, then the other columns the daemon reads.
CREATE OR REPLACE FUNCTION vochi_config_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    columns text := (SELECT string_agg(format('%1$I::text AS %1$I', name), ', ') FROM unnest(TG_ARGV) AS name);
    source text;
    numbers text[];
    integration text;
    changed_rows bigint;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM vochi_notify_changed(ARRAY[NULL::text], NULL, TG_OP);
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        source := format('((SELECT %1$s FROM old_rows EXCEPT SELECT %1$s FROM new_rows)
            UNION ALL (SELECT %1$s FROM new_rows EXCEPT SELECT %1$s FROM old_rows))', columns);
    ELSE
        source := format('(SELECT %s FROM %I)', columns, CASE TG_OP WHEN 'INSERT' THEN 'new_rows' ELSE 'old_rows' END);
    END IF;
    EXECUTE format('SELECT array_agg(DISTINCT changed.%I), count(*) FROM %s AS changed', TG_ARGV[0], source)
        INTO numbers, changed_rows;
    IF TG_TABLE_NAME = 'enterprises' AND TG_OP = 'UPDATE' AND cardinality(numbers) = 1 THEN
        integration := (
            SELECT CASE WHEN count(DISTINCT key) = 1 THEN min(key) END
            FROM (
                (SELECT (vochi_config_entries(integrations_config)).* FROM old_rows
                 EXCEPT SELECT (vochi_config_entries(integrations_config)).* FROM new_rows)
                UNION ALL
                (SELECT (vochi_config_entries(integrations_config)).* FROM new_rows
                 EXCEPT SELECT (vochi_config_entries(integrations_config)).* FROM old_rows)
            ) AS difference
        );
    END IF;
    -- An UPDATE counts each row twice: as it was and as it is.
    IF changed_rows > (CASE TG_OP WHEN 'UPDATE' THEN 200 ELSE 100 END) THEN
        numbers := ARRAY[NULL::text];
    ELSE
        numbers := array_remove(numbers, NULL);
    END IF;
    PERFORM vochi_notify_changed(numbers, integration, TG_OP);
    RETURN NULL;
END
$$;
