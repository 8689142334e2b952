-- What starts builds by itself. Times ending in _ms are milliseconds since 1970.

-- Events that forges told. One that comes again has the same identity. The outcome says what each job of the
-- repository made of it.
CREATE TABLE trigger_events (
    id TEXT NOT NULL PRIMARY KEY,
    forge TEXT NOT NULL,
    identity TEXT NOT NULL,
    delivery TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT NOT NULL,
    received_ms BIGINT NOT NULL,
    done_ms BIGINT,
    UNIQUE (forge, identity)
);

CREATE INDEX trigger_events_new ON trigger_events (received_ms) WHERE state = 'new';

CREATE INDEX trigger_events_received ON trigger_events (received_ms);

-- What is known of each trigger of a job: when it comes next, when it came last and what of it, why it did
-- not, and what it has seen. A trigger that is changed is another one.
CREATE TABLE trigger_states (
    job TEXT NOT NULL,
    trigger_id TEXT NOT NULL,
    next_ms BIGINT,
    fired_ms BIGINT,
    build TEXT,
    note TEXT NOT NULL,
    seen TEXT NOT NULL,
    PRIMARY KEY (job, trigger_id)
);
