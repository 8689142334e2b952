//! Builds, and what belongs to one: its events, its evaluations, its claim.

use std::sync::Arc;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Database as _, Row as _, Sqlite};

use super::{Store, StoreError};
use crate::service::state::StoredPlan;

/// The most events of one build.
const EVENTS_OF_BUILD: i64 = 100_000;
/// Columns of a new plan and of a new build.
const PLAN_COLUMNS: usize = 4;
const BUILD_COLUMNS: usize = 7;

/// A build that was given a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildRow {
    /// Id, hard to guess.
    pub id: String,
    /// Name of the controller.
    pub controller: String,
    /// Full name of the job.
    pub job: String,
    /// Number.
    pub number: i64,
    /// When it started, in milliseconds since 1970; tells builds apart whose job was made anew.
    pub started_ms: i64,
    /// Digest of its plan.
    pub digest: String,
    /// When the plan was asked for.
    pub created_at: i64,
}

/// Who runs a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRow {
    /// Name of the controller.
    pub controller: String,
    /// Address of the build there.
    pub url: String,
    /// When it was claimed, in seconds since 1970.
    pub claimed_at: i64,
}

/// What became of some events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventsState {
    /// So many of them are new; the others were there already.
    Added(usize),
    /// This one is there already and says something else.
    Contradicts(i64),
    /// The build has too many.
    TooMany,
}

impl Store {
    /// Keeps a build with its plan (`body` if it may be new). If the build is there already, that
    /// one is given back: a build keeps its plan.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_build(
        &self,
        build: &BuildRow,
        body: Option<Arc<StoredPlan>>,
    ) -> Result<BuildRow, StoreError> {
        let shared = match &self.together {
            Some(together) => together.save(build.clone(), body.clone()).await,
            None => None,
        };
        match shared {
            Some(kept) => Ok(kept),
            None => {
                let connection = &mut *self.pool.acquire().await?;
                let rows = insert_builds(connection, &[(build, body.as_deref())]).await?;
                rows.into_iter().next().ok_or(StoreError::Database(sqlx::Error::RowNotFound))
            }
        }
    }

    /// A build that is there already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_build(
        &self,
        controller: &str,
        job: &str,
        number: i64,
        started_ms: i64,
    ) -> Result<Option<BuildRow>, StoreError> {
        let row = sqlx::query(
            "SELECT id, controller, job, number, started_ms, digest, created_at FROM builds \
             WHERE controller = $1 AND job = $2 AND number = $3 AND started_ms = $4",
        )
        .bind(controller.to_owned())
        .bind(job.to_owned())
        .bind(number)
        .bind(started_ms)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(build_row).transpose()
    }

    /// The build of a number of a job, the last one where a job was made anew.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn last_build(
        &self,
        controller: &str,
        job: &str,
        number: i64,
    ) -> Result<Option<BuildRow>, StoreError> {
        Ok(self.builds_of(controller, job, number).await?.pop())
    }

    /// The builds that a controller has had with this number of a job, the newest last: a job that was made
    /// anew counts from 1 again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn builds_of(
        &self,
        controller: &str,
        job: &str,
        number: i64,
    ) -> Result<Vec<BuildRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, controller, job, number, started_ms, digest, created_at FROM builds \
             WHERE controller = $1 AND job = $2 AND number = $3 ORDER BY started_ms",
        )
        .bind(controller.to_owned())
        .bind(job.to_owned())
        .bind(number)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(build_row).collect()
    }

    /// A build by its id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn build(&self, id: &str) -> Result<Option<BuildRow>, StoreError> {
        let row = sqlx::query(
            "SELECT id, controller, job, number, started_ms, digest, created_at FROM builds \
             WHERE id = $1",
        )
        .bind(id.to_owned())
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(build_row).transpose()
    }

    /// Keeps events of a build: all of them, or none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_events(
        &self,
        build: &str,
        events: &[(i64, String)],
        now: i64,
    ) -> Result<EventsState, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let mut added = 0;
        for (sequence, body) in events {
            let done = sqlx::query(
                "INSERT INTO events (build, sequence, body, received_at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (build, sequence) DO NOTHING",
            )
            .bind(build.to_owned())
            .bind(*sequence)
            .bind(body.clone())
            .bind(now)
            .execute(&mut *transaction)
            .await?;
            if done.rows_affected() == 1 {
                added += 1;
                continue;
            }
            let row = sqlx::query("SELECT body FROM events WHERE build = $1 AND sequence = $2")
                .bind(build.to_owned())
                .bind(*sequence)
                .fetch_one(&mut *transaction)
                .await?;
            if row.try_get::<String, _>(0)? != *body {
                transaction.rollback().await?;
                return Ok(EventsState::Contradicts(*sequence));
            }
        }
        let row = sqlx::query("SELECT COUNT(*) FROM events WHERE build = $1")
            .bind(build.to_owned())
            .fetch_one(&mut *transaction)
            .await?;
        if row.try_get::<i64, _>(0)? > EVENTS_OF_BUILD {
            transaction.rollback().await?;
            return Ok(EventsState::TooMany);
        }
        transaction.commit().await?;
        Ok(EventsState::Added(added))
    }

    /// The events of a build, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events(&self, build: &str) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("SELECT body FROM events WHERE build = $1 ORDER BY sequence")
            .bind(build.to_owned())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Keeps what was answered to some facts, and gives back what is kept: the first answer, also
    /// where a newer version of this service would answer otherwise.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_evaluation(
        &self,
        build: &str,
        facts_digest: &str,
        facts: &str,
        answer: &str,
        now: i64,
    ) -> Result<String, StoreError> {
        let done = sqlx::query(
            "INSERT INTO evaluations (build, facts_digest, facts, answer, answered_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (build, facts_digest) DO NOTHING",
        )
        .bind(build.to_owned())
        .bind(facts_digest.to_owned())
        .bind(facts.to_owned())
        .bind(answer.to_owned())
        .bind(now)
        .execute(&self.pool)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(answer.to_owned());
        }
        let row =
            sqlx::query("SELECT answer FROM evaluations WHERE build = $1 AND facts_digest = $2")
                .bind(build.to_owned())
                .bind(facts_digest.to_owned())
                .fetch_one(&self.pool)
                .await?;
        Ok(row.try_get(0)?)
    }

    /// What a build was answered: facts and answers, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn evaluations(&self, build: &str) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query(
            "SELECT facts, answer FROM evaluations WHERE build = $1 \
             ORDER BY answered_at, facts_digest",
        )
        .bind(build.to_owned())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Takes a build for whoever runs it, and gives back who has it: the first that asked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim(&self, build: &str, claim: &ClaimRow) -> Result<ClaimRow, StoreError> {
        sqlx::query(
            "INSERT INTO claims (build, controller, url, claimed_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (build) DO NOTHING",
        )
        .bind(build.to_owned())
        .bind(claim.controller.clone())
        .bind(claim.url.clone())
        .bind(claim.claimed_at)
        .execute(&self.pool)
        .await?;
        // Read again rather than told from the number of rows: a second try is no loser.
        self.claim_of(build).await?.ok_or(StoreError::Database(sqlx::Error::RowNotFound))
    }

    /// Who runs a build.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_of(&self, build: &str) -> Result<Option<ClaimRow>, StoreError> {
        let row = sqlx::query("SELECT controller, url, claimed_at FROM claims WHERE build = $1")
            .bind(build.to_owned())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| {
            Ok(ClaimRow {
                controller: row.try_get(0)?,
                url: row.try_get(1)?,
                claimed_at: row.try_get(2)?,
            })
        })
        .transpose()
    }
}

/// Puts builds that are there for the first time in, and before them their plans: for all of them two
/// statements, and where the database takes both at once (SQLite does) one trip to its thread. A build that
/// was there already is looked up.
pub(super) async fn insert_builds(
    connection: &mut AnyConnection,
    all: &[(&BuildRow, Option<&StoredPlan>)],
) -> Result<Vec<BuildRow>, StoreError> {
    let plans: Vec<_> = all.iter().filter_map(|(row, plan)| Some((*row, (*plan)?))).collect();
    let mut before = String::new();
    if !plans.is_empty() {
        let statement = format!(
            "INSERT INTO plans (digest, controller, body, created_at) VALUES {} \
             ON CONFLICT (digest) DO NOTHING",
            places(0, plans.len(), PLAN_COLUMNS)
        );
        if connection.backend_name() == Sqlite::NAME {
            before = statement + "; ";
        } else {
            let query = sqlx::query(AssertSqlSafe(statement));
            bind_plans(query, &plans).execute(&mut *connection).await?;
        }
    }
    let plans = if before.is_empty() { &[] } else { plans.as_slice() };
    let statement = format!(
        "{before}INSERT INTO builds (id, controller, job, number, started_ms, digest, created_at) \
         VALUES {} ON CONFLICT (controller, job, number, started_ms) DO NOTHING RETURNING id",
        places(plans.len() * PLAN_COLUMNS, all.len(), BUILD_COLUMNS)
    );
    let mut query = bind_plans(sqlx::query(AssertSqlSafe(statement)), plans);
    for (build, _) in all {
        query = query
            .bind(build.id.clone())
            .bind(build.controller.clone())
            .bind(build.job.clone())
            .bind(build.number)
            .bind(build.started_ms)
            .bind(build.digest.clone())
            .bind(build.created_at);
    }
    let new: Vec<String> = query
        .fetch_all(&mut *connection)
        .await?
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    let mut rows = Vec::with_capacity(all.len());
    for (build, _) in all {
        rows.push(if new.contains(&build.id) {
            (*build).clone()
        } else {
            the_build(connection, build).await?
        });
    }
    Ok(rows)
}

/// The values of rows of `plans`, in the order of their columns.
fn bind_plans<'q>(
    mut query: Query<'q, Any, AnyArguments>,
    plans: &[(&BuildRow, &StoredPlan)],
) -> Query<'q, Any, AnyArguments> {
    for (row, plan) in plans {
        query = query
            .bind(row.digest.clone())
            .bind(row.controller.clone())
            .bind(plan.text.clone())
            .bind(row.created_at);
    }
    query
}

/// `($1, $2), ($3, $4)`: places for the values of rows, after so many other values.
fn places(after: usize, rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let first = after + row * columns;
        let all: Vec<String> = (1..=columns).map(|at| format!("${}", first + at)).collect();
        format!("({})", all.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// The build that is there in place of one with the same controller, job, number and start.
async fn the_build(
    connection: &mut AnyConnection,
    build: &BuildRow,
) -> Result<BuildRow, StoreError> {
    let row = sqlx::query(
        "SELECT id, controller, job, number, started_ms, digest, created_at FROM builds \
         WHERE controller = $1 AND job = $2 AND number = $3 AND started_ms = $4",
    )
    .bind(build.controller.clone())
    .bind(build.job.clone())
    .bind(build.number)
    .bind(build.started_ms)
    .fetch_one(&mut *connection)
    .await?;
    build_row(&row)
}

fn build_row(row: &AnyRow) -> Result<BuildRow, StoreError> {
    Ok(BuildRow {
        id: row.try_get(0)?,
        controller: row.try_get(1)?,
        job: row.try_get(2)?,
        number: row.try_get(3)?,
        started_ms: row.try_get(4)?,
        digest: row.try_get(5)?,
        created_at: row.try_get(6)?,
    })
}
