-- Administrators' sessions, the links that make them, and the secret that signs the links.

CREATE TABLE IF NOT EXISTS daemon_secrets (
    name text PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE IF NOT EXISTS admin_links (
    id text PRIMARY KEY,
    enterprise_number text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS admin_links_enterprise ON admin_links (enterprise_number);

-- `id` is the SHA-256 of the cookie; `token_id` what the session lives and dies with.
CREATE TABLE IF NOT EXISTS admin_sessions (
    id bytea PRIMARY KEY,
    enterprise_number text NOT NULL,
    source text NOT NULL,
    token_id text NOT NULL,
    address text NOT NULL DEFAULT '',
    agent text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS admin_sessions_enterprise ON admin_sessions (enterprise_number);
CREATE INDEX IF NOT EXISTS sessions_session_token ON sessions (session_token);

-- The provider's tables have times with a zone or without one; the latter are in the server's own zone,
-- which a session that has set its own can only see in `log_timezone`.
CREATE OR REPLACE FUNCTION vochi_moment(value timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
    'SELECT value';
CREATE OR REPLACE FUNCTION vochi_moment(value timestamp) RETURNS timestamptz LANGUAGE sql STABLE AS
    $$ SELECT value AT TIME ZONE current_setting('log_timezone') $$;
