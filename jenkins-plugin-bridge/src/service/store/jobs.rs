//! Jobs, and what is known of their copies on masters.

use sqlx::Row as _;

use super::{Store, StoreError};
use crate::jobs::{CopyState, JobSpec};

/// A job as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRow {
    /// What it is.
    pub spec: JobSpec,
    /// Raised with each change.
    pub revision: i64,
    /// It is removed, or about to be.
    pub is_removed: bool,
}

/// What is known of the copy of a job on a master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyRow {
    /// Full name of the job.
    pub job: String,
    /// The master.
    pub master: String,
    /// How it is.
    pub state: CopyState,
    /// The revision that was looked for.
    pub revision: i64,
    /// When, in milliseconds since 1970.
    pub checked_ms: i64,
}

fn decode(error: serde_json::Error) -> StoreError {
    StoreError::Database(sqlx::Error::Decode(error.into()))
}

impl Store {
    /// Keeps a job; gives its revision. One that is the same as before keeps its revision.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_job(&self, spec: &JobSpec, now_ms: i64) -> Result<i64, StoreError> {
        let body = serde_json::to_string(spec)
            .map_err(|error| StoreError::Database(sqlx::Error::Encode(error.into())))?;
        let row = sqlx::query(
            "INSERT INTO jobs (name, body, revision, next_number, is_removed, created_ms, changed_ms) \
             VALUES ($1, $2, 1, 1, 0, $3, $3) \
             ON CONFLICT (name) DO UPDATE SET body = $2, is_removed = 0, changed_ms = $3, \
             revision = jobs.revision + CASE WHEN jobs.body = $2 AND jobs.is_removed = 0 THEN 0 ELSE 1 END \
             RETURNING revision",
        )
        .bind(spec.name.clone())
        .bind(body)
        .bind(now_ms)
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get(0)?)
    }

    /// All jobs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn jobs(&self) -> Result<Vec<JobRow>, StoreError> {
        let rows = sqlx::query("SELECT body, revision, is_removed FROM jobs ORDER BY name")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                let body: String = row.try_get(0)?;
                Ok(JobRow {
                    spec: serde_json::from_str(&body).map_err(decode)?,
                    revision: row.try_get(1)?,
                    is_removed: row.try_get::<i64, _>(2)? == 1,
                })
            })
            .collect()
    }

    /// A job that is not removed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn job(&self, name: &str) -> Result<Option<JobRow>, StoreError> {
        let row = sqlx::query("SELECT body, revision FROM jobs WHERE name = $1 AND is_removed = 0")
            .bind(name.to_owned())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| {
            let body: String = row.try_get(0)?;
            Ok(JobRow {
                spec: serde_json::from_str(&body).map_err(decode)?,
                revision: row.try_get(1)?,
                is_removed: false,
            })
        })
        .transpose()
    }

    /// Says that a job is to go. Its numbers are kept: one of the same name goes on from there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_job(&self, name: &str, now_ms: i64) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE jobs SET is_removed = 1, changed_ms = $1, revision = revision + 1 \
             WHERE name = $2 AND is_removed = 0",
        )
        .bind(now_ms)
        .bind(name.to_owned())
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Keeps what is known of a copy, unless something newer is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_copy(&self, copy: &CopyRow) -> Result<(), StoreError> {
        let detail = serde_json::to_string(&copy.state)
            .map_err(|error| StoreError::Database(sqlx::Error::Encode(error.into())))?;
        sqlx::query(
            "INSERT INTO job_copies (job, master, state, detail, revision, checked_ms) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (job, master) DO UPDATE SET \
             state = $3, detail = $4, revision = $5, checked_ms = $6 WHERE job_copies.checked_ms <= $6",
        )
        .bind(copy.job.clone())
        .bind(copy.master.clone())
        .bind(copy.state.word())
        .bind(detail)
        .bind(copy.revision)
        .bind(copy.checked_ms)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What is known of all copies.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn copies(&self) -> Result<Vec<CopyRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT job, master, detail, revision, checked_ms FROM job_copies ORDER BY job, master",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let detail: String = row.try_get(2)?;
                Ok(CopyRow {
                    job: row.try_get(0)?,
                    master: row.try_get(1)?,
                    state: serde_json::from_str(&detail).map_err(decode)?,
                    revision: row.try_get(3)?,
                    checked_ms: row.try_get(4)?,
                })
            })
            .collect()
    }
}
