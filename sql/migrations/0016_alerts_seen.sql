-- Which daemon sees an alert that each sees for itself, and when it last did; '' for what all see alike.
ALTER TABLE alert_states ADD COLUMN IF NOT EXISTS seen_by text NOT NULL DEFAULT '';
ALTER TABLE alert_states ADD COLUMN IF NOT EXISTS seen_at timestamptz NOT NULL DEFAULT now();
