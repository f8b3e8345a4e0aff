-- Smart redirect: shops and the lines that belong to them, line names that are noticed at once, and the calls somebody
-- talked in by the customer's number.

CREATE TABLE IF NOT EXISTS shops (id serial PRIMARY KEY, enterprise_number text, name text);
ALTER TABLE shops ADD COLUMN IF NOT EXISTS name text;
CREATE TABLE IF NOT EXISTS shop_lines (shop_id integer, gsm_line_id integer, enterprise_number text);
CREATE TABLE IF NOT EXISTS shop_sip_lines (shop_id integer, sip_line_id integer, enterprise_number text);
ALTER TABLE gsm_lines ADD COLUMN IF NOT EXISTS line_name text;

DO $$
DECLARE
    watched CONSTANT text[][] := ARRAY[
        ['gsm_lines', '''enterprise_number'', ''line_id'', ''phone_number'', ''line_name'''],
        ['shops', '''enterprise_number'', ''id'', ''name'''],
        ['shop_lines', '''enterprise_number'', ''shop_id'', ''gsm_line_id'''],
        ['shop_sip_lines', '''enterprise_number'', ''shop_id'', ''sip_line_id''']
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

-- The hangups of calls in which somebody talked: answered, or of a call that was passed on (design rule 5).
CREATE INDEX IF NOT EXISTS call_events_talks
    ON call_events (enterprise_number, right(ltrim(raw_data ->> 'Phone', '+'), 9), id)
    WHERE event_type = 'hangup' AND event_hash IS NOT NULL
      AND (raw_data ->> 'CallStatus' = '2' OR raw_data ->> 'CallType' = '2');
