-- The trace finds a call among millions by what an administrator knows of it. The indexes hold only what is searched:
-- a call's first event, and the two kinds of events that name who was called. A row of another service has no hash and
-- is in none of them.

-- The end of a customer's number, backwards: its last digits are a prefix of it. Index and query both have it inlined.
CREATE OR REPLACE FUNCTION vochi_phone_tail(raw jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT reverse(right(translate(raw ->> 'Phone', '+ -()', ''), 9))
$$;

-- The extensions an event names, as ` 150 151 `: a company has few such lists, so all of them are found by skipping
-- from one to the next.
CREATE OR REPLACE FUNCTION vochi_extensions(raw jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT ' ' || left(regexp_replace(
        regexp_replace(coalesce(raw ->> 'Extensions', raw ->> 'Extension', ''), '[0-9]{6,}', '', 'g'),
        '[^0-9]+', ' ', 'g'), 400) || ' '
$$;

CREATE INDEX IF NOT EXISTS call_events_begun
    ON call_events (enterprise_number, received_timestamp)
    WHERE event_hash IS NOT NULL AND event_sequence = 1;
CREATE INDEX IF NOT EXISTS call_events_phone
    ON call_events (enterprise_number, (vochi_phone_tail(raw_data)) COLLATE "C", received_timestamp)
    WHERE event_hash IS NOT NULL AND event_type IN ('dial', 'hangup');
CREATE INDEX IF NOT EXISTS call_events_extensions
    ON call_events (enterprise_number, (vochi_extensions(raw_data)) COLLATE "C", received_timestamp)
    WHERE event_hash IS NOT NULL AND event_type IN ('dial', 'hangup');

-- How long each attempt took and what it was answered; the attempts of a call, and of a company by time.
ALTER TABLE integration_logs ADD COLUMN IF NOT EXISTS elapsed_ms real;
ALTER TABLE integration_logs ADD COLUMN IF NOT EXISTS http_status integer;
CREATE INDEX IF NOT EXISTS integration_logs_call
    ON integration_logs (enterprise_number, call_unique_id) WHERE call_unique_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS integration_logs_time ON integration_logs (enterprise_number, created_at);

-- Pop-ups lost because nobody has the extension: a row is written once and never changes.
CREATE INDEX IF NOT EXISTS integration_deliveries_unmapped
    ON integration_deliveries (enterprise_number, event_at) WHERE status = 'skipped' AND reason = 'no_mapping';
