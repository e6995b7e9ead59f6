-- Prepaid balances: what each payer has, what is held, and every movement of money, for good.
-- Amounts are integer nano-USD. An entry moves money from one account to another, so all balances sum
-- to zero; the operator's own accounts are called 'operator:…'.

ALTER TABLE accounts ADD COLUMN price_millionths INTEGER NOT NULL DEFAULT 1000000
    CHECK (price_millionths >= 0);                -- of the list price, which this payer pays
ALTER TABLE organizations ADD COLUMN price_millionths INTEGER NOT NULL DEFAULT 1000000
    CHECK (price_millionths >= 0);
ALTER TABLE organizations ADD COLUMN requests_per_minute INTEGER CHECK (requests_per_minute >= 1);
ALTER TABLE organizations ADD COLUMN tokens_per_minute INTEGER CHECK (tokens_per_minute >= 1);
ALTER TABLE organizations ADD COLUMN concurrency INTEGER CHECK (concurrency >= 1);

ALTER TABLE calls ADD COLUMN shortfall_nano INTEGER NOT NULL DEFAULT 0 CHECK (shortfall_nano >= 0);
ALTER TABLE calls ADD COLUMN price_id TEXT;                           -- NULL: free, or never priced
ALTER TABLE calls ADD COLUMN price_millionths INTEGER NOT NULL DEFAULT 1000000;
ALTER TABLE calls ADD COLUMN held_nano INTEGER NOT NULL DEFAULT 0;

-- The prices that calls were held with, each kept once under the hash of its content.
CREATE TABLE prices (
    id       TEXT PRIMARY KEY,
    snapshot TEXT NOT NULL                        -- JSON: domain.Price
) STRICT, WITHOUT ROWID;

CREATE TABLE balances (
    owner   TEXT PRIMARY KEY,                     -- a payer's id, or an account of the operator's
    balance INTEGER NOT NULL,
    held    INTEGER NOT NULL,
    CHECK (owner LIKE 'operator:%' OR (0 <= held AND held <= balance))
) STRICT, WITHOUT ROWID;

INSERT INTO balances (owner, balance, held) VALUES
    ('operator:funding', 0, 0),                   -- where credits come from
    ('operator:revenue', 0, 0),                   -- where charges go to
    ('operator:house', 0, 0),                     -- pays for accounts marked unlimited
    ('operator:shortfall', 0, 0);                 -- pays what an upstream reports beyond a hold

-- A call between its admission and its settling. `progress` is what it would be charged if the process
-- died now; NULL as long as no upstream has begun to answer.
CREATE TABLE holds (
    call_id          TEXT PRIMARY KEY,
    payer_id         TEXT NOT NULL,
    key_id           TEXT NOT NULL,
    amount           INTEGER NOT NULL CHECK (amount >= 0),
    unlimited        INTEGER NOT NULL CHECK (unlimited IN (0, 1)),
    progress         INTEGER CHECK (progress >= 0),
    opened_at        INTEGER NOT NULL,
    endpoint         TEXT NOT NULL,
    model            TEXT NOT NULL,
    stream           INTEGER NOT NULL CHECK (stream IN (0, 1)),
    price_id         TEXT,
    price_millionths INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE entries (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    at        INTEGER NOT NULL,
    kind      TEXT NOT NULL CHECK (kind IN ('credit', 'charge', 'shortfall')),
    source    TEXT NOT NULL,
    target    TEXT NOT NULL CHECK (target <> source),
    amount    INTEGER NOT NULL CHECK (amount > 0),
    call_id   TEXT,
    reference TEXT,
    note      TEXT,
    hash      BLOB NOT NULL CHECK (length(hash) = 32),  -- over the entry and the hash before it
    CHECK ((kind = 'credit') = (reference IS NOT NULL)),
    CHECK ((kind = 'credit') = (call_id IS NULL))
) STRICT;

CREATE UNIQUE INDEX entries_once_a_call ON entries (call_id, kind) WHERE call_id IS NOT NULL;
CREATE UNIQUE INDEX entries_once_a_reference ON entries (target, reference) WHERE reference IS NOT NULL;
CREATE INDEX entries_by_source ON entries (source, at);

CREATE TRIGGER entries_are_never_changed BEFORE UPDATE ON entries
BEGIN
    SELECT RAISE(ABORT, 'ledger entries are append-only');
END;

CREATE TRIGGER entries_are_never_removed BEFORE DELETE ON entries
BEGIN
    SELECT RAISE(ABORT, 'ledger entries are append-only');
END;

-- `INSERT OR REPLACE` removes the row it meets without asking the trigger above.
CREATE TRIGGER entries_are_never_replaced BEFORE INSERT ON entries
WHEN EXISTS (
    SELECT 1 FROM entries WHERE seq = NEW.seq
    UNION ALL SELECT 1 FROM entries WHERE call_id = NEW.call_id AND kind = NEW.kind
    UNION ALL SELECT 1 FROM entries WHERE target = NEW.target AND reference = NEW.reference
)
BEGIN
    SELECT RAISE(ABORT, 'ledger entries are append-only');
END;

-- What each key has spent, for its cap.
CREATE TABLE key_spend (
    key_id TEXT PRIMARY KEY,
    spent  INTEGER NOT NULL CHECK (spent >= 0)
) STRICT, WITHOUT ROWID;

-- Levels of the rate limiter's buckets at a wall time, from where they refill; NULL: there is no such limit.
CREATE TABLE buckets (
    owner    TEXT PRIMARY KEY,                    -- a key's or an organization's id
    requests REAL,
    tokens   REAL,
    at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Before there were balances nobody paid; a cost without a charge would be a broken invariant now.
UPDATE calls SET cost_nano = 0;
