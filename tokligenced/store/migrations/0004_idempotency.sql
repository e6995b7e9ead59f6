-- Answers to calls that came with an Idempotency-Key: the same call again within a day gets the same answer.

CREATE TABLE idempotent_answers (
    key_id       TEXT NOT NULL,    -- the API key; without a reference, for a charge must land with its answer
    name         TEXT NOT NULL,    -- the Idempotency-Key
    fingerprint  BLOB NOT NULL CHECK (length(fingerprint) = 32),
    expires_at   INTEGER NOT NULL,
    size         INTEGER NOT NULL, -- of the body, in bytes
    content_type TEXT NOT NULL,
    body         BLOB NOT NULL,
    PRIMARY KEY (key_id, name)
) STRICT;

CREATE INDEX idempotent_answers_by_expiry ON idempotent_answers (expires_at);
CREATE INDEX idempotent_answers_by_key ON idempotent_answers (key_id, expires_at, size);
