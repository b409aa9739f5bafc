-- Amounts are whole nano-dollars, times are milliseconds since 1970 in UTC.
-- A time that never came is NULL. Lists and maps are JSON.

CREATE TABLE schema_migrations (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;

-- credit ---------------------------------------------------------------------

-- balance is the sum of the user's credit_transactions, held that of the holds.
CREATE TABLE credits (
    user_id TEXT PRIMARY KEY,
    balance INTEGER NOT NULL CHECK (balance >= 0),
    held    INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0 AND held <= balance)
) STRICT, WITHOUT ROWID;

CREATE TABLE credit_transactions (
    id         INTEGER PRIMARY KEY,
    user_id    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    amount     INTEGER NOT NULL,
    ref        TEXT NOT NULL,
    reason     TEXT NOT NULL,
    actor      TEXT NOT NULL,
    model      TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX credit_transactions_ref ON credit_transactions (user_id, ref);
CREATE INDEX credit_transactions_list ON credit_transactions (user_id, id);

CREATE TRIGGER credit_transactions_no_update BEFORE UPDATE ON credit_transactions
BEGIN SELECT RAISE(ABORT, 'credit_transactions is append-only'); END;
CREATE TRIGGER credit_transactions_no_delete BEFORE DELETE ON credit_transactions
BEGIN SELECT RAISE(ABORT, 'credit_transactions is append-only'); END;

-- The open holds. A settled one becomes a receipt, so this table stays small
-- and needs no index by age: every index is paid for twice per answer.
CREATE TABLE holds (
    ref        TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL,
    owner      TEXT NOT NULL,
    amount     INTEGER NOT NULL CHECK (amount >= 0),
    terms      BLOB,
    progress   INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What became of every closed hold. The columns are what lists, sums and the
-- proof of the books read; receipt is the whole of it.
CREATE TABLE receipts (
    id            INTEGER PRIMARY KEY,
    ref           TEXT NOT NULL UNIQUE,
    user_id       TEXT NOT NULL,
    request_id    TEXT NOT NULL,
    run_id        TEXT NOT NULL,
    model         TEXT NOT NULL,
    outcome       TEXT NOT NULL,
    input_tokens  INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    hold          INTEGER NOT NULL,
    charge        INTEGER NOT NULL CHECK (charge >= 0 AND charge <= hold),
    finished_at   INTEGER NOT NULL,
    receipt       TEXT NOT NULL
) STRICT;
CREATE INDEX receipts_user ON receipts (user_id, id);
CREATE INDEX receipts_request ON receipts (request_id) WHERE request_id <> '';
CREATE INDEX receipts_time ON receipts (finished_at);

CREATE TRIGGER receipts_no_update BEFORE UPDATE ON receipts
BEGIN SELECT RAISE(ABORT, 'a receipt is written once'); END;
CREATE TRIGGER receipts_no_delete BEFORE DELETE ON receipts
BEGIN SELECT RAISE(ABORT, 'a receipt is written once'); END;

-- catalog --------------------------------------------------------------------

CREATE TABLE provider_config (
    id                     TEXT PRIMARY KEY,
    name                   TEXT NOT NULL DEFAULT '',
    protocol               TEXT NOT NULL,
    base_url               TEXT NOT NULL DEFAULT '',
    api_key_env            TEXT NOT NULL DEFAULT '',
    keyless                INTEGER NOT NULL DEFAULT 0,
    enabled                INTEGER NOT NULL DEFAULT 1,
    allow_private_address  INTEGER NOT NULL DEFAULT 0,
    max_concurrency        INTEGER NOT NULL DEFAULT 0,
    connect_timeout_ms     INTEGER NOT NULL DEFAULT 0,
    first_token_timeout_ms INTEGER NOT NULL DEFAULT 0,
    idle_timeout_ms        INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Sealed with the instance's key; useless without it.
CREATE TABLE provider_keys (
    id          TEXT PRIMARY KEY,
    provider_id TEXT NOT NULL REFERENCES provider_config (id) ON DELETE CASCADE,
    sealed      BLOB NOT NULL,
    last4       TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX provider_keys_provider ON provider_keys (provider_id);

CREATE TABLE ai_models (
    id                TEXT PRIMARY KEY,
    provider_id       TEXT NOT NULL REFERENCES provider_config (id),
    upstream_id       TEXT NOT NULL,
    name              TEXT NOT NULL DEFAULT '',
    state             TEXT NOT NULL DEFAULT 'active',
    context_window    INTEGER NOT NULL DEFAULT 0,
    max_output_tokens INTEGER NOT NULL DEFAULT 0,
    capabilities      TEXT NOT NULL DEFAULT '[]',
    aliases           TEXT NOT NULL DEFAULT '[]',
    parameter_rules   TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX ai_models_provider ON ai_models (provider_id);

-- Price versions stay when their model goes: receipts name them.
CREATE TABLE ai_model_prices (
    n                     INTEGER PRIMARY KEY, -- oldest first
    version               TEXT NOT NULL UNIQUE,
    model_id              TEXT NOT NULL,
    input_nano_usd        INTEGER NOT NULL DEFAULT 0, -- per million tokens, as the next four
    cached_input_nano_usd INTEGER NOT NULL DEFAULT 0,
    cache_write_nano_usd  INTEGER NOT NULL DEFAULT 0,
    output_nano_usd       INTEGER NOT NULL DEFAULT 0,
    reasoning_nano_usd    INTEGER NOT NULL DEFAULT 0,
    per_request_nano_usd  INTEGER NOT NULL DEFAULT 0,
    per_image_nano_usd    INTEGER NOT NULL DEFAULT 0,
    effective_at          INTEGER,
    source                TEXT NOT NULL DEFAULT '',
    as_of                 TEXT NOT NULL DEFAULT '',
    author                TEXT NOT NULL DEFAULT '',
    created_at            INTEGER
) STRICT;
CREATE INDEX ai_model_prices_model ON ai_model_prices (model_id);

CREATE TRIGGER ai_model_prices_no_update BEFORE UPDATE ON ai_model_prices
BEGIN SELECT RAISE(ABORT, 'a price version is immutable: add another'); END;
CREATE TRIGGER ai_model_prices_no_delete BEFORE DELETE ON ai_model_prices
BEGIN SELECT RAISE(ABORT, 'a price version is immutable: add another'); END;

-- Settings have the section 'settings' and one row per value, plans the section
-- 'plan' and one row per plan. value is JSON.
CREATE TABLE system_config (
    section TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL CHECK (json_valid(value)),
    PRIMARY KEY (section, name)
) STRICT, WITHOUT ROWID;

-- document is NULL only for a revision that an edit in SQL made (see
-- catalog_state), until the next one fills it in from the rows.
CREATE TABLE catalog_revisions (
    number     INTEGER PRIMARY KEY,
    author     TEXT NOT NULL,
    note       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    changes    TEXT NOT NULL,
    document   TEXT
) STRICT;

-- saving is 1 inside a Save. A change of the rows at any other time was made
-- directly in SQL: the triggers count it as a revision, so that it is noticed.
CREATE TABLE catalog_state (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    saving INTEGER NOT NULL
) STRICT;
INSERT INTO catalog_state (id, saving) VALUES (1, 0);

CREATE VIEW catalog_edits AS SELECT 0 AS number;
CREATE TRIGGER catalog_edits_insert INSTEAD OF INSERT ON catalog_edits
WHEN (SELECT saving FROM catalog_state) = 0
BEGIN
    INSERT INTO catalog_revisions (number, author, note, created_at, changes)
    SELECT coalesce(max(number), 0) + 1, 'sql', 'changed directly in SQL', CAST(unixepoch('subsec') * 1000 AS INTEGER), '[]'
    FROM catalog_revisions;
END;

CREATE TRIGGER provider_config_insert AFTER INSERT ON provider_config BEGIN INSERT INTO catalog_edits VALUES (1); END;
CREATE TRIGGER provider_config_update AFTER UPDATE ON provider_config BEGIN INSERT INTO catalog_edits VALUES (1); END;
CREATE TRIGGER provider_config_delete AFTER DELETE ON provider_config BEGIN INSERT INTO catalog_edits VALUES (1); END;
CREATE TRIGGER provider_keys_insert AFTER INSERT ON provider_keys BEGIN INSERT INTO catalog_edits VALUES (1); END;
CREATE TRIGGER provider_keys_update AFTER UPDATE ON provider_keys BEGIN INSERT INTO catalog_edits VALUES (1); END;
CREATE TRIGGER provider_keys_delete AFTER DELETE ON provider_keys BEGIN INSERT INTO catalog_edits VALUES (1); END;
CREATE TRIGGER ai_models_insert AFTER INSERT ON ai_models BEGIN INSERT INTO catalog_edits VALUES (1); END;
CREATE TRIGGER ai_models_update AFTER UPDATE ON ai_models BEGIN INSERT INTO catalog_edits VALUES (1); END;
CREATE TRIGGER ai_models_delete AFTER DELETE ON ai_models BEGIN INSERT INTO catalog_edits VALUES (1); END;
CREATE TRIGGER ai_model_prices_insert AFTER INSERT ON ai_model_prices BEGIN INSERT INTO catalog_edits VALUES (1); END;
CREATE TRIGGER system_config_insert AFTER INSERT ON system_config BEGIN INSERT INTO catalog_edits VALUES (1); END;
CREATE TRIGGER system_config_update AFTER UPDATE ON system_config BEGIN INSERT INTO catalog_edits VALUES (1); END;
CREATE TRIGGER system_config_delete AFTER DELETE ON system_config BEGIN INSERT INTO catalog_edits VALUES (1); END;

CREATE TABLE audit_log (
    id         INTEGER PRIMARY KEY,
    actor      TEXT NOT NULL,
    action     TEXT NOT NULL,
    object     TEXT NOT NULL,
    before     TEXT NOT NULL,
    after      TEXT NOT NULL,
    address    TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END;
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END;

-- account --------------------------------------------------------------------

CREATE TABLE users (
    id         TEXT PRIMARY KEY,
    email      TEXT NOT NULL UNIQUE, -- lower case
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    suspended  INTEGER NOT NULL,
    plan       TEXT NOT NULL,
    limits     TEXT NOT NULL,
    password   TEXT NOT NULL, -- argon2id in PHC form
    created_at INTEGER NOT NULL,
    seen_at    INTEGER
) STRICT;
CREATE INDEX users_list ON users (created_at, id);

CREATE TABLE api_keys (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    prefix     TEXT NOT NULL,
    hash       TEXT NOT NULL UNIQUE, -- HMAC-SHA-256 of the key
    created_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT;
CREATE INDEX api_keys_user ON api_keys (user_id);

CREATE TABLE sessions (
    hash       TEXT PRIMARY KEY, -- SHA-256 of the token
    id         TEXT NOT NULL UNIQUE,
    user_id    TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    address    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_seen ON sessions (seen_at);
CREATE INDEX sessions_created ON sessions (created_at);

-- chat -----------------------------------------------------------------------

CREATE TABLE conversations (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL,
    title      TEXT NOT NULL,
    pinned     INTEGER NOT NULL,
    models     TEXT NOT NULL, -- of the newest run
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX conversations_list ON conversations (user_id, pinned, updated_at, id);

CREATE TABLE runs (
    n               INTEGER PRIMARY KEY,
    id              TEXT NOT NULL UNIQUE,
    conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    user_id         TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    digest          TEXT NOT NULL,
    owner           TEXT NOT NULL,
    prompt          TEXT NOT NULL,
    images          TEXT NOT NULL,
    system          TEXT NOT NULL,
    max_tokens      INTEGER NOT NULL,
    max_cost        INTEGER NOT NULL,
    temperature     REAL,
    retry_of        TEXT NOT NULL,
    selected        TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    finished_at     INTEGER
) STRICT;
CREATE INDEX runs_conversation ON runs (conversation_id, created_at, n);
CREATE UNIQUE INDEX runs_key ON runs (user_id, idempotency_key) WHERE idempotency_key <> '';
CREATE INDEX runs_unfinished ON runs (created_at) WHERE finished_at IS NULL;

CREATE TABLE answers (
    id             TEXT PRIMARY KEY,
    run_id         TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    position       INTEGER NOT NULL,
    model          TEXT NOT NULL,
    model_name     TEXT NOT NULL,
    state          TEXT NOT NULL,
    text           TEXT NOT NULL,
    reasoning      TEXT NOT NULL,
    finish_reason  TEXT NOT NULL,
    error_code     TEXT NOT NULL,
    error_text     TEXT NOT NULL,
    retryable      INTEGER NOT NULL,
    retry_after    INTEGER NOT NULL,
    tokens         TEXT NOT NULL,
    estimated      INTEGER NOT NULL,
    charge         INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    first_token_ms INTEGER NOT NULL,
    total_ms       INTEGER NOT NULL
) STRICT;
CREATE INDEX answers_run ON answers (run_id, position);

-- Which text each row of the search index is. ref is the id of the
-- conversation (its title), the run (its prompt) or the answer.
CREATE TABLE search_texts (
    id              INTEGER PRIMARY KEY,
    ref             TEXT NOT NULL UNIQUE,
    source          TEXT NOT NULL CHECK (source IN ('title', 'prompt', 'answer')),
    conversation_id TEXT NOT NULL
) STRICT;
CREATE INDEX search_texts_conversation ON search_texts (conversation_id);

-- Words only: the texts themselves stay where they are. owner is one word per
-- user, so that a search never walks through other users' matches.
CREATE VIRTUAL TABLE search USING fts5 (
    owner, body, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);

-- replay ---------------------------------------------------------------------

CREATE TABLE run_events (
    run_id     TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    data       BLOB NOT NULL,
    last       INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;
