-- What each CRM is to be told about each call: the outbox, and the call's trace. A row is written in the
-- transaction of the event that causes it; its unique key makes a second pop-up or record impossible.

CREATE TABLE IF NOT EXISTS integration_deliveries (
    id bigserial PRIMARY KEY,
    enterprise_number text NOT NULL,
    integration_type text NOT NULL,
    call_external_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('popup', 'popup_over', 'record')),
    dedupe_key text NOT NULL,
    class text NOT NULL CHECK (class IN ('realtime', 'history')),
    payload jsonb NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'sending', 'done', 'skipped', 'expired', 'failed')),
    reason text,
    attempts integer NOT NULL DEFAULT 0,
    event_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    deadline_at timestamptz,
    locked_by text,
    locked_until timestamptz,
    first_attempt_at timestamptz,
    finished_at timestamptz,
    response_status integer,
    response jsonb,
    UNIQUE (enterprise_number, integration_type, call_external_id, kind, dedupe_key)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX IF NOT EXISTS integration_deliveries_waiting
    ON integration_deliveries (enterprise_number, integration_type, next_attempt_at)
    WHERE status IN ('pending', 'sending');
CREATE INDEX IF NOT EXISTS integration_deliveries_locked
    ON integration_deliveries (locked_by) WHERE status IN ('pending', 'sending');
