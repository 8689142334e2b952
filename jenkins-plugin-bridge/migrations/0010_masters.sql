-- Masters, the jobs that they all have, and the builds of the bridge. Times ending in _ms are
-- milliseconds since 1970.

-- What whoever looks at a master saw last, for those that do not look.
CREATE TABLE master_states (
    name TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL,
    observed_ms BIGINT NOT NULL
);

-- Who has a duty. A holder raises the heartbeat; one that stands still is taken over.
CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    heartbeat BIGINT NOT NULL,
    generation BIGINT NOT NULL
);

-- Jobs. The number is that of the next build.
CREATE TABLE jobs (
    name TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL,
    revision BIGINT NOT NULL,
    next_number BIGINT NOT NULL,
    is_removed BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL
);

-- What is known of a job on a master: the state of its copy there, and since when.
CREATE TABLE job_copies (
    job TEXT NOT NULL REFERENCES jobs (name) ON DELETE CASCADE,
    master TEXT NOT NULL,
    state TEXT NOT NULL,
    detail TEXT NOT NULL,
    revision BIGINT NOT NULL,
    checked_ms BIGINT NOT NULL,
    PRIMARY KEY (job, master)
);

-- Builds that were asked of the bridge, whatever master runs them. The key is that of the attempt that
-- counts: whoever comes with another one runs nothing.
CREATE TABLE routed_builds (
    id TEXT NOT NULL PRIMARY KEY,
    job TEXT NOT NULL,
    number BIGINT NOT NULL,
    state TEXT NOT NULL,
    version BIGINT NOT NULL,
    body TEXT NOT NULL,
    subject TEXT NOT NULL,
    idempotency_key TEXT,
    master TEXT,
    attempt BIGINT NOT NULL,
    key TEXT,
    queue_item BIGINT,
    url TEXT,
    reason TEXT NOT NULL,
    result TEXT,
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL,
    started_ms BIGINT,
    finished_ms BIGINT,
    UNIQUE (job, number)
);

CREATE UNIQUE INDEX routed_builds_key ON routed_builds (subject, idempotency_key);

CREATE INDEX routed_builds_live ON routed_builds (state) WHERE state <> 'finished';

CREATE INDEX routed_builds_created ON routed_builds (created_ms);

-- Each time that a build was given to a master. What is stale may still wait or run there.
CREATE TABLE attempts (
    build TEXT NOT NULL REFERENCES routed_builds (id) ON DELETE CASCADE,
    attempt BIGINT NOT NULL,
    key TEXT NOT NULL UNIQUE,
    master TEXT NOT NULL,
    digest TEXT,
    queue_item BIGINT,
    url TEXT,
    outcome TEXT NOT NULL,
    is_stale BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    PRIMARY KEY (build, attempt)
);

CREATE INDEX attempts_stale ON attempts (master) WHERE is_stale = 1;
