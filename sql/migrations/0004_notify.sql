-- NOTIFY integration_config_changed when something the daemon reads has changed, and only then. Statement level:
-- an UPDATE of many rows is one trigger call; over 100 changed enterprises become one "reload all".

CREATE OR REPLACE FUNCTION vochi_notify_changed(numbers text[], integration text, op text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    changed text;
BEGIN
    IF cardinality(numbers) > 100 THEN
        numbers := ARRAY[NULL::text];
    END IF;
    FOREACH changed IN ARRAY coalesce(numbers, '{}') LOOP
        PERFORM pg_notify('integration_config_changed', json_build_object(
            'enterprise_number', changed, 'integration_type', integration, 'op', lower(op))::text);
    END LOOP;
END
$$;

-- The integrations of one enterprise; nothing for a configuration that is no object (an old writer's JSON string).
CREATE OR REPLACE FUNCTION vochi_config_entries(config jsonb, OUT key text, OUT value jsonb) RETURNS SETOF record
LANGUAGE sql IMMUTABLE AS $$
    SELECT * FROM jsonb_each(CASE jsonb_typeof(config) WHEN 'object' THEN config ELSE '{}' END)
$$;

-- Arguments: the column of the enterprise number, then the other columns the daemon reads.
CREATE OR REPLACE FUNCTION vochi_config_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    columns text := (SELECT string_agg(format('%1$I::text AS %1$I', name), ', ') FROM unnest(TG_ARGV) AS name);
    source text;
    numbers text[];
    integration text;
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
    EXECUTE format('SELECT array_agg(DISTINCT changed.%I) FROM %s AS changed', TG_ARGV[0], source) INTO numbers;
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
    PERFORM vochi_notify_changed(array_remove(numbers, NULL), integration, TG_OP);
    RETURN NULL;
END
$$;

DO $$
DECLARE
    watched CONSTANT text[][] := ARRAY[
        ['enterprises', '''number'', ''name'', ''name2'', ''secret'', ''ip'', ''active'', ''integrations_config'''],
        ['users', '''enterprise_number'', ''id'', ''first_name'', ''last_name'', ''personal_phone'', ''follow_me_number'''],
        ['user_internal_phones', '''enterprise_number'', ''id'', ''user_id'', ''phone_number'''],
        ['gsm_lines', '''enterprise_number'', ''line_id'', ''phone_number'''],
        ['sip_unit', '''enterprise_number'', ''line_name'', ''incoming_transform''']
    ];
    item text[];
    op text;
    rows text;
BEGIN
    FOREACH item SLICE 1 IN ARRAY watched LOOP
        FOREACH op IN ARRAY ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'] LOOP
            rows := CASE op
                WHEN 'INSERT' THEN 'REFERENCING NEW TABLE AS new_rows'
                WHEN 'UPDATE' THEN 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'
                WHEN 'DELETE' THEN 'REFERENCING OLD TABLE AS old_rows'
                ELSE ''
            END;
            EXECUTE format('DROP TRIGGER IF EXISTS vochi_config_%s ON %I', lower(op), item[1]);
            EXECUTE format('CREATE TRIGGER vochi_config_%s AFTER %s ON %I %s FOR EACH STATEMENT
                EXECUTE FUNCTION vochi_config_changed(%s)', lower(op), op, item[1], rows, item[2]);
        END LOOP;
    END LOOP;
END
$$;
