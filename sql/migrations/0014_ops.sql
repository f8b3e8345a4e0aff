-- What hosts usually send, hour by hour, so that their silence is noticed; and the alerts that fire, so that one of
-- several daemons tells of each, once, also over a restart.

CREATE TABLE IF NOT EXISTS host_hours (
    hour timestamptz NOT NULL,
    enterprise_number text NOT NULL,
    events integer NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (hour, enterprise_number)
);

CREATE TABLE IF NOT EXISTS alert_states (
    rule text NOT NULL,
    enterprise_number text NOT NULL,
    integration_type text NOT NULL,
    text text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (rule, enterprise_number, integration_type)
);

ALTER TABLE enterprises ADD COLUMN IF NOT EXISTS bot_token text;
ALTER TABLE enterprises ADD COLUMN IF NOT EXISTS chat_id text;
