-- What one daemon holds is found through the lanes' index, which every row that waits is in: once at start. Each delivery
-- was entered here too, and taken out again.
DROP INDEX IF EXISTS integration_deliveries_locked;
