-- A call and a report are kept apart for verified (attestation A) and unverified numbers: a spoofed victim's number must
-- not inherit what its impostors did.
CREATE TABLE calls (
    call_id     TEXT PRIMARY KEY NOT NULL,
    number      TEXT,
    verified    INTEGER NOT NULL DEFAULT 0,
    attestation TEXT NOT NULL,
    verdict     TEXT NOT NULL,
    risk        REAL NOT NULL,
    started_at  TEXT NOT NULL,
    duration_ms INTEGER NOT NULL
);
CREATE INDEX calls_by_number ON calls (number);

CREATE TABLE reports (
    call_id     TEXT NOT NULL,
    number      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    source      TEXT NOT NULL,
    reported_at TEXT NOT NULL,
    PRIMARY KEY (call_id, kind)
);
CREATE INDEX reports_by_number ON reports (number);
