-- Masters that are declared over the API. Times ending in _ms are milliseconds since 1970.
CREATE TABLE declared_masters (
    name TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL,
    who TEXT NOT NULL,
    changed_ms BIGINT NOT NULL
);
