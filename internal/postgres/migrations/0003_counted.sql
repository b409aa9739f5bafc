-- Takes tables for a step of the schema. Whoever waits for a table makes everybody
-- who comes later wait behind it, so it is tried for a moment, again and again: answers
-- go on, whatever long statement reads the table.
CREATE FUNCTION onemind.take(tables text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR try IN 1 .. 300 LOOP
        BEGIN
            PERFORM set_config('lock_timeout', '200ms', true);
            EXECUTE 'LOCK TABLE ' || tables;
            PERFORM set_config('lock_timeout', '0', true);
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            PERFORM pg_sleep(0.05 + random() * 0.1);
        END;
    END LOOP;
    RAISE EXCEPTION '% is busy: something has read or written it for a minute', tables;
END $$;

-- Acts lock credits, holds and receipts in more than one order, so each of these
-- tables has a step, and with it a transaction, of its own.
SELECT onemind.take('onemind.credits');

ALTER INDEX IF EXISTS onemind.credits_user RENAME TO idx_credits_user;

-- The newest day of which the user has rows in credit_days: while it is over or
-- there is none, a hold and its charge need not look there.
ALTER TABLE onemind.credits ADD COLUMN counted_day date;
