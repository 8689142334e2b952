//! How many there are of what is kept, for gauges.

use sqlx::Row as _;

use super::{Store, StoreError};
use crate::route::BuildState;

/// Builds in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveCount {
    /// The state.
    pub state: BuildState,
    /// How many.
    pub builds: i64,
    /// When the oldest of them was asked for, in milliseconds since 1970.
    pub oldest_ms: i64,
}

impl Store {
    /// Builds that have not ended, by state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn live_counts(&self) -> Result<Vec<LiveCount>, StoreError> {
        let rows = sqlx::query(
            "SELECT state, COUNT(*), MIN(created_ms) FROM routed_builds WHERE state <> 'finished' \
             GROUP BY state",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut counts = Vec::new();
        for row in rows {
            let state: String = row.try_get(0)?;
            if let Some(state) = BuildState::parse(&state) {
                let (builds, oldest_ms) = (row.try_get(1)?, row.try_get(2)?);
                counts.push(LiveCount { state, builds, oldest_ms });
            }
        }
        Ok(counts)
    }

    /// Copies of jobs that are not removed, by the word for their state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn copy_counts(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let rows = sqlx::query(
            "SELECT job_copies.state, COUNT(*) FROM job_copies JOIN jobs ON jobs.name = job_copies.job \
             WHERE jobs.is_removed = 0 GROUP BY job_copies.state",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// How many copies are not as they should be, as far as they were looked at. Those that are not made yet do not
    /// count.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn drifted_copies(&self) -> Result<i64, StoreError> {
        let differs = |state: &str| matches!(state, "drifted" | "foreign" | "failed");
        let counts = self.copy_counts().await?;
        Ok(counts.iter().filter(|(state, _)| differs(state)).map(|(_, copies)| copies).sum())
    }

    /// Messages that could not be delivered: those that are tried again, and those that were given up.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn undelivered_counts(&self) -> Result<(i64, i64), StoreError> {
        let rows = sqlx::query(
            "SELECT state, COUNT(*) FROM outbox WHERE state <> 'sent' AND tries > 0 GROUP BY state",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut counts = (0, 0);
        for row in rows {
            let (state, messages): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            if state == "dead" {
                counts.1 += messages;
            } else {
                counts.0 += messages;
            }
        }
        Ok(counts)
    }
}
