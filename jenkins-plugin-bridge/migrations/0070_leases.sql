-- Leases of the bridge over all masters: locks of stages. Times ending in _ms are milliseconds since 1970.

-- Whoever changes something that others of its name wait for changes this row first, and so goes alone.
CREATE TABLE lease_turns (
    name TEXT NOT NULL PRIMARY KEY,
    turns BIGINT NOT NULL
);

-- Who holds a lock, and who waits for it: in the order of the tickets.
CREATE TABLE stage_locks (
    build TEXT NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    stage TEXT NOT NULL,
    name TEXT NOT NULL,
    ticket BIGINT NOT NULL,
    asked_ms BIGINT NOT NULL,
    -- Since when it holds the lock; nothing while it waits.
    held_ms BIGINT,
    heard_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    -- When its controller was asked about it last, and when that was answered.
    look_ms BIGINT NOT NULL,
    looked_ms BIGINT NOT NULL,
    PRIMARY KEY (build, stage)
);

CREATE UNIQUE INDEX stage_locks_ticket ON stage_locks (name, ticket);

CREATE UNIQUE INDEX stage_locks_held ON stage_locks (name) WHERE held_ms IS NOT NULL;
