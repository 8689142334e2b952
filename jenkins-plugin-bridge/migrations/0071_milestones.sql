-- Builds that have passed a milestone of their job. The rank says which build is the older one: the number of a build of
-- the bridge, else when the build started.
CREATE TABLE milestones (
    job TEXT NOT NULL,
    milestone TEXT NOT NULL,
    build_rank BIGINT NOT NULL,
    build TEXT NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    passed_ms BIGINT NOT NULL,
    PRIMARY KEY (job, milestone, build_rank)
);
