-- How the pods of builds started, and what the stages of builds used. Times are seconds since 1970.
CREATE TABLE pod_starts (
    build TEXT NOT NULL PRIMARY KEY REFERENCES builds (id) ON DELETE CASCADE,
    body TEXT NOT NULL,
    seen_at BIGINT NOT NULL
);

CREATE TABLE usage_reports (
    build TEXT NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    stage TEXT NOT NULL,
    container TEXT NOT NULL,
    wall_ms BIGINT NOT NULL,
    cpu_ms BIGINT NOT NULL,
    peak_bytes BIGINT NOT NULL,
    -- 1 where other stages ran in the same container at the same time.
    shared BIGINT NOT NULL,
    reported_at BIGINT NOT NULL,
    PRIMARY KEY (build, stage, container)
);

CREATE INDEX usage_reports_reported_at ON usage_reports (reported_at);
