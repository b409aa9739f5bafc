SELECT onemind.take('onemind.answers');

-- The model that answered in place of the one asked for, and why; empty: the one asked.
ALTER TABLE onemind.answers ADD COLUMN served_by text NOT NULL DEFAULT '';
ALTER TABLE onemind.answers ADD COLUMN substitute_code text NOT NULL DEFAULT '';
