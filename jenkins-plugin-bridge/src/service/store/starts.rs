//! How the pods of builds started, and which plans they had.

use sqlx::Row as _;

use super::{Store, StoreError};

impl Store {
    /// Keeps how the pod of a build started; the last one counts. Of a build that is not there
    /// nothing is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_start(&self, build: &str, body: &str, now: i64) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO pod_starts (build, body, seen_at) \
             SELECT id, $2, $3 FROM builds WHERE id = $1 \
             ON CONFLICT (build) DO UPDATE SET body = excluded.body, seen_at = excluded.seen_at",
        )
        .bind(build.to_owned())
        .bind(body.to_owned())
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// How the pod of a build started, once that is known.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn start_of(&self, build: &str) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT body FROM pod_starts WHERE build = $1")
            .bind(build.to_owned())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Ok(row.try_get(0)?)).transpose()
    }

    /// How the pods that were seen last started, at most so many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn recent_starts(&self, most: i64) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("SELECT body FROM pod_starts ORDER BY seen_at DESC LIMIT $1")
            .bind(most)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Plans of the builds since a time, each once; at most 5,000.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn recent_plans(&self, since: i64) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query(
            "SELECT body FROM plans WHERE digest IN \
             (SELECT digest FROM builds WHERE created_at >= $1) ORDER BY created_at DESC LIMIT 5000",
        )
        .bind(since)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}
