//! Milestones: which builds of a job have passed them.

use sqlx::Row as _;

use super::locks::take_turn;
use super::{Store, StoreError};
use crate::rest::build_of;

/// So many of the last runs of a job at a master are looked through for one of them.
const RUNS: i64 = 200;
/// The most builds that one build stops at a milestone.
const STOPPED: i64 = 50;

/// A build at a milestone.
#[derive(Debug, Clone)]
pub struct AtMilestone {
    /// Whose builds count: a job of the bridge, or of one controller.
    pub job: String,
    /// Name of the milestone.
    pub milestone: String,
    /// Its rank among the builds of the job.
    pub rank: i64,
    /// Its id.
    pub build: String,
}

/// The newer build that has passed a milestone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// Its id.
    pub build: String,
    /// Its controller.
    pub controller: String,
    /// Its number there.
    pub number: i64,
    /// Its rank.
    pub rank: i64,
}

/// A run of a build of the bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutedRun {
    /// Id of the build.
    pub build: String,
    /// Its number over all masters.
    pub number: i64,
    /// The build was taken back from the run, for another master: that is done once nothing of it is at work.
    pub is_over: bool,
}

impl Store {
    /// Has a build pass a milestone: nothing where it did, now or before; else the newer build that has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pass_milestone(
        &self,
        at: &AtMilestone,
        now_ms: i64,
    ) -> Result<Option<Passed>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        take_turn(&mut transaction, &format!("milestone {} of {}", at.milestone, at.job)).await?;
        let own = sqlx::query(
            "SELECT 1 FROM milestones WHERE job = $1 AND milestone = $2 AND build_rank = $3",
        )
        .bind(at.job.clone())
        .bind(at.milestone.clone())
        .bind(at.rank)
        .fetch_optional(&mut *transaction)
        .await?;
        if own.is_some() {
            return Ok(None);
        }
        let newer = sqlx::query(
            "SELECT b.id, b.controller, b.number, m.build_rank FROM milestones AS m JOIN builds AS b \
             ON b.id = m.build WHERE m.job = $1 AND m.milestone = $2 AND m.build_rank > $3 \
             ORDER BY m.build_rank DESC LIMIT 1",
        )
        .bind(at.job.clone())
        .bind(at.milestone.clone())
        .bind(at.rank)
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(row) = newer {
            return Ok(Some(Passed {
                build: row.try_get(0)?,
                controller: row.try_get(1)?,
                number: row.try_get(2)?,
                rank: row.try_get(3)?,
            }));
        }
        sqlx::query(
            "INSERT INTO milestones (job, milestone, build_rank, build, passed_ms) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(at.job.clone())
        .bind(at.milestone.clone())
        .bind(at.rank)
        .bind(at.build.clone())
        .bind(now_ms)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(None)
    }

    /// The ranks of the builds of a job that have passed a milestone, of those that are older than one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn passed_before(&self, at: &AtMilestone) -> Result<Vec<i64>, StoreError> {
        let rows = sqlx::query(
            "SELECT build_rank FROM milestones WHERE job = $1 AND milestone = $2 AND build_rank < $3 \
             ORDER BY build_rank DESC LIMIT $4",
        )
        .bind(at.job.clone())
        .bind(at.milestone.clone())
        .bind(at.rank)
        .bind(RUNS)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Builds that a controller started by itself before another one of the same job, and that told no end: their
    /// numbers and when they started.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn older_builds(
        &self,
        controller: &str,
        job: &str,
        started_ms: i64,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        let rows = sqlx::query(
            "SELECT b.number, b.started_ms FROM builds AS b WHERE b.controller = $1 AND b.job = $2 \
             AND b.started_ms < $3 AND NOT EXISTS (SELECT 1 FROM events AS e WHERE e.build = b.id \
             AND e.body LIKE '%\"type\":\"build-finished\"%') ORDER BY b.started_ms DESC LIMIT $4",
        )
        .bind(controller.to_owned())
        .bind(job.to_owned())
        .bind(started_ms)
        .bind(STOPPED)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// The build of the bridge that a run at a master is of; nothing where the master started it by itself.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn routed_run(
        &self,
        controller: &str,
        job: &str,
        number: i64,
    ) -> Result<Option<RoutedRun>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.url, a.outcome, a.attempt, r.id, r.number, r.attempt, r.state \
             FROM attempts AS a JOIN routed_builds AS r ON r.id = a.build \
             WHERE a.master = $1 AND r.job = $2 AND a.url IS NOT NULL \
             ORDER BY a.created_ms DESC LIMIT $3",
        )
        .bind(controller.to_owned())
        .bind(job.to_owned())
        .bind(RUNS)
        .fetch_all(&self.pool)
        .await?;
        for row in rows {
            let url: String = row.try_get(0)?;
            if build_of(&url).is_some_and(|(_, own)| own == number) {
                let outcome: String = row.try_get(1)?;
                let (own, last): (i64, i64) = (row.try_get(2)?, row.try_get(5)?);
                let waits = row.try_get::<String, _>(6)? == "waiting";
                return Ok(Some(RoutedRun {
                    build: row.try_get(3)?,
                    number: row.try_get(4)?,
                    is_over: !outcome.is_empty() && (own < last || waits),
                }));
            }
        }
        Ok(None)
    }
}
