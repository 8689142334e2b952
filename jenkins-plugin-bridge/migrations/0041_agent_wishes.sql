-- Builds with a plan that wait for an agent of their own. Times ending in _ms are milliseconds since 1970.
CREATE TABLE agent_wishes (
    build TEXT NOT NULL PRIMARY KEY,
    master TEXT NOT NULL,
    pool TEXT NOT NULL,
    label TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
