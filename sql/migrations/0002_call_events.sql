-- Events of a call as a stream: `call_unique_id` is the call an event belongs to (its own channel or a leg
-- of another), `event_sequence` its place there. A second writer of the same place fails, reads and tries again.
-- The old UNIQUE (unique_id, event_type) kept only a call's first dial, and mixed the PBXs up (facts: database).

ALTER TABLE call_events ADD COLUMN IF NOT EXISTS enterprise_number text;
ALTER TABLE call_events ADD COLUMN IF NOT EXISTS call_unique_id text;
ALTER TABLE call_events ADD COLUMN IF NOT EXISTS event_hash bytea;
ALTER TABLE call_events ADD COLUMN IF NOT EXISTS reason text;
ALTER TABLE call_events ADD COLUMN IF NOT EXISTS record_url text;
ALTER TABLE call_events ADD COLUMN IF NOT EXISTS repeats integer NOT NULL DEFAULT 0;

DO $$
DECLARE
    old record;
BEGIN
    FOR old IN
        SELECT i.indexrelid::regclass AS index_name, c.conname AS constraint_name
        FROM pg_index i
        LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype = 'u'
        WHERE i.indrelid = 'call_events'::regclass
          AND i.indisunique
          AND (SELECT array_agg(a.attname::text ORDER BY a.attname)
               FROM pg_attribute a
               WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)) = ARRAY['event_type', 'unique_id']
    LOOP
        IF old.constraint_name IS NULL THEN
            EXECUTE format('DROP INDEX %s', old.index_name);
        ELSE
            EXECUTE format('ALTER TABLE call_events DROP CONSTRAINT %I', old.constraint_name);
        END IF;
    END LOOP;
END
$$;

CREATE UNIQUE INDEX IF NOT EXISTS call_events_once
    ON call_events (enterprise_number, unique_id, event_hash) WHERE event_hash IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS call_events_stream
    ON call_events (enterprise_number, call_unique_id, event_sequence) WHERE event_hash IS NOT NULL;

-- Calls in progress; `close_at` is when a call that hears nothing more is closed by whichever daemon looks first.
CREATE TABLE IF NOT EXISTS open_calls (
    enterprise_number text NOT NULL,
    unique_id text NOT NULL,
    close_at timestamptz NOT NULL,
    PRIMARY KEY (enterprise_number, unique_id)
);
CREATE INDEX IF NOT EXISTS open_calls_close_at ON open_calls (close_at);
