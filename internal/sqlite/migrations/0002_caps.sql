-- What a user ('' as the key), or one API key of a user, has spent of a day: what
-- was charged for that day's holds and what the open ones of them hold. A row is
-- made by the first hold under a cap and is kept right by all that follow, with or
-- without a cap. day counts the days since 1970 in UTC.
CREATE TABLE credit_days (
    user_id TEXT NOT NULL,
    day     INTEGER NOT NULL,
    key_id  TEXT NOT NULL,
    used    INTEGER NOT NULL,
    PRIMARY KEY (user_id, day, key_id)
) STRICT, WITHOUT ROWID;

-- The newest day of which the user has rows in credit_days: while it is over or
-- there is none, a hold and its charge need not look there.
ALTER TABLE credits ADD COLUMN counted_day INTEGER;

-- The API key that spends; a charge counts for the day and the key of its hold.
ALTER TABLE holds ADD COLUMN key_id TEXT NOT NULL DEFAULT '';
ALTER TABLE receipts ADD COLUMN key_id TEXT NOT NULL DEFAULT '';
ALTER TABLE receipts ADD COLUMN held_on INTEGER; -- NULL: written before there were caps

ALTER TABLE api_keys ADD COLUMN credits_per_day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN response_cache INTEGER NOT NULL DEFAULT 0;

ALTER TABLE provider_config ADD COLUMN max_waiting INTEGER NOT NULL DEFAULT 0;
ALTER TABLE provider_config ADD COLUMN max_wait_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ai_models ADD COLUMN substitutes TEXT NOT NULL DEFAULT '[]';
ALTER TABLE ai_models ADD COLUMN retires_on TEXT NOT NULL DEFAULT ''; -- such as 2027-03-31
