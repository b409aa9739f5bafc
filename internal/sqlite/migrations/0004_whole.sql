-- How long an answer that is not streamed may take; 0: the default.
ALTER TABLE provider_config ADD COLUMN whole_timeout_ms INTEGER NOT NULL DEFAULT 0;
