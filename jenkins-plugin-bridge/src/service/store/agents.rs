//! The ledger of agents.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::{Store, StoreError};
use crate::agents::{Agent, Wanted};

/// The columns of an agent, in the order in which they are read.
const COLUMNS: &str = "body, version, heard_ms";
/// How often a change is tried that somebody else was faster with.
const TRIES: usize = 8;

fn read(row: &AnyRow) -> Result<Agent, StoreError> {
    let body: String = row.try_get(0)?;
    let mut agent: Agent = serde_json::from_str(&body)
        .map_err(|error| StoreError::Database(sqlx::Error::Decode(error.into())))?;
    agent.version = row.try_get(1)?;
    agent.heard_ms = row.try_get(2)?;
    Ok(agent)
}

fn text(agent: &Agent) -> Result<String, StoreError> {
    serde_json::to_string(agent)
        .map_err(|error| StoreError::Database(sqlx::Error::Encode(error.into())))
}

impl Store {
    /// Keeps a new agent, with the digest of the token that its pod will show.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_agent(
        &self,
        agent: &Agent,
        token_sha256: Option<&str>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO agents (id, pool, state, version, body, token_sha256, created_ms, \
             changed_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
        )
        .bind(agent.id.clone())
        .bind(agent.pool.clone())
        .bind(agent.state.as_str())
        .bind(agent.version)
        .bind(text(agent)?)
        .bind(token_sha256.map(str::to_owned))
        .bind(agent.created_ms)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// All agents of which something may be left, and those that have gone since a time, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn agents(&self, gone_since_ms: i64) -> Result<Vec<Agent>, StoreError> {
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM agents WHERE state <> 'gone' OR changed_ms > $1 \
             ORDER BY created_ms, id"
        )))
        .bind(gone_since_ms)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    /// An agent with the digest of its token.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn agent(&self, id: &str) -> Result<Option<(Agent, Option<String>)>, StoreError> {
        let row = sqlx::query(AssertSqlSafe(format!(
            "SELECT {COLUMNS}, token_sha256 FROM agents WHERE id = $1"
        )))
        .bind(id.to_owned())
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| Ok((read(&row)?, row.try_get(3)?))).transpose()
    }

    /// Changes an agent, from how it is at that moment; `change` says false where it is to stay so, and is
    /// asked again where somebody else was faster. The agent as it is then, if it was changed.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Busy`] where others are always faster.
    pub async fn change_agent(
        &self,
        id: &str,
        now_ms: i64,
        change: impl Fn(&mut Agent) -> bool,
    ) -> Result<Option<Agent>, StoreError> {
        for _ in 0..TRIES {
            let Some((mut agent, _)) = self.agent(id).await? else { return Ok(None) };
            let seen = agent.version;
            if !change(&mut agent) {
                return Ok(None);
            }
            agent.version = seen + 1;
            let done = sqlx::query(
                "UPDATE agents SET state = $1, body = $2, version = $3, changed_ms = $4 \
                 WHERE id = $5 AND version = $6",
            )
            .bind(agent.state.as_str())
            .bind(text(&agent)?)
            .bind(agent.version)
            .bind(now_ms)
            .bind(id.to_owned())
            .bind(seen)
            .execute(&self.pool)
            .await?;
            if done.rows_affected() == 1 {
                return Ok(Some(agent));
            }
        }
        Err(StoreError::Busy)
    }

    /// Keeps that a build waits for an agent of its own. One that is kept stays as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn wish_agent(&self, wish: &Wanted, now_ms: i64) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO agent_wishes (build, master, pool, label, created_ms) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (build) DO NOTHING",
        )
        .bind(wish.build.clone())
        .bind(wish.master.clone())
        .bind(wish.pool.clone())
        .bind(wish.label.clone())
        .bind(now_ms)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Builds that wait for an agent of their own, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn agent_wishes(&self) -> Result<Vec<Wanted>, StoreError> {
        let rows = sqlx::query(
            "SELECT build, master, pool, label FROM agent_wishes ORDER BY created_ms, build",
        )
        .fetch_all(&self.pool)
        .await?;
        let read = |row: &AnyRow| -> Result<Wanted, StoreError> {
            Ok(Wanted {
                build: row.try_get(0)?,
                master: row.try_get(1)?,
                pool: row.try_get(2)?,
                label: row.try_get(3)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// A build waits for no agent any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_agent_wish(&self, build: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM agent_wishes WHERE build = $1")
            .bind(build.to_owned())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Forgets builds that have waited since before a time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_agent_wishes(&self, before_ms: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM agent_wishes WHERE created_ms < $1")
            .bind(before_ms)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Keeps how many builds wait for agents of a pool, by master.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_pool_builds(
        &self,
        pool: &str,
        builds: &BTreeMap<String, u32>,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(builds)
            .map_err(|error| StoreError::Database(sqlx::Error::Encode(error.into())))?;
        sqlx::query(
            "INSERT INTO agent_pools (pool, builds) VALUES ($1, $2) \
             ON CONFLICT (pool) DO UPDATE SET builds = $2",
        )
        .bind(pool.to_owned())
        .bind(text)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// How many builds wait for agents, by pool and master.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pool_builds(&self) -> Result<BTreeMap<String, BTreeMap<String, u32>>, StoreError> {
        let rows =
            sqlx::query("SELECT pool, builds FROM agent_pools").fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let text: String = row.try_get(1)?;
                let builds = serde_json::from_str(&text)
                    .map_err(|error| StoreError::Database(sqlx::Error::Decode(error.into())))?;
                Ok((row.try_get(0)?, builds))
            })
            .collect()
    }

    /// Notes that an agent was heard of.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn heard_of_agent(&self, id: &str, now_ms: i64) -> Result<(), StoreError> {
        sqlx::query("UPDATE agents SET heard_ms = $1 WHERE id = $2")
            .bind(now_ms)
            .bind(id.to_owned())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Forgets agents that have gone before a time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_agents(&self, before_ms: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM agents WHERE state = 'gone' AND changed_ms < $1")
            .bind(before_ms)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
