-- Click-to-call: one row a click, from the command to what became of the call. `guarding` rows keep repeated clicks
-- from becoming a second call, whichever daemon gets them. `since_event` is the last event stored before the click.

CREATE TABLE IF NOT EXISTS click_calls (
    id bigserial PRIMARY KEY,
    enterprise_number text NOT NULL,
    source text NOT NULL,
    code text NOT NULL,
    phone text NOT NULL,
    crm_user text,
    external_phone text,
    clicked_at timestamptz NOT NULL DEFAULT now(),
    guarding boolean NOT NULL DEFAULT true,
    since_event bigint NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'asked',
    reason text,
    message text,
    pbx_ms real,
    manager_unique_id text,
    call_unique_id text,
    finished_at timestamptz,
    followed_until timestamptz
);
CREATE UNIQUE INDEX IF NOT EXISTS click_calls_once ON click_calls (enterprise_number, code, phone) WHERE guarding;
CREATE INDEX IF NOT EXISTS click_calls_open ON click_calls (followed_until) WHERE finished_at IS NULL;
CREATE INDEX IF NOT EXISTS click_calls_call ON click_calls (enterprise_number, call_unique_id);
CREATE INDEX IF NOT EXISTS click_calls_manager ON click_calls (enterprise_number, manager_unique_id);
CREATE INDEX IF NOT EXISTS click_calls_time ON click_calls (enterprise_number, clicked_at);
