//! What was seen of masters, for replicas that do not look themselves, which of them are taken
//! out, and those that are declared over the API.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::{Store, StoreError};
use crate::masters::{Drain, MasterDeclaration, State};

impl Store {
    /// Keeps what is known about a master.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_master_state(
        &self,
        name: &str,
        state: &State,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let body = serde_json::to_string(state)
            .map_err(|error| StoreError::Database(sqlx::Error::Encode(error.into())))?;
        sqlx::query(
            "INSERT INTO master_states (name, body, observed_ms) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET body = $2, observed_ms = $3",
        )
        .bind(name.to_owned())
        .bind(body)
        .bind(now_ms)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What is known about all masters that anybody looked at.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn master_states(&self) -> Result<Vec<(String, State)>, StoreError> {
        let rows =
            sqlx::query("SELECT name, body FROM master_states").fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let body: String = row.try_get(1)?;
                let state = serde_json::from_str(&body)
                    .map_err(|error| StoreError::Database(sqlx::Error::Decode(error.into())))?;
                Ok((row.try_get(0)?, state))
            })
            .collect()
    }

    /// Says that a master is taken out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_drain(&self, master: &str, drain: &Drain) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO drains (master, who, reason, since_ms) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (master) DO UPDATE SET who = $2, reason = $3, since_ms = $4",
        )
        .bind(master.to_owned())
        .bind(drain.who.clone())
        .bind(drain.reason.clone())
        .bind(drain.since_ms)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Says that a master is not taken out any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_drain(&self, master: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM drains WHERE master = $1")
            .bind(master.to_owned())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The masters that are taken out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn drains(&self) -> Result<BTreeMap<String, Drain>, StoreError> {
        let rows = sqlx::query("SELECT master, who, reason, since_ms FROM drains")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                let (who, reason) = (row.try_get(1)?, row.try_get(2)?);
                Ok((row.try_get(0)?, Drain { who, reason, since_ms: row.try_get(3)? }))
            })
            .collect()
    }

    /// Keeps what is declared of a master.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_declared_master(
        &self,
        one: &MasterDeclaration,
        who: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let body = serde_json::to_string(one)
            .map_err(|error| StoreError::Database(sqlx::Error::Encode(error.into())))?;
        sqlx::query(
            "INSERT INTO declared_masters (name, body, who, changed_ms) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (name) DO UPDATE SET body = $2, who = $3, changed_ms = $4",
        )
        .bind(one.name.to_string())
        .bind(body)
        .bind(who.to_owned())
        .bind(now_ms)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets a master, with what was seen of it and of the jobs there, and that it is taken out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_declared_master(&self, name: &str) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        for sql in [
            "DELETE FROM declared_masters WHERE name = $1",
            "DELETE FROM master_states WHERE name = $1",
            "DELETE FROM drains WHERE master = $1",
            "DELETE FROM job_copies WHERE master = $1",
        ] {
            sqlx::query(sql).bind(name.to_owned()).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The masters that are declared over the API, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn declared_masters(&self) -> Result<Vec<MasterDeclaration>, StoreError> {
        let rows = sqlx::query("SELECT body FROM declared_masters ORDER BY name")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                let body: String = row.try_get(0)?;
                serde_json::from_str(&body)
                    .map_err(|error| StoreError::Database(sqlx::Error::Decode(error.into())))
            })
            .collect()
    }
}
