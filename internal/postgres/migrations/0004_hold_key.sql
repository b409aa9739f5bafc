SELECT onemind.take('onemind.holds');

-- The API key that spends.
ALTER TABLE onemind.holds ADD COLUMN key_id text NOT NULL DEFAULT '';
