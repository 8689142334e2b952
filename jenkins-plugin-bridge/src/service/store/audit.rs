//! Who did what.

use schemars::JsonSchema;
use serde::Serialize;
use sqlx::Row as _;

use super::{Store, StoreError};

/// Something that somebody did, or was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AuditRow {
    /// Id.
    pub id: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Who: the name of a token or of a person.
    pub who: String,
    /// How it came: `api` or `page`.
    pub via: String,
    /// What.
    pub action: String,
    /// To what: a job, a build, a node.
    pub subject: String,
    /// The address that it came from.
    pub origin: String,
    /// The status of the answer: 2xx and 3xx were done, others refused.
    pub status: i64,
}

impl Store {
    /// Writes down what somebody did.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_audit(&self, row: &AuditRow) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO audit (id, at_ms, who, via, action, subject, origin, status) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(row.id.clone())
        .bind(row.at_ms)
        .bind(row.who.clone())
        .bind(row.via.clone())
        .bind(row.action.clone())
        .bind(row.subject.clone())
        .bind(row.origin.clone())
        .bind(row.status)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What was done, the newest first, at most so many; of one only where somebody is named, and only
    /// what is older than the row at a time with an id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit(
        &self,
        who: Option<&str>,
        before: (i64, &str),
        most: i64,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, at_ms, who, via, action, subject, origin, status FROM audit \
             WHERE ($1 = '' OR who = $1) AND (at_ms < $2 OR (at_ms = $2 AND id < $3)) \
             ORDER BY at_ms DESC, id DESC LIMIT $4",
        )
        .bind(who.unwrap_or_default().to_owned())
        .bind(before.0)
        .bind(before.1.to_owned())
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(AuditRow {
                    id: row.try_get(0)?,
                    at_ms: row.try_get(1)?,
                    who: row.try_get(2)?,
                    via: row.try_get(3)?,
                    action: row.try_get(4)?,
                    subject: row.try_get(5)?,
                    origin: row.try_get(6)?,
                    status: row.try_get(7)?,
                })
            })
            .collect()
    }
}
