-- What builds left behind, copied from their masters. Times ending in _ms are milliseconds since 1970.
CREATE TABLE archives (
    build TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    tries BIGINT NOT NULL,
    next_ms BIGINT NOT NULL,
    error TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE INDEX archives_due ON archives (next_ms) WHERE state = 'due';

CREATE INDEX archives_created ON archives (created_ms);
