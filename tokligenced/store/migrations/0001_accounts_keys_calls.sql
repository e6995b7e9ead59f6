-- Who pays, what they call with, and what became of each call.
-- Points in time are Unix milliseconds, money is integer nano-USD, truth is 0 or 1.

PRAGMA application_id = 0x746b6c67;  -- 'tklg'

CREATE TABLE accounts (
    id         TEXT PRIMARY KEY,
    email      TEXT NOT NULL COLLATE NOCASE UNIQUE CHECK (email <> ''),
    admin      INTEGER NOT NULL CHECK (admin IN (0, 1)),
    unlimited  INTEGER NOT NULL CHECK (unlimited IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE organizations (
    id         TEXT PRIMARY KEY,
    slug       TEXT NOT NULL COLLATE NOCASE UNIQUE CHECK (slug <> ''),
    owner_id   TEXT NOT NULL REFERENCES accounts (id),
    unlimited  INTEGER NOT NULL CHECK (unlimited IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX organizations_by_owner ON organizations (owner_id);

CREATE TABLE members (
    org_id     TEXT NOT NULL REFERENCES organizations (id),
    account_id TEXT NOT NULL REFERENCES accounts (id),
    role       TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    PRIMARY KEY (org_id, account_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_by_account ON members (account_id);

-- A key's payer is an account or an organization: the two columns made from it carry the references.
CREATE TABLE keys (
    id                  TEXT PRIMARY KEY,
    digest              BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    prefix              TEXT NOT NULL,
    name                TEXT NOT NULL,
    payer_kind          TEXT NOT NULL CHECK (payer_kind IN ('account', 'org')),
    payer_id            TEXT NOT NULL,
    requests_per_minute INTEGER CHECK (requests_per_minute >= 0),
    tokens_per_minute   INTEGER CHECK (tokens_per_minute >= 0),
    concurrency         INTEGER CHECK (concurrency >= 0),
    models              TEXT,  -- NULL: every model
    spend_cap_nano      INTEGER CHECK (spend_cap_nano >= 0),       -- NULL: none
    created_at          INTEGER NOT NULL,
    expires_at          INTEGER,
    revoked_at          INTEGER,
    account_id          TEXT AS (iif(payer_kind = 'account', payer_id, NULL)) REFERENCES accounts (id),
    org_id              TEXT AS (iif(payer_kind = 'org', payer_id, NULL)) REFERENCES organizations (id)
) STRICT, WITHOUT ROWID;

CREATE INDEX keys_by_payer ON keys (payer_id);

-- One row per call, written once. It names its key and payer without references: a call that
-- happened must be recordable whatever has become of them.
CREATE TABLE calls (
    id             TEXT PRIMARY KEY,
    started_at     INTEGER NOT NULL,
    key_id         TEXT NOT NULL,
    payer_id       TEXT NOT NULL,
    endpoint       TEXT NOT NULL,
    model          TEXT NOT NULL,
    provider       TEXT,                 -- NULL: none was reached
    upstream_model TEXT,
    stream         INTEGER NOT NULL CHECK (stream IN (0, 1)),
    status         INTEGER NOT NULL,
    error          TEXT,                 -- NULL: it succeeded
    attempts       INTEGER NOT NULL,
    input          INTEGER NOT NULL,
    cached_input   INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    audio_in       INTEGER NOT NULL,
    image_in       INTEGER NOT NULL,
    output         INTEGER NOT NULL,
    reasoning      INTEGER NOT NULL,
    audio_out      INTEGER NOT NULL,
    image_out      INTEGER NOT NULL,
    images         INTEGER NOT NULL,
    searches       INTEGER NOT NULL,
    estimated      INTEGER NOT NULL CHECK (estimated IN (0, 1)),
    cost_nano      INTEGER NOT NULL CHECK (cost_nano >= 0),
    first_byte_us  INTEGER,              -- NULL: no byte came
    duration_us    INTEGER NOT NULL
) STRICT;

CREATE INDEX calls_by_time ON calls (started_at);
CREATE INDEX calls_by_payer ON calls (payer_id, started_at, key_id);  -- a key's calls are among its payer's

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,               -- an account's id, or 'cli'
    action  TEXT NOT NULL,               -- dotted and past tense: 'key.revoked'
    subject TEXT NOT NULL,               -- the id of what was acted upon
    detail  TEXT NOT NULL
) STRICT;

CREATE INDEX audit_by_subject ON audit (subject, at);

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;

CREATE TRIGGER audit_is_never_shortened BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
