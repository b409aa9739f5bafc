-- The model that answered in place of the one asked for, and why; empty: the one asked.
ALTER TABLE answers ADD COLUMN served_by TEXT NOT NULL DEFAULT '';
ALTER TABLE answers ADD COLUMN substitute_code TEXT NOT NULL DEFAULT '';
