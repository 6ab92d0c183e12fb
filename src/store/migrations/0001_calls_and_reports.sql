-- What happened, once and for good: a row for each call and for each report. Scores are derived from these rows, never
-- stored in their place, so that a later version can weigh them differently. Times are milliseconds since 1970, UTC.
-- Only types that SQLite and PostgreSQL share.

CREATE TABLE calls (
    call_id     TEXT    NOT NULL PRIMARY KEY,
    -- E.164, or a tagged key for what is no number; NULL when the caller withheld it.
    number      TEXT,
    -- STIR/SHAKEN (RFC 8588). Calls with A are evidence about the number's owner, all others about whoever showed it.
    attestation TEXT    NOT NULL CHECK (attestation IN ('A', 'B', 'C', 'none')),
    verdict     TEXT    NOT NULL CHECK (verdict IN ('scam', 'suspicious', 'clean', 'unscreened')),
    risk        REAL    NOT NULL,
    started_ms  BIGINT  NOT NULL,
    duration_ms BIGINT  NOT NULL
);
CREATE INDEX calls_of_number ON calls (number, attestation, verdict);

-- A report may be made while its call lasts, before the call's own row exists: no foreign key.
CREATE TABLE reports (
    call_id     TEXT    NOT NULL,
    source      TEXT    NOT NULL CHECK (source IN ('callee', 'subscriber', 'classifier')),
    kind        TEXT    NOT NULL CHECK (kind IN ('scam', 'legitimate')),
    number      TEXT,
    at_ms       BIGINT  NOT NULL,
    PRIMARY KEY (call_id, source, kind)
);
CREATE INDEX reports_of_number ON reports (number, kind, source);
