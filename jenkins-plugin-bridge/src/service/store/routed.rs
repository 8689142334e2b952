//! Builds of the bridge, and the times that they were given to masters.

use std::fmt::Write as _;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{Store, StoreError};
use crate::route::{Attempt, Build, BuildState};

/// The columns of a build, in the order in which they are read.
pub(super) const COLUMNS: &str = "id, job, number, state, version, body, master, attempt, key, queue_item, url, \
     reason, result, created_ms, changed_ms, started_ms, finished_ms";

/// Builds that are looked at by one statement of a search.
const LOOKED_AT: i64 = 500;
/// Builds that are read by one statement where their ids are known.
const AT_ONCE: usize = 64;
/// Statements of one search, so that a label that nothing has does not read years.
const LOOKS: usize = 20;

/// A new build.
#[derive(Debug, Clone)]
pub struct NewBuild {
    /// The build; its number is given by the store.
    pub build: Build,
    /// Whose idempotency key it is.
    pub subject: String,
    /// The key: the same one gives the same build.
    pub idempotency_key: Option<String>,
}

/// Which builds are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildFilter {
    /// Of this job.
    pub job: Option<String>,
    /// At this master.
    pub master: Option<String>,
    /// With this number.
    pub number: Option<i64>,
    /// In these states.
    pub states: Option<StateFilter>,
    /// With this label.
    pub label: Option<String>,
    /// That ended so.
    pub result: Option<String>,
    /// That come after this one, the newest first: its time and id.
    pub before: Option<(i64, String)>,
    /// At most so many.
    pub limit: i64,
}

/// In which states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateFilter {
    /// Any but the last one.
    Live,
    /// This one.
    One(BuildState),
}

/// What a change does to the attempt of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptChange {
    /// Nothing.
    None,
    /// A new one begins.
    Begins,
    /// The one of this key ends so; it may still wait or run at its master.
    Ends {
        /// Its key.
        key: String,
        /// What became of it.
        outcome: String,
        /// It may still wait or run there.
        is_stale: bool,
    },
    /// It has an item, or an address.
    Moves,
}

/// A change of a build. It is made if the build is as it was seen, and otherwise not at all.
#[derive(Debug, Clone)]
pub struct Change {
    /// The build as it is to be; its version is the one that was seen.
    pub build: Build,
    /// What happens to its attempt.
    pub attempt: AttemptChange,
}

fn text(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Database(sqlx::Error::Encode(error.into())))
}

fn decode(message: String) -> StoreError {
    StoreError::Database(sqlx::Error::Decode(message.into()))
}

impl Store {
    /// Keeps a new build with the next number of its job. Where its idempotency key is known, the build of
    /// that key is given back and nothing is kept. Nothing where the job is not there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_routed(&self, new: &NewBuild) -> Result<Option<Build>, StoreError> {
        if let Some(known) = self.routed_by_key(new).await? {
            return Ok(Some(known));
        }
        let mut transaction = self.pool.begin().await?;
        let row = sqlx::query(
            "UPDATE jobs SET next_number = next_number + 1 WHERE name = $1 AND is_removed = 0 \
             RETURNING next_number",
        )
        .bind(new.build.job.clone())
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let mut build = new.build.clone();
        build.number = row.try_get::<i64, _>(0)? - 1;
        let done = sqlx::query(
            "INSERT INTO routed_builds (id, job, number, state, version, body, subject, \
             idempotency_key, attempt, reason, created_ms, changed_ms) \
             VALUES ($1, $2, $3, $4, 1, $5, $6, $7, 0, $8, $9, $9) \
             ON CONFLICT (subject, idempotency_key) DO NOTHING",
        )
        .bind(build.id.clone())
        .bind(build.job.clone())
        .bind(build.number)
        .bind(build.state.as_str())
        .bind(text(&build.request)?)
        .bind(new.subject.clone())
        .bind(new.idempotency_key.clone())
        .bind(build.reason.clone())
        .bind(build.created_ms)
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 1 {
            transaction.commit().await?;
            build.version = 1;
            return Ok(Some(build));
        }
        // Two requests with one key at the same time: the other one was first, and the number is not used.
        transaction.rollback().await?;
        self.routed_by_key(new).await
    }

    async fn routed_by_key(&self, new: &NewBuild) -> Result<Option<Build>, StoreError> {
        let Some(key) = &new.idempotency_key else { return Ok(None) };
        let sql = format!(
            "SELECT {COLUMNS} FROM routed_builds WHERE subject = $1 AND idempotency_key = $2"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(new.subject.clone())
            .bind(key.clone())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(build_row).transpose()
    }

    /// A build by its id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn routed(&self, id: &str) -> Result<Option<Build>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM routed_builds WHERE id = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.to_owned())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(build_row).transpose()
    }

    /// The builds that have not ended, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn live_routed(&self) -> Result<Vec<Build>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM routed_builds WHERE state <> 'finished' ORDER BY created_ms, id"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&self.pool).await?;
        rows.iter().map(build_row).collect()
    }

    /// Which builds have not ended, and the version of each.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn live_versions(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let rows = sqlx::query("SELECT id, version FROM routed_builds WHERE state <> 'finished'")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// The builds with these ids, in no order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn routed_with(&self, ids: &[String]) -> Result<Vec<Build>, StoreError> {
        let places: Vec<String> = (1..=AT_ONCE).map(|place| format!("${place}")).collect();
        let sql =
            format!("SELECT {COLUMNS} FROM routed_builds WHERE id IN ({})", places.join(", "));
        let mut all = Vec::with_capacity(ids.len());
        for some in ids.chunks(AT_ONCE) {
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql.clone()));
            // One statement for any number: the last id fills the rest.
            for id in some.iter().chain(some.last().into_iter().cycle()).take(AT_ONCE) {
                query = query.bind(id.clone());
            }
            let rows = query.fetch_all(&self.pool).await?;
            for row in &rows {
                all.push(build_row(row)?);
            }
        }
        Ok(all)
    }

    /// The builds that a master has and that have not ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn routed_of(&self, master: &str) -> Result<Vec<Build>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM routed_builds WHERE state <> 'finished' AND master = $1"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(master.to_owned())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(build_row).collect()
    }

    /// The newest builds that a filter takes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest_routed(&self, filter: &BuildFilter) -> Result<Vec<Build>, StoreError> {
        let mut conditions = String::new();
        let mut texts = Vec::new();
        let state = match filter.states {
            Some(StateFilter::One(state)) => Some(state.as_str().to_owned()),
            _ => None,
        };
        for (column, value) in [
            ("job", &filter.job),
            ("master", &filter.master),
            ("state", &state),
            ("result", &filter.result),
        ] {
            if let Some(value) = value {
                texts.push(value.clone());
                let _ = write!(conditions, " AND {column} = ${}", texts.len() + 3);
            }
        }
        if filter.states == Some(StateFilter::Live) {
            conditions.push_str(" AND state <> 'finished'");
        }
        if let Some(number) = filter.number {
            // A number of the program's own, not text of a caller.
            let _ = write!(conditions, " AND number = {number}");
        }
        // Labels are within the body: so many builds are looked through for one.
        let (looks, at_once) =
            if filter.label.is_some() { (LOOKS, LOOKED_AT) } else { (1, filter.limit) };
        let sql = format!(
            "SELECT {COLUMNS} FROM routed_builds \
             WHERE (created_ms < $1 OR (created_ms = $1 AND id > $2)){conditions} \
             ORDER BY created_ms DESC, id LIMIT $3"
        );
        let mut after = filter.before.clone().unwrap_or((i64::MAX, String::new()));
        let most = usize::try_from(filter.limit).unwrap_or(0);
        let mut found = Vec::new();
        for _ in 0..looks {
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql.clone()));
            query = query.bind(after.0).bind(after.1.clone()).bind(at_once);
            for text in &texts {
                query = query.bind(text.clone());
            }
            let rows = query.fetch_all(&self.pool).await?;
            for row in &rows {
                let build = build_row(row)?;
                after = (build.created_ms, build.id.clone());
                if filter.label.as_ref().is_none_or(|one| build.request.labels.contains(one)) {
                    found.push(build);
                }
                if found.len() >= most {
                    return Ok(found);
                }
            }
            if i64::try_from(rows.len()).unwrap_or(0) < at_once {
                break;
            }
        }
        Ok(found)
    }

    /// Makes changes, all in one transaction; says of each whether it was made.
    ///
    /// # Errors
    /// [`StoreError`]; none is made then.
    pub async fn change_routed(
        &self,
        changes: &[Change],
        now_ms: i64,
    ) -> Result<Vec<bool>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let mut made = Vec::with_capacity(changes.len());
        for one in changes {
            made.push(change(&mut transaction, one, now_ms).await?);
        }
        transaction.commit().await?;
        Ok(made)
    }

    /// Has a build claimed by a run: true where that is the one that counts, also when it asks again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_routed(
        &self,
        id: &str,
        key: &str,
        master: &str,
        url: &str,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let done = sqlx::query(
            "UPDATE routed_builds SET state = 'running', url = $1, reason = '', started_ms = $2, \
             changed_ms = $2, version = version + 1 \
             WHERE id = $3 AND key = $4 AND master = $5 AND state IN ('triggering', 'queued')",
        )
        .bind(url.to_owned())
        .bind(now_ms)
        .bind(id.to_owned())
        .bind(key.to_owned())
        .bind(master.to_owned())
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 1 {
            sqlx::query("UPDATE attempts SET url = $1 WHERE key = $2")
                .bind(url.to_owned())
                .bind(key.to_owned())
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            return Ok(true);
        }
        transaction.rollback().await?;
        // The answer to its claim may have been lost together with its master: unknown, it is still the run that
        // counts, as long as nobody makes sure that it ends.
        let held = self.routed(id).await?.is_some_and(|build| {
            (build.state == BuildState::Running
                || build.state == BuildState::Unknown && !build.is_being_fenced())
                && build.key.as_deref() == Some(key)
                && build.master.as_deref() == Some(master)
                && build.url.as_deref() == Some(url)
        });
        Ok(held)
    }

    /// The times that a build was given to masters.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn attempts(&self, build: &str) -> Result<Vec<Attempt>, StoreError> {
        let rows = sqlx::query(
            "SELECT build, attempt, key, master, queue_item, url, outcome, is_stale, created_ms, \
             ended_ms FROM attempts WHERE build = $1 ORDER BY attempt",
        )
        .bind(build.to_owned())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(attempt_row).collect()
    }

    /// What may still wait or run at a master although it counts no more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn stale_of(&self, master: &str) -> Result<Vec<Attempt>, StoreError> {
        let rows = sqlx::query(
            "SELECT build, attempt, key, master, queue_item, url, outcome, is_stale, created_ms, \
             ended_ms FROM attempts WHERE is_stale = 1 AND master = $1 ORDER BY created_ms",
        )
        .bind(master.to_owned())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(attempt_row).collect()
    }

    /// Says that nothing of an attempt waits or runs any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn attempt_is_over(&self, key: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE attempts SET is_stale = 0 WHERE key = $1")
            .bind(key.to_owned())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Where the last build of each job was started.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn last_masters(&self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query(
            // One look into the index of its numbers for each job, however many builds it had.
            "SELECT name, (SELECT master FROM routed_builds WHERE job = jobs.name AND master IS NOT NULL \
             ORDER BY number DESC LIMIT 1) FROM jobs",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut all = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some(master) = row.try_get::<Option<String>, _>(1)? {
                all.push((row.try_get(0)?, master));
            }
        }
        Ok(all)
    }
}

async fn change(
    connection: &mut AnyConnection,
    change: &Change,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let build = &change.build;
    let done = sqlx::query(
        "UPDATE routed_builds SET state = $1, version = version + 1, master = $2, attempt = $3, \
         key = $4, queue_item = $5, url = $6, reason = $7, result = $8, changed_ms = $9, \
         started_ms = $10, finished_ms = $11 WHERE id = $12 AND version = $13",
    )
    .bind(build.state.as_str())
    .bind(build.master.clone())
    .bind(build.attempt)
    .bind(build.key.clone())
    .bind(build.queue_item)
    .bind(build.url.clone())
    .bind(build.reason.clone())
    .bind(build.result.clone())
    .bind(build.changed_ms)
    .bind(build.started_ms)
    .bind(build.finished_ms)
    .bind(build.id.clone())
    .bind(build.version)
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() != 1 {
        return Ok(false);
    }
    match &change.attempt {
        AttemptChange::None => {}
        AttemptChange::Begins => {
            sqlx::query(
                "INSERT INTO attempts (build, attempt, key, master, outcome, is_stale, created_ms) \
                 VALUES ($1, $2, $3, $4, '', 0, $5)",
            )
            .bind(build.id.clone())
            .bind(build.attempt)
            .bind(build.key.clone())
            .bind(build.master.clone())
            .bind(now_ms)
            .execute(&mut *connection)
            .await?;
        }
        AttemptChange::Ends { key, outcome, is_stale } => {
            sqlx::query(
                "UPDATE attempts SET outcome = $1, is_stale = $2, ended_ms = $3 WHERE key = $4",
            )
            .bind(outcome.clone())
            .bind(i64::from(*is_stale))
            .bind(now_ms)
            .bind(key.clone())
            .execute(&mut *connection)
            .await?;
        }
        AttemptChange::Moves => {
            sqlx::query("UPDATE attempts SET queue_item = $1, url = $2 WHERE key = $3")
                .bind(build.queue_item)
                .bind(build.url.clone())
                .bind(build.key.clone())
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(true)
}

pub(super) fn build_row(row: &AnyRow) -> Result<Build, StoreError> {
    let state: String = row.try_get(3)?;
    let body: String = row.try_get(5)?;
    Ok(Build {
        id: row.try_get(0)?,
        job: row.try_get(1)?,
        number: row.try_get(2)?,
        state: BuildState::parse(&state)
            .ok_or_else(|| decode(format!("{state:?} is no state of a build")))?,
        version: row.try_get(4)?,
        request: serde_json::from_str(&body).map_err(|error| decode(error.to_string()))?,
        master: row.try_get(6)?,
        attempt: row.try_get(7)?,
        key: row.try_get(8)?,
        queue_item: row.try_get(9)?,
        url: row.try_get(10)?,
        reason: row.try_get(11)?,
        result: row.try_get(12)?,
        created_ms: row.try_get(13)?,
        changed_ms: row.try_get(14)?,
        started_ms: row.try_get(15)?,
        finished_ms: row.try_get(16)?,
    })
}

fn attempt_row(row: &AnyRow) -> Result<Attempt, StoreError> {
    Ok(Attempt {
        build: row.try_get(0)?,
        attempt: row.try_get(1)?,
        key: row.try_get(2)?,
        master: row.try_get(3)?,
        queue_item: row.try_get(4)?,
        url: row.try_get(5)?,
        outcome: row.try_get(6)?,
        is_stale: row.try_get::<i64, _>(7)? == 1,
        created_ms: row.try_get(8)?,
        ended_ms: row.try_get(9)?,
    })
}
