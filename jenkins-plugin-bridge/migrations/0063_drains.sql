-- Masters that an operator has taken out. Times ending in _ms are milliseconds since 1970.
CREATE TABLE drains (
    master TEXT NOT NULL PRIMARY KEY,
    who TEXT NOT NULL,
    reason TEXT NOT NULL,
    since_ms BIGINT NOT NULL
);
