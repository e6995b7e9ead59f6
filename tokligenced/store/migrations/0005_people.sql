-- How people prove who they are: passwords, second factors, sessions, one-time links.
-- Of everything that a bearer sends there is only a hash; the secret of a second factor must be there itself.

CREATE TABLE passwords (
    account_id TEXT PRIMARY KEY REFERENCES accounts (id),
    hash       TEXT NOT NULL,                    -- argon2id, with its parameters and salt
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE second_factors (
    account_id TEXT PRIMARY KEY REFERENCES accounts (id),
    secret     BLOB NOT NULL,
    last_step  INTEGER NOT NULL,                 -- of the last code that was accepted: none is twice
    made_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE recovery_codes (
    account_id TEXT NOT NULL REFERENCES second_factors (account_id) ON DELETE CASCADE,
    digest     BLOB NOT NULL CHECK (length(digest) = 32),
    PRIMARY KEY (account_id, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    id         TEXT PRIMARY KEY,
    digest     BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    account_id TEXT NOT NULL REFERENCES accounts (id),
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    address    TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_account ON sessions (account_id);

CREATE TABLE links (
    digest     BLOB PRIMARY KEY CHECK (length(digest) = 32),
    kind       TEXT NOT NULL CHECK (kind IN ('reset', 'invite', 'setup')),
    account_id TEXT REFERENCES accounts (id),    -- whose password a reset is for
    email      TEXT,                             -- whom an invitation is for; NULL: anybody
    made_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    CHECK ((kind = 'reset') = (account_id IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX links_by_account ON links (account_id);
