-- The shape of the provider's database before us (facts: database): types as its services made them, its unique
-- index on call_events, a view over it, and some rows.
CREATE TABLE enterprises (
    id serial,
    number varchar(20) NOT NULL UNIQUE,
    name varchar(200) NOT NULL,
    name2 varchar(50) UNIQUE,
    secret varchar(100),
    ip varchar(50),
    host varchar(100),
    bot_token text,
    chat_id text,
    active boolean,
    is_enabled boolean,
    created_at timestamp DEFAULT now(),
    scheme_count integer,
    gsm_line_count integer,
    parameter_option_1 boolean, parameter_option_2 boolean, parameter_option_3 boolean,
    parameter_option_4 boolean, parameter_option_5 boolean,
    custom_domain text,
    custom_port integer,
    integrations_config jsonb
);
CREATE TABLE users (
    id serial PRIMARY KEY, enterprise_number text, email text, first_name text, last_name text, patronymic text,
    personal_phone text, follow_me_number text, follow_me_enabled boolean, telegram_tg_id bigint,
    status text, is_admin boolean, is_employee boolean, is_marketer boolean, is_spec1 boolean, is_spec2 boolean
);
CREATE TABLE user_internal_phones (
    id serial PRIMARY KEY, user_id integer REFERENCES users (id), phone_number text, password text,
    enterprise_number text, outgoing_schema_id text
);
CREATE TABLE integration_logs (
    id serial PRIMARY KEY, created_at timestamptz DEFAULT now(), enterprise_number text NOT NULL,
    integration_type text NOT NULL, event_type text NOT NULL, request_data jsonb, response_data jsonb,
    status text NOT NULL, error_message text
);
CREATE TABLE call_events (
    id serial PRIMARY KEY, call_id integer, unique_id text, event_type text, event_sequence integer,
    event_timestamp timestamp, received_timestamp timestamp, data_source text, processed boolean,
    needs_telegram boolean, needs_integration boolean, telegram_sent boolean, integration_sent boolean,
    raw_data jsonb NOT NULL, created_at timestamp DEFAULT now()
);
CREATE UNIQUE INDEX idx_call_events_unique ON call_events (unique_id, event_type);
CREATE TABLE gsm_lines (
    id serial PRIMARY KEY, enterprise_number text, goip_id integer, line_id text, internal_id text, line_name text,
    phone_number text, prefix text, slot integer, in_schema text, created_at timestamp
);
CREATE TABLE sip_unit (
    id serial PRIMARY KEY, enterprise_number text, line_name text, password text, prefix text, provider_id integer,
    in_schema text
);
CREATE TABLE user_sessions (
    session_token varchar(255) PRIMARY KEY, user_id integer REFERENCES users (id), enterprise_number text,
    created_at timestamp DEFAULT now(), expires_at timestamp DEFAULT now() + interval '24 hours'
);
CREATE TABLE sessions (session_token text, enterprise_number text, created_at timestamp DEFAULT now());

INSERT INTO enterprises (number, name, name2, secret, ip, active, integrations_config)
VALUES ('0367', 'june', '375290000000', 'secret-0367', '10.0.0.1', true, '{"uon": {"enabled": false}}');
INSERT INTO users (enterprise_number, first_name, personal_phone) VALUES ('0367', 'Анна', '+375 29 000-00-02');
INSERT INTO user_internal_phones (user_id, phone_number, enterprise_number) VALUES (1, '150', '0367');
INSERT INTO call_events (unique_id, event_type, event_sequence, raw_data)
VALUES ('1757840400.6', 'start', 1, '{"UniqueId": "1757840400.6"}'), ('1757840400.6', 'dial', 1, '{"Extensions": ["150"]}');
