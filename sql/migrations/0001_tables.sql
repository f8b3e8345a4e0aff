-- The tables the provider already has (facts: database), created where they are missing and
-- completed where they are older. Every column but the natural key is nullable or has a default.

CREATE TABLE IF NOT EXISTS enterprises (
    id serial,
    number text NOT NULL UNIQUE,
    name text,
    name2 text,
    secret text,
    ip text,
    host text,
    bot_token text,
    chat_id text,
    active boolean DEFAULT true,
    is_enabled boolean DEFAULT true,
    created_at timestamptz DEFAULT now(),
    scheme_count integer,
    gsm_line_count integer,
    parameter_option_1 boolean,
    parameter_option_2 boolean,
    parameter_option_3 boolean,
    parameter_option_4 boolean,
    parameter_option_5 boolean,
    custom_domain text,
    custom_port integer,
    integrations_config jsonb DEFAULT '{}'
);
ALTER TABLE enterprises ADD COLUMN IF NOT EXISTS name2 text;
ALTER TABLE enterprises ADD COLUMN IF NOT EXISTS secret text;
ALTER TABLE enterprises ADD COLUMN IF NOT EXISTS ip text;
ALTER TABLE enterprises ADD COLUMN IF NOT EXISTS active boolean DEFAULT true;
ALTER TABLE enterprises ADD COLUMN IF NOT EXISTS integrations_config jsonb DEFAULT '{}';

CREATE TABLE IF NOT EXISTS users (
    id serial PRIMARY KEY,
    enterprise_number text,
    email text,
    first_name text,
    last_name text,
    patronymic text,
    personal_phone text,
    follow_me_number text,
    follow_me_enabled boolean DEFAULT false,
    telegram_tg_id bigint,
    status text DEFAULT 'active',
    is_admin boolean DEFAULT false,
    is_employee boolean DEFAULT false,
    is_marketer boolean DEFAULT false,
    is_spec1 boolean DEFAULT false,
    is_spec2 boolean DEFAULT false
);

CREATE TABLE IF NOT EXISTS user_internal_phones (
    id serial PRIMARY KEY,
    user_id integer REFERENCES users (id) ON DELETE SET NULL,
    phone_number text,
    password text,
    enterprise_number text,
    outgoing_schema_id text
);

CREATE TABLE IF NOT EXISTS user_sessions (
    session_token varchar(255) PRIMARY KEY,
    user_id integer REFERENCES users (id) ON DELETE CASCADE,
    enterprise_number text,
    created_at timestamptz DEFAULT now(),
    expires_at timestamptz DEFAULT now() + interval '24 hours'
);

CREATE TABLE IF NOT EXISTS sessions (
    session_token text PRIMARY KEY,
    enterprise_number text,
    created_at timestamptz DEFAULT now()
);

CREATE TABLE IF NOT EXISTS gsm_lines (
    id serial PRIMARY KEY,
    enterprise_number text,
    goip_id integer,
    line_id text,
    internal_id text,
    line_name text,
    phone_number text,
    prefix text,
    slot integer,
    in_schema text,
    created_at timestamptz DEFAULT now()
);

CREATE TABLE IF NOT EXISTS sip_unit (
    id serial PRIMARY KEY,
    enterprise_number text,
    line_name text,
    password text,
    prefix text,
    provider_id integer,
    in_schema text,
    incoming_transform text
);
ALTER TABLE sip_unit ADD COLUMN IF NOT EXISTS incoming_transform text;

CREATE TABLE IF NOT EXISTS integration_logs (
    id serial PRIMARY KEY,
    created_at timestamptz DEFAULT now(),
    enterprise_number text NOT NULL,
    integration_type text NOT NULL,
    event_type text NOT NULL,
    request_data jsonb,
    response_data jsonb,
    status text NOT NULL,
    error_message text
);
ALTER TABLE integration_logs ADD COLUMN IF NOT EXISTS call_unique_id text;

CREATE TABLE IF NOT EXISTS call_events (
    id bigserial PRIMARY KEY,
    call_id bigint,
    unique_id text,
    event_type text,
    event_sequence integer,
    event_timestamp timestamp,
    received_timestamp timestamp DEFAULT (now() AT TIME ZONE 'UTC'),
    data_source text DEFAULT 'live',
    processed boolean DEFAULT false,
    needs_telegram boolean DEFAULT true,
    needs_integration boolean DEFAULT true,
    telegram_sent boolean DEFAULT false,
    integration_sent boolean DEFAULT false,
    raw_data jsonb NOT NULL,
    created_at timestamp DEFAULT (now() AT TIME ZONE 'UTC')
);
