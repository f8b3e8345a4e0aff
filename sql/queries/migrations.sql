-- create_migrations --
-- Remember which migrations this database has seen.
CREATE TABLE IF NOT EXISTS vochi_migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())

-- applied_migrations --
-- The names of the migrations already applied.
SELECT name FROM vochi_migrations

-- record_migration --
-- Mark one migration as applied.
INSERT INTO vochi_migrations (name) VALUES ($1)
