-- Plans by their digest, builds with what happened in them. Times are seconds since 1970.
CREATE TABLE plans (
    digest TEXT NOT NULL PRIMARY KEY,
    controller TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE builds (
    id TEXT NOT NULL PRIMARY KEY,
    controller TEXT NOT NULL,
    job TEXT NOT NULL,
    number BIGINT NOT NULL,
    started_ms BIGINT NOT NULL,
    digest TEXT NOT NULL REFERENCES plans (digest),
    created_at BIGINT NOT NULL,
    UNIQUE (controller, job, number, started_ms)
);

CREATE INDEX builds_created_at ON builds (created_at);

CREATE INDEX builds_digest ON builds (digest);

CREATE TABLE events (
    build TEXT NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    sequence BIGINT NOT NULL,
    body TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (build, sequence)
);

CREATE TABLE evaluations (
    build TEXT NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    facts_digest TEXT NOT NULL,
    facts TEXT NOT NULL,
    answer TEXT NOT NULL,
    answered_at BIGINT NOT NULL,
    PRIMARY KEY (build, facts_digest)
);

-- Who runs a build: the first that says so.
CREATE TABLE claims (
    build TEXT NOT NULL PRIMARY KEY REFERENCES builds (id) ON DELETE CASCADE,
    controller TEXT NOT NULL,
    url TEXT NOT NULL,
    claimed_at BIGINT NOT NULL
);

CREATE TABLE idempotency (
    subject TEXT NOT NULL,
    key TEXT NOT NULL,
    request_digest TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (subject, key)
);

CREATE INDEX idempotency_created_at ON idempotency (created_at);
