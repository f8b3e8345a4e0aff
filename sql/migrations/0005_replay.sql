-- Dead letters: how often a delivery was sent again by hand, and its turn in a paced replay, which nothing brings
-- forward. Only failed rows are indexed for the listing: the others cost nothing more than before.

ALTER TABLE integration_deliveries ADD COLUMN IF NOT EXISTS replays integer NOT NULL DEFAULT 0;
ALTER TABLE integration_deliveries ADD COLUMN IF NOT EXISTS not_before timestamptz;

CREATE INDEX IF NOT EXISTS integration_deliveries_failed
    ON integration_deliveries (event_at, id) WHERE status = 'failed';
CREATE INDEX IF NOT EXISTS integration_deliveries_failed_of_enterprise
    ON integration_deliveries (enterprise_number, event_at, id) WHERE status = 'failed';

-- The deliveries that `ids` and `filter` choose; null and what `filter` does not have choose all. Written so that the
-- planner puts it in place of its call: with the values known, conditions that were not given are gone.
CREATE OR REPLACE FUNCTION vochi_chosen_deliveries(ids bigint[], filter jsonb) RETURNS SETOF integration_deliveries
LANGUAGE sql STABLE AS $$
    SELECT *
    FROM integration_deliveries
    WHERE (ids IS NULL OR id = ANY (ids))
      AND (filter ->> 'enterprise' IS NULL OR enterprise_number = filter ->> 'enterprise')
      AND (filter ->> 'integration' IS NULL OR integration_type = filter ->> 'integration')
      AND (filter ->> 'status' IS NULL OR status = filter ->> 'status')
      AND (filter ->> 'kind' IS NULL OR kind = filter ->> 'kind')
      AND (filter ->> 'class' IS NULL OR class = filter ->> 'class')
      AND (filter ->> 'reason' IS NULL OR reason = filter ->> 'reason')
      AND (filter ->> 'since' IS NULL OR event_at >= to_timestamp((filter ->> 'since')::float8))
      AND (filter ->> 'until' IS NULL OR event_at < to_timestamp((filter ->> 'until')::float8))
$$;
