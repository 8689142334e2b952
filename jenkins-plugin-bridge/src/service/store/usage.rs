//! What stages of builds used.

use sqlx::Row as _;

use super::{Store, StoreError};
use crate::pod::sizing::Sample;

/// The most containers of stages of one build that are kept.
const REPORTS_OF_BUILD: i64 = 10_000;
/// The most reports that are read for recommendations; the newest count.
const READ: i64 = 100_000;

/// What a stage of a build used in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// Id of the build.
    pub build: String,
    /// Id of the stage.
    pub stage: String,
    /// Name of the container in the pod.
    pub container: String,
    /// What it used.
    pub sample: Sample,
    /// Other stages ran in the container at the same time.
    pub shared: bool,
}

/// The same, with the job of the build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedRow {
    /// Name of the controller.
    pub controller: String,
    /// Full name of the job.
    pub job: String,
    /// Id of the stage.
    pub stage: String,
    /// Name of the container in the pod.
    pub container: String,
    /// What it used.
    pub sample: Sample,
}

impl Store {
    /// Keeps what a stage used. Of several tries the largest peak counts. False where the build
    /// has too many of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_usage(&self, row: &UsageRow, now: i64) -> Result<bool, StoreError> {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let done = sqlx::query(
            "INSERT INTO usage_reports \
             (build, stage, container, wall_ms, cpu_ms, peak_bytes, shared, reported_at) \
             SELECT id, $2, $3, $4, $5, $6, $7, $8 FROM builds WHERE id = $1 \
             AND (SELECT COUNT(*) FROM usage_reports WHERE build = $1) < $9 \
             ON CONFLICT (build, stage, container) DO UPDATE SET \
             wall_ms = excluded.wall_ms, cpu_ms = excluded.cpu_ms, \
             peak_bytes = CASE WHEN excluded.peak_bytes > usage_reports.peak_bytes \
             THEN excluded.peak_bytes ELSE usage_reports.peak_bytes END, \
             shared = CASE WHEN excluded.shared > usage_reports.shared \
             THEN excluded.shared ELSE usage_reports.shared END",
        )
        .bind(row.build.clone())
        .bind(row.stage.clone())
        .bind(row.container.clone())
        .bind(number(row.sample.wall_ms))
        .bind(number(row.sample.cpu_ms))
        .bind(number(row.sample.peak_bytes))
        .bind(i64::from(row.shared))
        .bind(now)
        .bind(REPORTS_OF_BUILD)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// What stages used that had their container for themselves, the newest first; of one job, or
    /// of all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn used(&self, of: Option<(&str, &str)>) -> Result<Vec<UsedRow>, StoreError> {
        let (controller, job) = of.unwrap_or_default();
        let rows = sqlx::query(
            "SELECT b.controller, b.job, u.stage, u.container, u.wall_ms, u.cpu_ms, u.peak_bytes \
             FROM usage_reports u JOIN builds b ON b.id = u.build \
             WHERE u.shared = 0 AND ($1 = '' OR (b.controller = $1 AND b.job = $2)) \
             ORDER BY u.reported_at DESC LIMIT $3",
        )
        .bind(controller.to_owned())
        .bind(job.to_owned())
        .bind(READ)
        .fetch_all(&self.pool)
        .await?;
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        rows.iter()
            .map(|row| {
                Ok(UsedRow {
                    controller: row.try_get(0)?,
                    job: row.try_get(1)?,
                    stage: row.try_get(2)?,
                    container: row.try_get(3)?,
                    sample: Sample {
                        wall_ms: number(row.try_get(4)?),
                        cpu_ms: number(row.try_get(5)?),
                        peak_bytes: number(row.try_get(6)?),
                    },
                })
            })
            .collect()
    }
}
