//! Leases: of several replicas one has a duty. No clocks are compared between machines: a holder raises a
//! heartbeat, and whoever sees it stand still for long enough by a clock of its own takes over.

use sqlx::Row as _;

use super::{Store, StoreError};

/// A lease as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    /// Who has it; empty for nobody.
    pub holder: String,
    /// Raised by the holder.
    pub heartbeat: i64,
    /// Raised with each new holder.
    pub generation: i64,
}

impl Store {
    /// A lease as it stands; it is made where it is not there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lease(&self, name: &str) -> Result<LeaseRow, StoreError> {
        sqlx::query(
            "INSERT INTO leases (name, holder, heartbeat, generation) VALUES ($1, '', 0, 0) \
             ON CONFLICT (name) DO NOTHING",
        )
        .bind(name.to_owned())
        .execute(&self.pool)
        .await?;
        let row = sqlx::query("SELECT holder, heartbeat, generation FROM leases WHERE name = $1")
            .bind(name.to_owned())
            .fetch_one(&self.pool)
            .await?;
        Ok(LeaseRow {
            holder: row.try_get(0)?,
            heartbeat: row.try_get(1)?,
            generation: row.try_get(2)?,
        })
    }

    /// Takes a lease that still stands as it was seen. False where it does not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_lease(
        &self,
        name: &str,
        seen: &LeaseRow,
        holder: &str,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE leases SET holder = $1, heartbeat = heartbeat + 1, \
             generation = generation + 1 WHERE name = $2 AND holder = $3 AND heartbeat = $4",
        )
        .bind(holder.to_owned())
        .bind(name.to_owned())
        .bind(seen.holder.clone())
        .bind(seen.heartbeat)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Raises the heartbeat of a lease that this holder has. False where it has it no more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn renew_lease(&self, name: &str, holder: &str) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE leases SET heartbeat = heartbeat + 1 WHERE name = $1 AND holder = $2",
        )
        .bind(name.to_owned())
        .bind(holder.to_owned())
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives a lease up, so that nobody has to wait for it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn give_lease_up(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE leases SET holder = '' WHERE name = $1 AND holder = $2")
            .bind(name.to_owned())
            .bind(holder.to_owned())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
