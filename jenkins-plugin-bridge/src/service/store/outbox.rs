//! What is to be told to others, until it is.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::routed::{COLUMNS, build_row};
use super::{Store, StoreError};
use crate::report::Message;
use crate::route::Build;

/// A message as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Who is told: `webhook:NAME` or `status:FORGE`.
    pub target: String,
    /// What it is about.
    pub item: String,
    /// Raised when it says something else.
    pub revision: i64,
    /// What is told, as JSON.
    pub body: String,
    /// `due`, `sent` or `dead`.
    pub state: String,
    /// Tries that failed.
    pub tries: i64,
    /// When it is tried again, in milliseconds since 1970.
    pub next_ms: i64,
    /// Why the last try failed.
    pub error: String,
    /// When it was put here.
    pub created_ms: i64,
}

const ROW: &str = "target, item, revision, body, state, tries, next_ms, error, created_ms";

impl Store {
    /// Builds with changes that were not told yet, the oldest change first, each with what says up to where it
    /// was told of.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unannounced(&self, most: i64) -> Result<Vec<(Build, i64)>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, announced FROM routed_builds WHERE announced <> version ORDER BY changed_ms LIMIT $1"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(most).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((build_row(row)?, row.try_get("announced")?))).collect()
    }

    /// Puts messages out and says that a build was told of up to a version.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is kept then.
    pub async fn announce(
        &self,
        build: &Build,
        seen: i64,
        messages: &[Message],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        for one in messages {
            let conflict = if one.replaces {
                "DO UPDATE SET revision = outbox.revision + 1, number = $4, body = $5, state = 'due', \
                 tries = 0, next_ms = $6, error = '', changed_ms = $6 \
                 WHERE outbox.body <> $5 AND outbox.number <= $4"
            } else {
                "DO NOTHING"
            };
            let sql = format!(
                "INSERT INTO outbox (target, item, lane, revision, number, body, state, tries, next_ms, \
                 error, created_ms, changed_ms) VALUES ($1, $2, $3, 1, $4, $5, 'due', 0, $6, '', $6, $6) \
                 ON CONFLICT (target, item) {conflict}"
            );
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(one.target.clone())
                .bind(one.item.clone())
                .bind(one.lane.clone())
                .bind(one.number)
                .bind(one.body.clone())
                .bind(now_ms)
                .execute(&mut *transaction)
                .await?;
        }
        // Where its stages have changed in the meantime, it is told of again.
        sqlx::query("UPDATE routed_builds SET announced = $1 WHERE id = $2 AND announced = $3")
            .bind(build.version)
            .bind(build.id.clone())
            .bind(seen)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Says that stages of a build have changed, so that it is told of again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn stages_changed(
        &self,
        master: &str,
        job: &str,
        number: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE routed_builds SET announced = CASE WHEN announced < 0 THEN announced - 1 ELSE -1 END \
             WHERE state <> 'finished' AND master = $1 AND job = $2 AND (url LIKE $3 OR url LIKE $4)",
        )
        .bind(master.to_owned())
        .bind(job.to_owned())
        .bind(format!("%/{number}/"))
        .bind(format!("%/{number}"))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The build that was given a plan for a run of a job at a controller: the newest one of that number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn planned_run(
        &self,
        controller: &str,
        job: &str,
        number: i64,
    ) -> Result<Option<String>, StoreError> {
        let row = sqlx::query(
            "SELECT id FROM builds WHERE controller = $1 AND job = $2 AND number = $3 \
             ORDER BY started_ms DESC LIMIT 1",
        )
        .bind(controller.to_owned())
        .bind(job.to_owned())
        .bind(number)
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| Ok(row.try_get(0)?)).transpose()
    }

    /// How many messages wait for each target.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn outbox_depths(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let rows =
            sqlx::query("SELECT target, COUNT(*) FROM outbox WHERE state = 'due' GROUP BY target")
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Messages to a target that may go now: the first of each lane.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due_messages(
        &self,
        target: &str,
        now_ms: i64,
        most: i64,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let sql = format!(
            "SELECT {ROW} FROM outbox WHERE state = 'due' AND target = $1 AND next_ms <= $2 \
             AND NOT EXISTS (SELECT 1 FROM outbox AS other WHERE other.state = 'due' \
             AND other.target = outbox.target AND other.lane = outbox.lane \
             AND other.created_ms < outbox.created_ms) ORDER BY next_ms, item LIMIT $3"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(target.to_owned())
            .bind(now_ms)
            .bind(most)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(outbox_row).collect()
    }

    /// Says what came of a try. A message that says something else by now stays as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn message_tried(&self, row: &OutboxRow, now_ms: i64) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE outbox SET state = $1, tries = $2, next_ms = $3, error = $4, changed_ms = $5 \
             WHERE target = $6 AND item = $7 AND revision = $8",
        )
        .bind(row.state.clone())
        .bind(row.tries)
        .bind(row.next_ms)
        .bind(row.error.clone())
        .bind(now_ms)
        .bind(row.target.clone())
        .bind(row.item.clone())
        .bind(row.revision)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Messages that failed: those that are tried again, and those that are not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn failed_messages(&self, most: i64) -> Result<Vec<OutboxRow>, StoreError> {
        let sql = format!(
            "SELECT {ROW} FROM outbox WHERE state <> 'sent' AND tries > 0 \
             ORDER BY state, changed_ms DESC LIMIT $1"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(most).fetch_all(&self.pool).await?;
        rows.iter().map(outbox_row).collect()
    }

    /// Has all that failed be tried again now; says how many that are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn retry_messages(&self, now_ms: i64) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "UPDATE outbox SET state = 'due', tries = 0, next_ms = $1, changed_ms = $1 \
             WHERE state = 'dead' OR (state = 'due' AND tries > 0)",
        )
        .bind(now_ms)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    /// Gives up what is to be told to somebody who is declared no more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn give_target_up(&self, target: &str, now_ms: i64) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE outbox SET state = 'dead', tries = tries + 1, changed_ms = $1, \
             error = 'it is not in the file of forges' WHERE state = 'due' AND target = $2",
        )
        .bind(now_ms)
        .bind(target.to_owned())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets what was sent before one time, and what is dead since before another.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep_outbox(&self, sent_ms: i64, dead_ms: i64) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM outbox WHERE (state = 'sent' AND changed_ms < $1) \
             OR (state = 'dead' AND changed_ms < $2)",
        )
        .bind(sent_ms)
        .bind(dead_ms)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

fn outbox_row(row: &AnyRow) -> Result<OutboxRow, StoreError> {
    Ok(OutboxRow {
        target: row.try_get(0)?,
        item: row.try_get(1)?,
        revision: row.try_get(2)?,
        body: row.try_get(3)?,
        state: row.try_get(4)?,
        tries: row.try_get(5)?,
        next_ms: row.try_get(6)?,
        error: row.try_get(7)?,
        created_ms: row.try_get(8)?,
    })
}
