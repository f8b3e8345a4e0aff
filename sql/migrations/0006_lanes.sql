-- Claims go lane by lane, pop-ups first, whatever another lane has waiting.
DROP INDEX IF EXISTS integration_deliveries_waiting;
CREATE INDEX IF NOT EXISTS integration_deliveries_lanes
    ON integration_deliveries (enterprise_number, integration_type, class DESC, next_attempt_at)
    WHERE status IN ('pending', 'sending');
