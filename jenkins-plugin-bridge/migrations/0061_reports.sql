-- What is told of builds to others. Times ending in _ms are milliseconds since 1970.

-- The version of a build up to which its changes were told, and followed by what they start. -1 where its
-- stages have changed since.
ALTER TABLE routed_builds ADD COLUMN announced BIGINT NOT NULL DEFAULT 0;

UPDATE routed_builds SET announced = version;

CREATE INDEX routed_builds_unannounced ON routed_builds (changed_ms) WHERE announced <> version;

-- Messages, one row for each thing that is told: a later state of it takes the place of an earlier one and
-- raises the revision. Those of a lane go out one after the other.
CREATE TABLE outbox (
    target TEXT NOT NULL,
    item TEXT NOT NULL,
    lane TEXT NOT NULL,
    revision BIGINT NOT NULL,
    number BIGINT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    tries BIGINT NOT NULL,
    next_ms BIGINT NOT NULL,
    error TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL,
    PRIMARY KEY (target, item)
);

CREATE INDEX outbox_due ON outbox (target, lane) WHERE state = 'due';

CREATE INDEX outbox_changed ON outbox (changed_ms);
