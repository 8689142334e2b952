-- Agents that the bridge has made. A row is written before anything of its agent is, and is there for an
-- hour after nothing of it is left. Times ending in _ms are milliseconds since 1970.
CREATE TABLE agents (
    id TEXT NOT NULL PRIMARY KEY,
    pool TEXT NOT NULL,
    state TEXT NOT NULL,
    version BIGINT NOT NULL,
    -- Everything else that is known of it.
    body TEXT NOT NULL,
    -- SHA-256 of the token that its pod shows; null where its cluster says who it is.
    token_sha256 TEXT,
    -- When it was heard of last while it waited.
    heard_ms BIGINT,
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL
);
CREATE INDEX agents_by_state ON agents (state, changed_ms);
