SELECT onemind.take('onemind.api_keys, onemind.provider_config, onemind.ai_models');

-- What a user ('' as the key), or one API key of a user, has spent of a day in UTC:
-- what was charged for that day's holds and what the open ones of them hold. A row is
-- made by the first hold under a cap and is kept right by all that follow, with or
-- without a cap. Whoever touches one has locked the user's balance.
CREATE TABLE onemind.credit_days (
    user_id text NOT NULL,
    day     date NOT NULL,
    key_id  text NOT NULL,
    used    bigint NOT NULL,
    PRIMARY KEY (user_id, day, key_id)
) WITH (fillfactor = 50);

ALTER TABLE onemind.api_keys ADD COLUMN credits_per_day bigint NOT NULL DEFAULT 0;
ALTER TABLE onemind.api_keys ADD COLUMN response_cache boolean NOT NULL DEFAULT false;

-- A key that was changed is looked up anew everywhere, as one that was revoked is.
CREATE TRIGGER api_keys_changed AFTER UPDATE ON onemind.api_keys FOR EACH ROW
WHEN ((OLD.name, OLD.credits_per_day, OLD.response_cache) IS DISTINCT FROM (NEW.name, NEW.credits_per_day, NEW.response_cache))
EXECUTE FUNCTION onemind.api_keys_deleted();

ALTER TABLE onemind.provider_config ADD COLUMN max_waiting bigint NOT NULL DEFAULT 0;
ALTER TABLE onemind.provider_config ADD COLUMN max_wait_ms bigint NOT NULL DEFAULT 0;
ALTER TABLE onemind.ai_models ADD COLUMN substitutes jsonb NOT NULL DEFAULT '[]';
ALTER TABLE onemind.ai_models ADD COLUMN retires_on text NOT NULL DEFAULT ''; -- such as 2027-03-31

CREATE FUNCTION onemind.day_of(at timestamptz) RETURNS date LANGUAGE sql IMMUTABLE AS $$ SELECT (at AT TIME ZONE 'UTC')::date $$;

-- What was charged for the holds of a user's day, of one key or ('') of all. Charges
-- are read from the hour before the day on: clocks differ. Each receipt is looked up:
-- a plan for a day with few charges must not read all receipts.
CREATE FUNCTION onemind.day_charged(the_user text, the_key text, the_day date) RETURNS bigint LANGUAGE sql
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    SELECT coalesce(sum(r.charge), 0)::bigint FROM onemind.credit_transactions t JOIN onemind.receipts r ON r.ref = t.ref
    WHERE t.user_id = the_user AND t.kind = 'charge' AND t.created_at >= the_day::timestamp AT TIME ZONE 'UTC' - interval '1 hour'
        AND coalesce(r.held_on, onemind.day_of(r.finished_at)) = the_day AND (the_key = '' OR r.key_id = the_key)
$$;

-- What the caps of a user and of one of the user's keys leave of a day; a cap of 0
-- is none. It locks the user's balance, so that what it adds up stands still.
CREATE FUNCTION onemind.day_left(the_user text, the_key text, the_day date, day_cap bigint, key_cap bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    spender text;
    cap     bigint;
    spent   bigint;
    pending bigint; -- what the user's open holds hold; NULL for whoever never had anything
    rest    bigint := 9223372036854775807;
BEGIN
    SELECT c.held INTO pending FROM onemind.credits c WHERE c.user_id = the_user FOR UPDATE;
    FOR spender, cap IN SELECT v.* FROM (VALUES ('', day_cap), (nullif(the_key, ''), key_cap)) AS v (spender, cap)
            WHERE v.cap > 0 AND v.spender IS NOT NULL LOOP
        SELECT d.used INTO spent FROM onemind.credit_days d WHERE d.user_id = the_user AND d.day = the_day AND d.key_id = spender;
        IF NOT FOUND AND pending IS NULL THEN
            spent := 0;
        ELSIF NOT FOUND THEN
            spent := onemind.day_charged(the_user, spender, the_day);
            IF pending > 0 THEN -- there is no index by user, so it is read only if need be
                spent := spent + (SELECT coalesce(sum(h.amount), 0) FROM onemind.holds h
                    WHERE h.user_id = the_user AND onemind.day_of(h.created_at) = the_day AND (spender = '' OR h.key_id = spender));
            END IF;
            DELETE FROM onemind.credit_days d WHERE d.user_id = the_user AND d.day < the_day - 3;
            INSERT INTO onemind.credit_days (user_id, day, key_id, used) VALUES (the_user, the_day, spender, spent);
            UPDATE onemind.credits c SET counted_day = greatest(c.counted_day, the_day) WHERE c.user_id = the_user;
        END IF;
        rest := least(rest, cap - spent);
    END LOOP;
    RETURN rest;
END $$;

-- acts_1 with the caps of a day, and the API key that spends. Every act locks the
-- balance of its user before any other row, and the caller sorts acts by user: two
-- calls never wait for each other in a circle, even if both settle the same holds.
CREATE FUNCTION onemind.acts_2(
    kinds text[], refs text[], users text[], owners text[], leasts bigint[], mosts bigint[], texts text[], requests text[], runs text[],
    models text[], outcomes text[], inputs bigint[], outputs bigint[], times timestamptz[], keys text[], day_caps bigint[], key_caps bigint[]
) RETURNS TABLE (result text, amount bigint, holder text, receipt text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    i       integer;
    most    bigint;
    free    bigint;
    rest    bigint;
    entry   bigint;
    counted date;
    spender text;
    the_day date;
BEGIN
    FOR i IN 1 .. cardinality(kinds) LOOP
        amount := NULL; holder := NULL; receipt := NULL;
        IF kinds[i] = 'hold' THEN
            result := 'short'; most := mosts[i];
            IF day_caps[i] > 0 OR key_caps[i] > 0 THEN
                rest := onemind.day_left(users[i], keys[i], onemind.day_of(times[i]), day_caps[i], key_caps[i]);
                IF rest < most THEN
                    most := greatest(rest, 0);
                    IF most < leasts[i] THEN
                        result := 'capped';
                    END IF;
                END IF;
            END IF;
            IF result <> 'capped' THEN
                -- The money first: whoever has the row of the balance is alone with it.
                UPDATE onemind.credits c SET held = c.held + most
                WHERE c.user_id = users[i] AND c.balance - c.held >= greatest(most, leasts[i]) RETURNING c.counted_day INTO counted;
                IF FOUND THEN
                    amount := most;
                ELSE
                    SELECT c.balance - c.held, c.counted_day INTO free, counted FROM onemind.credits c WHERE c.user_id = users[i] FOR UPDATE;
                    IF NOT FOUND AND leasts[i] <= 0 THEN -- nothing costs nothing, but takes its turn too
                        INSERT INTO onemind.credits (user_id, balance) VALUES (users[i], 0) ON CONFLICT (user_id) DO NOTHING;
                        SELECT c.balance - c.held, c.counted_day INTO free, counted FROM onemind.credits c WHERE c.user_id = users[i] FOR UPDATE;
                    END IF;
                    IF free >= leasts[i] THEN
                        amount := least(most, free);
                        UPDATE onemind.credits c SET held = c.held + amount WHERE c.user_id = users[i];
                    END IF;
                END IF;
            END IF;
            IF amount IS NOT NULL THEN
                INSERT INTO onemind.holds (ref, user_id, owner, amount, terms, created_at, key_id)
                SELECT refs[i], users[i], owners[i], amount, texts[i], times[i], keys[i]
                WHERE NOT EXISTS (SELECT 1 FROM onemind.receipts r WHERE r.ref = refs[i])
                    AND NOT EXISTS (SELECT 1 FROM onemind.credit_refs f WHERE f.user_id = users[i] AND f.ref = refs[i])
                ON CONFLICT (ref) DO NOTHING;
                IF FOUND THEN
                    result := 'held';
                    IF counted >= onemind.day_of(times[i]) THEN
                        UPDATE onemind.credit_days d SET used = d.used + amount
                        WHERE d.user_id = users[i] AND d.day = onemind.day_of(times[i]) AND d.key_id IN ('', keys[i]);
                    END IF;
                ELSE -- it was before, so the money goes back
                    UPDATE onemind.credits c SET held = c.held - amount WHERE c.user_id = users[i];
                END IF;
            END IF;
            IF result <> 'held' THEN
                SELECT k.user_id, k.amount INTO holder, amount FROM (
                    SELECT h.user_id, h.amount FROM onemind.holds h WHERE h.ref = refs[i]
                    UNION ALL SELECT r.user_id, r.hold FROM onemind.receipts r WHERE r.ref = refs[i]
                    UNION ALL SELECT NULL, NULL FROM onemind.credit_refs f WHERE f.user_id = users[i] AND f.ref = refs[i]) AS k LIMIT 1;
                IF FOUND THEN
                    result := CASE WHEN holder = users[i] THEN 'held' ELSE 'reused' END;
                END IF;
            END IF;
        ELSE -- 'settle'; most is the charge
            WITH balance AS MATERIALIZED (SELECT 1 FROM onemind.credits c WHERE c.user_id = users[i] FOR UPDATE)
            DELETE FROM onemind.holds h WHERE h.ref = refs[i] AND h.amount >= mosts[i] AND (SELECT count(*) FROM balance) >= 0
            RETURNING h.user_id, h.amount, h.key_id, onemind.day_of(h.created_at) INTO holder, amount, spender, the_day;
            IF FOUND THEN
                result := 'closed';
                INSERT INTO onemind.receipts (ref, user_id, request_id, run_id, model, outcome, input_tokens, output_tokens, hold, charge, finished_at, receipt, key_id, held_on)
                VALUES (refs[i], holder, requests[i], runs[i], models[i], outcomes[i], inputs[i], outputs[i], amount, mosts[i], times[i], texts[i], spender, the_day);
                IF mosts[i] > 0 THEN
                    entry := nextval('onemind.credit_transactions_id');
                    INSERT INTO onemind.credit_refs (user_id, ref, entry_id, created_at) VALUES (holder, refs[i], entry, times[i]);
                    INSERT INTO onemind.credit_transactions (id, user_id, kind, amount, ref, reason, actor, model, created_at)
                    VALUES (entry, holder, 'charge', -mosts[i], refs[i], '', '', models[i], times[i]);
                END IF;
                UPDATE onemind.credits c SET balance = c.balance - mosts[i], held = c.held - amount WHERE c.user_id = holder RETURNING c.counted_day INTO counted;
                IF counted >= the_day THEN
                    UPDATE onemind.credit_days d SET used = d.used - (amount - mosts[i])
                    WHERE d.user_id = holder AND d.day = the_day AND d.key_id IN ('', spender);
                END IF;
            ELSE
                SELECT r.receipt, r.user_id INTO receipt, holder FROM onemind.receipts r WHERE r.ref = refs[i];
                IF FOUND THEN
                    result := 'settled';
                ELSE
                    PERFORM 1 FROM onemind.holds h WHERE h.ref = refs[i];
                    result := CASE WHEN FOUND THEN 'over' ELSE 'unknown' END;
                END IF;
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- Instances of the last release know no caps, but what they hold and settle counts.
CREATE OR REPLACE FUNCTION onemind.acts_1(
    kinds text[], refs text[], users text[], owners text[], leasts bigint[], mosts bigint[], texts text[], requests text[], runs text[],
    models text[], outcomes text[], inputs bigint[], outputs bigint[], times timestamptz[]
) RETURNS TABLE (result text, amount bigint, holder text, receipt text) LANGUAGE sql AS $$
    SELECT * FROM onemind.acts_2(kinds, refs, users, owners, leasts, mosts, texts, requests, runs, models, outcomes, inputs, outputs, times,
        array_fill(''::text, ARRAY[cardinality(kinds)]), array_fill(0::bigint, ARRAY[cardinality(kinds)]), array_fill(0::bigint, ARRAY[cardinality(kinds)]))
$$;
