-- Each master's builds are looked at every few seconds.
CREATE INDEX routed_builds_at ON routed_builds (master) WHERE state <> 'finished';
