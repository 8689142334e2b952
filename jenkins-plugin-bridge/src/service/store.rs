//! State: plans, builds, what they reported. One SQLite file by default, PostgreSQL by URL; the
//! same statements for both.

mod agents;
mod archives;
mod audit;
mod builds;
mod checkpoint;
mod counts;
mod images;
mod jobs;
mod leases;
mod locks;
mod masters;
mod milestones;
mod outbox;
mod routed;
mod sessions;
mod starts;
mod together;
mod triggers;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _, Row as _, SqlStr};

pub use archives::ArchiveRow;
pub use audit::AuditRow;
pub use builds::{BuildRow, ClaimRow, EventsState};
use checkpoint::Checkpoints;
pub use images::ImageUse;
pub use jobs::{CopyRow, JobRow};
pub use leases::LeaseRow;
pub use locks::{LockQuestion, LockRow};
pub use milestones::AtMilestone;
pub use outbox::OutboxRow;
pub use routed::{AttemptChange, BuildFilter, Change, NewBuild, StateFilter};
pub use sessions::{LoginRow, SessionRow};
use together::Together;
pub use triggers::{EventRow, TriggerRow};
pub use usage::UsageRow;

/// All changes of the tables, in order. A published one is never edited.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "initial", include_str!("../../migrations/0001_initial.sql")),
    (2, "pods", include_str!("../../migrations/0002_pods.sql")),
    (10, "masters", include_str!("../../migrations/0010_masters.sql")),
    (20, "board", include_str!("../../migrations/0020_board.sql")),
    (40, "agents", include_str!("../../migrations/0040_agents.sql")),
    (41, "agent wishes", include_str!("../../migrations/0041_agent_wishes.sql")),
    (42, "agent pools", include_str!("../../migrations/0042_agent_pools.sql")),
    (55, "images", include_str!("../../migrations/0055_images.sql")),
    (60, "triggers", include_str!("../../migrations/0060_triggers.sql")),
    (61, "reports", include_str!("../../migrations/0061_reports.sql")),
    (62, "archives", include_str!("../../migrations/0062_archives.sql")),
    (63, "drains", include_str!("../../migrations/0063_drains.sql")),
    (70, "leases", include_str!("../../migrations/0070_leases.sql")),
    (71, "milestones", include_str!("../../migrations/0071_milestones.sql")),
    (80, "live builds", include_str!("../../migrations/0080_live_builds.sql")),
    (90, "declared masters", include_str!("../../migrations/0090_declared_masters.sql")),
];
/// Connections to PostgreSQL.
const CONNECTIONS: u32 = 16;
/// How long a request waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The database failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No connection was free in time.
    #[error("the database is busy")]
    Busy,
    /// The URL is none that can be used.
    #[error("the database URL is neither sqlite: nor postgres:")]
    Url,
    /// What the database says.
    #[error("the database failed: {0}")]
    Database(sqlx::Error),
    /// The tables cannot be brought up to date.
    #[error("the tables cannot be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::Busy,
            other => Self::Database(other),
        }
    }
}

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: AnyPool,
    /// Where there is one writer at a time.
    together: Option<Together>,
    checkpoints: Option<Arc<Checkpoints>>,
}

/// What became of an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It is new.
    Fresh,
    /// It stands for the same request.
    Same,
    /// It stands for another request.
    Other,
}

impl Store {
    /// Opens the database and brings its tables up to date.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let is_sqlite = url.starts_with("sqlite:");
        if !is_sqlite && !url.starts_with("postgres:") && !url.starts_with("postgresql:") {
            return Err(StoreError::Url);
        }
        // SQLite has one writer at a time: a second connection would only wait inside of it, where
        // waiting is by sleeping.
        let options = AnyPoolOptions::new()
            .max_connections(if is_sqlite { 1 } else { CONNECTIONS })
            .acquire_timeout(PATIENCE)
            // The connection to a file does not go stale; asking each time costs a round trip.
            .test_before_acquire(!is_sqlite)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if is_sqlite {
                        prepare_sqlite(connection).await?;
                    }
                    Ok(())
                })
            });
        let pool = options.connect(url).await?;
        let migrations = MIGRATIONS.iter().map(|&(version, name, sql)| {
            let kind = MigrationType::Simple;
            Migration::new(version, name.into(), kind, SqlStr::from_static(sql), false)
        });
        Migrator::with_migrations(migrations.collect()).run(&pool).await?;
        let together = is_sqlite.then(|| Together::start(pool.clone()));
        let checkpoints = if is_sqlite {
            let mut connection = AnyConnection::connect(url).await?;
            prepare_sqlite(&mut connection).await?;
            Some(Arc::new(Checkpoints::start(connection)))
        } else {
            None
        };
        Ok(Self { pool, together, checkpoints })
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").fetch_one(&self.pool).await?;
        Ok(())
    }

    /// Keeps a plan. One that is there stays as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_plan(
        &self,
        digest: &str,
        controller: &str,
        body: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        insert_plan(&mut *self.pool.acquire().await?, digest, controller, body, now).await
    }

    /// A plan: its controller and its JSON.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn plan(&self, digest: &str) -> Result<Option<(String, String)>, StoreError> {
        let row = sqlx::query("SELECT controller, body FROM plans WHERE digest = $1")
            .bind(digest.to_owned())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
    }

    /// Takes an idempotency key for a request.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_key(
        &self,
        subject: &str,
        key: &str,
        request_digest: &str,
        now: i64,
    ) -> Result<KeyState, StoreError> {
        let done = sqlx::query(
            "INSERT INTO idempotency (subject, key, request_digest, created_at) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (subject, key) DO NOTHING",
        )
        .bind(subject.to_owned())
        .bind(key.to_owned())
        .bind(request_digest.to_owned())
        .bind(now)
        .execute(&self.pool)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(KeyState::Fresh);
        }
        let row =
            sqlx::query("SELECT request_digest FROM idempotency WHERE subject = $1 AND key = $2")
                .bind(subject.to_owned())
                .bind(key.to_owned())
                .fetch_one(&self.pool)
                .await?;
        let same = row.try_get::<String, _>(0)? == request_digest;
        Ok(if same { KeyState::Same } else { KeyState::Other })
    }

    /// Removes builds older than one time, plans that no build has, and keys older than another.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep(&self, builds_before: i64, keys_before: i64) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let builds = sqlx::query("DELETE FROM builds WHERE created_at < $1")
            .bind(builds_before)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "DELETE FROM plans WHERE created_at < $1 \
             AND NOT EXISTS (SELECT 1 FROM builds WHERE builds.digest = plans.digest)",
        )
        .bind(builds_before)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("DELETE FROM routed_builds WHERE state = 'finished' AND created_ms < $1")
            .bind(builds_before.saturating_mul(1000))
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM trigger_events WHERE received_ms < $1")
            .bind(builds_before.saturating_mul(1000))
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM idempotency WHERE created_at < $1")
            .bind(keys_before)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        // Each is made again by whoever needs it.
        sqlx::query("DELETE FROM lease_turns").execute(&self.pool).await?;
        Ok(builds.rows_affected())
    }

    /// Closes the connections.
    pub async fn close(&self) {
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.end().await;
        }
        self.pool.close().await;
    }
}

async fn prepare_sqlite(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    // With a write-ahead log a crash of the service loses nothing; a crash of the machine may lose
    // the last moments, and a build then asks for its plan again.
    for statement in [
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = NORMAL",
        "PRAGMA foreign_keys = ON",
        "PRAGMA busy_timeout = 5000",
        // A task of its own does that: see `checkpoint`.
        "PRAGMA wal_autocheckpoint = 0",
    ] {
        connection.execute(statement).await?;
    }
    Ok(())
}

async fn insert_plan(
    connection: &mut AnyConnection,
    digest: &str,
    controller: &str,
    body: &str,
    now: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO plans (digest, controller, body, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (digest) DO NOTHING",
    )
    .bind(digest.to_owned())
    .bind(controller.to_owned())
    .bind(body.to_owned())
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}
