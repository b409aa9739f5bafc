SELECT onemind.take('onemind.provider_config');

-- How long an answer that is not streamed may take; 0: the default.
ALTER TABLE onemind.provider_config ADD COLUMN whole_timeout_ms bigint NOT NULL DEFAULT 0;
