//! Events of forges, and what is known of each trigger.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Store, StoreError};

/// An event of a forge as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Id.
    pub id: String,
    /// The forge.
    pub forge: String,
    /// What makes it one event however often it is told.
    pub identity: String,
    /// What the forge calls it.
    pub delivery: String,
    /// The event, as JSON.
    pub body: String,
    /// Nothing has been made of it yet.
    pub is_new: bool,
    /// What each job of the repository made of it, as JSON.
    pub outcome: String,
    /// When it came, in milliseconds since 1970.
    pub received_ms: i64,
}

/// What is known of a trigger of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TriggerRow {
    /// Full name of the job.
    pub job: String,
    /// The trigger.
    pub trigger: String,
    /// When it comes next, in milliseconds since 1970.
    pub next_ms: Option<i64>,
    /// When it started a build last.
    pub fired_ms: Option<i64>,
    /// That build.
    pub build: Option<String>,
    /// Why it did not, or what is wrong.
    pub note: String,
    /// What it has seen.
    pub seen: String,
}

const EVENT: &str = "id, forge, identity, delivery, body, state, outcome, received_ms";

impl Store {
    /// Keeps an event. One of the same identity that is there already is given back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_event(&self, event: &EventRow) -> Result<EventRow, StoreError> {
        let state = if event.is_new { "new" } else { "done" };
        sqlx::query(
            "INSERT INTO trigger_events (id, forge, identity, delivery, body, state, outcome, received_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (forge, identity) DO NOTHING",
        )
        .bind(event.id.clone())
        .bind(event.forge.clone())
        .bind(event.identity.clone())
        .bind(event.delivery.clone())
        .bind(event.body.clone())
        .bind(state)
        .bind(event.outcome.clone())
        .bind(event.received_ms)
        .execute(&self.pool)
        .await?;
        let sql = format!("SELECT {EVENT} FROM trigger_events WHERE forge = $1 AND identity = $2");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(event.forge.clone())
            .bind(event.identity.clone())
            .fetch_one(&self.pool)
            .await?;
        event_row(&row)
    }

    /// Events of which nothing has been made yet, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn new_events(&self, most: i64) -> Result<Vec<EventRow>, StoreError> {
        let sql = format!(
            "SELECT {EVENT} FROM trigger_events WHERE state = 'new' ORDER BY received_ms, id LIMIT $1"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(most).fetch_all(&self.pool).await?;
        rows.iter().map(event_row).collect()
    }

    /// How many events there are of which nothing has been made yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_new_events(&self) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM trigger_events WHERE state = 'new'";
        Ok(sqlx::query(sql).fetch_one(&self.pool).await?.try_get(0)?)
    }

    /// The newest events.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest_events(&self, most: i64) -> Result<Vec<EventRow>, StoreError> {
        let sql =
            format!("SELECT {EVENT} FROM trigger_events ORDER BY received_ms DESC, id LIMIT $1");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(most).fetch_all(&self.pool).await?;
        rows.iter().map(event_row).collect()
    }

    /// Says what was made of an event, and what is known of triggers by that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_event(
        &self,
        id: &str,
        outcome: &str,
        triggers: &[TriggerRow],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "UPDATE trigger_events SET state = 'done', outcome = $1, done_ms = $2 WHERE id = $3",
        )
        .bind(outcome.to_owned())
        .bind(now_ms)
        .bind(id.to_owned())
        .execute(&mut *transaction)
        .await?;
        for one in triggers {
            save_trigger(&mut transaction, one).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Keeps what is known of a trigger.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_trigger(&self, trigger: &TriggerRow) -> Result<(), StoreError> {
        save_trigger(&mut *self.pool.acquire().await?, trigger).await
    }

    /// What is known of all triggers, or of those of one job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn triggers(&self, job: Option<&str>) -> Result<Vec<TriggerRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT job, trigger_id, next_ms, fired_ms, build, note, seen FROM trigger_states \
             WHERE $1 = '' OR job = $1 ORDER BY job, trigger_id",
        )
        .bind(job.unwrap_or_default().to_owned())
        .fetch_all(&self.pool)
        .await?;
        let trigger = |row: &AnyRow| {
            Ok(TriggerRow {
                job: row.try_get(0)?,
                trigger: row.try_get(1)?,
                next_ms: row.try_get(2)?,
                fired_ms: row.try_get(3)?,
                build: row.try_get(4)?,
                note: row.try_get(5)?,
                seen: row.try_get(6)?,
            })
        };
        rows.iter().map(trigger).collect()
    }

    /// Forgets a trigger that its job does not have any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_trigger(&self, job: &str, trigger: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM trigger_states WHERE job = $1 AND trigger_id = $2")
            .bind(job.to_owned())
            .bind(trigger.to_owned())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Changes whenever a job does.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn jobs_stamp(&self) -> Result<(i64, i64), StoreError> {
        let sql = "SELECT COUNT(*), CAST(COALESCE(SUM(revision), 0) AS BIGINT) FROM jobs";
        let row = sqlx::query(sql).fetch_one(&self.pool).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }
}

async fn save_trigger(
    connection: &mut sqlx::AnyConnection,
    trigger: &TriggerRow,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO trigger_states (job, trigger_id, next_ms, fired_ms, build, note, seen) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (job, trigger_id) DO UPDATE SET \
         next_ms = $3, fired_ms = $4, build = $5, note = $6, seen = $7",
    )
    .bind(trigger.job.clone())
    .bind(trigger.trigger.clone())
    .bind(trigger.next_ms)
    .bind(trigger.fired_ms)
    .bind(trigger.build.clone())
    .bind(trigger.note.clone())
    .bind(trigger.seen.clone())
    .execute(connection)
    .await?;
    Ok(())
}

fn event_row(row: &AnyRow) -> Result<EventRow, StoreError> {
    Ok(EventRow {
        id: row.try_get(0)?,
        forge: row.try_get(1)?,
        identity: row.try_get(2)?,
        delivery: row.try_get(3)?,
        body: row.try_get(4)?,
        is_new: row.try_get::<String, _>(5)? == "new",
        outcome: row.try_get(6)?,
        received_ms: row.try_get(7)?,
    })
}
