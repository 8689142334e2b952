-- What waits for agents, as the replica that keeps them sees it: by pool, the builds at each master as JSON.
CREATE TABLE agent_pools (
    pool TEXT NOT NULL PRIMARY KEY,
    builds TEXT NOT NULL
);
