//! Locks of stages: who holds each, and who waits for it.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{Store, StoreError};
use crate::leases::{Place, Turn};

/// The most stages in one line. More than builds that one installation runs at a time are those of a loop.
const IN_LINE: usize = 1_000;
/// Who waits and was not heard of for so long, in milliseconds, is out of the line: its build has ended somehow, or
/// its controller is down, and then it comes last once it asks again.
const FORGOTTEN_MS: i64 = 3_600_000;
/// The most rows of a list of all lines.
const LISTED: i64 = 10_000;

/// A stage in the line of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockRow {
    /// Name of the lock.
    pub lock: String,
    /// Its place.
    pub place: Place,
    /// When it asked first, in milliseconds since 1970.
    pub asked_ms: i64,
    /// The controller of its build.
    pub controller: String,
    /// The job of its build.
    pub job: String,
    /// The number of its build there.
    pub number: i64,
}

/// A stage that asks for a lock.
#[derive(Debug, Clone, Copy)]
pub struct LockQuestion<'q> {
    /// Name of the lock.
    pub lock: &'q str,
    /// Id of the build.
    pub build: &'q str,
    /// Id of the stage.
    pub stage: &'q str,
    /// How long its lease lasts from now on, in milliseconds.
    pub term_ms: i64,
    /// Now.
    pub now_ms: i64,
}

const ROWS: &str = "SELECT l.name, l.build, l.stage, l.ticket, l.held_ms, l.heard_ms, l.expires_ms, \
     l.look_ms, l.looked_ms, l.asked_ms, b.controller, b.job, b.number \
     FROM stage_locks AS l JOIN builds AS b ON b.id = l.build";

impl Store {
    /// Asks for a lock, or for the one that it holds once more. `turn` decides with the line before its eyes, in
    /// which the asker is. Gives the line as it is then; nothing where it is too long.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ask_lock(
        &self,
        asks: &LockQuestion<'_>,
        turn: impl FnOnce(&mut [LockRow]) -> Turn + Send,
    ) -> Result<Option<(Turn, Vec<LockRow>)>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        take_turn(&mut transaction, &format!("lock {}", asks.lock)).await?;
        sqlx::query(
            "DELETE FROM stage_locks WHERE name = $1 AND held_ms IS NULL AND heard_ms < $2",
        )
        .bind(asks.lock.to_owned())
        .bind(asks.now_ms.saturating_sub(FORGOTTEN_MS))
        .execute(&mut *transaction)
        .await?;
        let sql = format!("{ROWS} WHERE l.name = $1 ORDER BY l.ticket");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(asks.lock.to_owned())
            .fetch_all(&mut *transaction)
            .await?;
        let mut line = rows.iter().map(lock_row).collect::<Result<Vec<_>, _>>()?;
        let is_own = |row: &LockRow| row.place.build == asks.build && row.place.stage == asks.stage;
        if !line.iter().any(is_own) {
            if line.len() >= IN_LINE {
                transaction.rollback().await?;
                return Ok(None);
            }
            line.push(new_row(&mut transaction, asks, line.last()).await?);
        }
        let turn = turn(&mut line);
        let is_new_holder = turn == Turn::Holds
            && line.iter().any(|row| is_own(row) && row.place.held_ms.is_none());
        if is_new_holder {
            // Whoever had it has it no more, and does not wait either.
            sqlx::query("DELETE FROM stage_locks WHERE name = $1 AND held_ms IS NOT NULL")
                .bind(asks.lock.to_owned())
                .execute(&mut *transaction)
                .await?;
            line.retain(|row| row.place.held_ms.is_none());
        }
        for row in line.iter_mut().filter(|row| is_own(row)) {
            if turn == Turn::Holds {
                row.place.held_ms.get_or_insert(asks.now_ms);
            }
            row.place.heard_ms = asks.now_ms;
            row.place.expires_ms = asks.now_ms.saturating_add(asks.term_ms);
            sqlx::query(
                "UPDATE stage_locks SET held_ms = $1, heard_ms = $2, expires_ms = $3 \
                 WHERE build = $4 AND stage = $5",
            )
            .bind(row.place.held_ms)
            .bind(row.place.heard_ms)
            .bind(row.place.expires_ms)
            .bind(asks.build.to_owned())
            .bind(asks.stage.to_owned())
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(Some((turn, line)))
    }

    /// Gives back what a stage of a build holds, or its place in the line; of all its stages where none is named.
    /// True where there was something.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn release_locks(
        &self,
        build: &str,
        stage: Option<&str>,
    ) -> Result<bool, StoreError> {
        let done =
            sqlx::query("DELETE FROM stage_locks WHERE build = $1 AND ($2 = '' OR stage = $2)")
                .bind(build.to_owned())
                .bind(stage.unwrap_or_default().to_owned())
                .execute(&self.pool)
                .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The lines of all locks, or of one: by name, and each in its order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn locks(&self, lock: Option<&str>, now_ms: i64) -> Result<Vec<LockRow>, StoreError> {
        let sql = format!(
            "{ROWS} WHERE ($1 = '' OR l.name = $1) AND (l.held_ms IS NOT NULL OR l.heard_ms >= $2) \
             ORDER BY l.name, l.ticket LIMIT $3"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(lock.unwrap_or_default().to_owned())
            .bind(now_ms.saturating_sub(FORGOTTEN_MS))
            .bind(LISTED)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(lock_row).collect()
    }

    /// Begins a look at the build of a holder. False where another one did.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin_look(&self, seen: &Place, now_ms: i64) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE stage_locks SET look_ms = $1 WHERE build = $2 AND stage = $3 AND look_ms = $4",
        )
        .bind(now_ms)
        .bind(seen.build.clone())
        .bind(seen.stage.clone())
        .bind(seen.look_ms)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends a look at a build. What it holds is kept until a time, where the build may still run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_look(
        &self,
        build: &str,
        keep_until_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE stage_locks SET looked_ms = $1, \
             expires_ms = CASE WHEN expires_ms < $2 THEN $2 ELSE expires_ms END WHERE build = $3",
        )
        .bind(now_ms)
        .bind(keep_until_ms.unwrap_or(0))
        .bind(build.to_owned())
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// Has this transaction go alone among those of the same name.
pub(super) async fn take_turn(
    connection: &mut AnyConnection,
    name: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO lease_turns (name, turns) VALUES ($1, 1) \
         ON CONFLICT (name) DO UPDATE SET turns = lease_turns.turns + 1",
    )
    .bind(name.to_owned())
    .execute(connection)
    .await?;
    Ok(())
}

async fn new_row(
    connection: &mut AnyConnection,
    asks: &LockQuestion<'_>,
    last: Option<&LockRow>,
) -> Result<LockRow, StoreError> {
    let build = sqlx::query("SELECT controller, job, number FROM builds WHERE id = $1")
        .bind(asks.build.to_owned())
        .fetch_one(&mut *connection)
        .await?;
    let row = LockRow {
        lock: asks.lock.to_owned(),
        place: Place {
            build: asks.build.to_owned(),
            stage: asks.stage.to_owned(),
            ticket: last.map_or(1, |row| row.place.ticket + 1),
            held_ms: None,
            heard_ms: asks.now_ms,
            expires_ms: asks.now_ms.saturating_add(asks.term_ms),
            look_ms: 0,
            looked_ms: 0,
            can_be_asked: false,
        },
        asked_ms: asks.now_ms,
        controller: build.try_get(0)?,
        job: build.try_get(1)?,
        number: build.try_get(2)?,
    };
    sqlx::query(
        "INSERT INTO stage_locks (build, stage, name, ticket, asked_ms, heard_ms, expires_ms, \
         look_ms, looked_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0)",
    )
    .bind(row.place.build.clone())
    .bind(row.place.stage.clone())
    .bind(row.lock.clone())
    .bind(row.place.ticket)
    .bind(row.asked_ms)
    .bind(row.place.heard_ms)
    .bind(row.place.expires_ms)
    .execute(connection)
    .await?;
    Ok(row)
}

fn lock_row(row: &AnyRow) -> Result<LockRow, StoreError> {
    Ok(LockRow {
        lock: row.try_get(0)?,
        place: Place {
            build: row.try_get(1)?,
            stage: row.try_get(2)?,
            ticket: row.try_get(3)?,
            held_ms: row.try_get(4)?,
            heard_ms: row.try_get(5)?,
            expires_ms: row.try_get(6)?,
            look_ms: row.try_get(7)?,
            looked_ms: row.try_get(8)?,
            can_be_asked: false,
        },
        asked_ms: row.try_get(9)?,
        controller: row.try_get(10)?,
        job: row.try_get(11)?,
        number: row.try_get(12)?,
    })
}
