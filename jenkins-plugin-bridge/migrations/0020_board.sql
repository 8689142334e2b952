-- Who is logged in to the pages, logins under way, and who did what. Times ending in _ms are
-- milliseconds since 1970, others seconds.

-- The digest is that of the cookie: whoever reads this table can log in as nobody.
CREATE TABLE sessions (
    digest TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    -- Digest of the access token that it stands for; it ends with that token.
    token TEXT,
    -- The role that the identity provider gave.
    role TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- Browsers that were sent to the identity provider and are not back yet.
CREATE TABLE logins (
    digest TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    nonce TEXT NOT NULL,
    verifier TEXT NOT NULL,
    next TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE audit (
    id TEXT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    who TEXT NOT NULL,
    via TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    origin TEXT NOT NULL,
    status BIGINT NOT NULL
);

CREATE INDEX audit_at_ms ON audit (at_ms);

CREATE INDEX routed_builds_job ON routed_builds (job, created_ms);
