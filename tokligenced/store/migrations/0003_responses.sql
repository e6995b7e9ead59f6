-- Answers that clients asked to have kept (OpenAI's `store`), so that a next turn can refer to them.

CREATE TABLE responses (
    id         TEXT PRIMARY KEY,
    key_id     TEXT NOT NULL REFERENCES keys (id),   -- nobody else may read it
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    response   BLOB NOT NULL,                        -- JSON: the response as the client got it
    input      BLOB NOT NULL                         -- JSON: all items that led to it, its ancestors' included
) STRICT, WITHOUT ROWID;

CREATE INDEX responses_by_expiry ON responses (expires_at);
