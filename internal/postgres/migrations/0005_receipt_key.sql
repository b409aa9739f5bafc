SELECT onemind.take('onemind.receipts');

-- A charge counts for the day in UTC and the API key of its hold.
ALTER TABLE onemind.receipts ADD COLUMN key_id text NOT NULL DEFAULT '';
ALTER TABLE onemind.receipts ADD COLUMN held_on date; -- NULL: written before there were caps
