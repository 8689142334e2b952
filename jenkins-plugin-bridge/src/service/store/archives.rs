//! Which builds are to be archived, and which are.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Store, StoreError};

/// A build that is to be archived, or is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveRow {
    /// The build.
    pub build: String,
    /// `due`, `done` or `lost`.
    pub state: String,
    /// Tries that failed.
    pub tries: i64,
    /// When it is tried, in milliseconds since 1970.
    pub next_ms: i64,
    /// Why the last try failed.
    pub error: String,
    /// When the build had ended.
    pub created_ms: i64,
}

const COLUMNS: &str = "SELECT build, state, tries, next_ms, error, created_ms FROM archives";

fn row(row: &AnyRow) -> Result<ArchiveRow, StoreError> {
    Ok(ArchiveRow {
        build: row.try_get(0)?,
        state: row.try_get(1)?,
        tries: row.try_get(2)?,
        next_ms: row.try_get(3)?,
        error: row.try_get(4)?,
        created_ms: row.try_get(5)?,
    })
}

impl Store {
    /// Has a build be archived. One that is known already stays as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_archive(&self, build: &str, now_ms: i64) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO archives (build, state, tries, next_ms, error, created_ms) \
             VALUES ($1, 'due', 0, $2, '', $2) ON CONFLICT (build) DO NOTHING",
        )
        .bind(build.to_owned())
        .bind(now_ms)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Builds that are to be archived now; with `done`, those that were put here before that time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn archives(
        &self,
        is_due: bool,
        before_ms: i64,
        most: i64,
    ) -> Result<Vec<ArchiveRow>, StoreError> {
        let condition = if is_due { "state = 'due' AND next_ms <= $1" } else { "created_ms < $1" };
        let sql = format!("{COLUMNS} WHERE {condition} ORDER BY created_ms LIMIT $2");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(before_ms)
            .bind(most)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(row).collect()
    }

    /// How a build gets into the archive; nothing where it does not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn archive(&self, build: &str) -> Result<Option<ArchiveRow>, StoreError> {
        let sql = format!("{COLUMNS} WHERE build = $1");
        let found = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(build.to_owned())
            .fetch_optional(&self.pool)
            .await?;
        found.as_ref().map(row).transpose()
    }

    /// Says what came of a try.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn archive_tried(&self, row: &ArchiveRow) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE archives SET state = $1, tries = $2, next_ms = $3, error = $4 WHERE build = $5",
        )
        .bind(row.state.clone())
        .bind(row.tries)
        .bind(row.next_ms)
        .bind(row.error.clone())
        .bind(row.build.clone())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets what is not kept any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_archive(&self, build: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM archives WHERE build = $1")
            .bind(build.to_owned())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
