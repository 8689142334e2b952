//! Who is logged in to the pages, and logins under way.

use sqlx::Row as _;

use super::{Store, StoreError};

/// The most logins under way: whoever opens more pushes the oldest out.
const LOGINS: i64 = 10_000;

/// Somebody who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// SHA-256 of the cookie.
    pub digest: String,
    /// Whose it is.
    pub name: String,
    /// SHA-256 of the access token that it stands for.
    pub token: Option<String>,
    /// The role that the identity provider gave.
    pub role: Option<String>,
    /// When it began, in seconds since 1970.
    pub created_at: i64,
    /// When it ends.
    pub expires_at: i64,
}

/// A browser that was sent to the identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRow {
    /// SHA-256 of the cookie.
    pub digest: String,
    /// What has to come back.
    pub state: String,
    /// What has to be in the ID token.
    pub nonce: String,
    /// The verifier of PKCE.
    pub verifier: String,
    /// The path that was asked for.
    pub next: String,
    /// When it ends, in seconds since 1970.
    pub expires_at: i64,
}

impl Store {
    /// Keeps a session.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_session(&self, row: &SessionRow) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO sessions (digest, name, token, role, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(row.digest.clone())
        .bind(row.name.clone())
        .bind(row.token.clone())
        .bind(row.role.clone())
        .bind(row.created_at)
        .bind(row.expires_at)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// A session that has not ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn session(&self, digest: &str, now: i64) -> Result<Option<SessionRow>, StoreError> {
        let row = sqlx::query(
            "SELECT digest, name, token, role, created_at, expires_at FROM sessions \
             WHERE digest = $1 AND expires_at > $2",
        )
        .bind(digest.to_owned())
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            Ok(SessionRow {
                digest: row.try_get(0)?,
                name: row.try_get(1)?,
                token: row.try_get(2)?,
                role: row.try_get(3)?,
                created_at: row.try_get(4)?,
                expires_at: row.try_get(5)?,
            })
        })
        .transpose()
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_session(&self, digest: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM sessions WHERE digest = $1")
            .bind(digest.to_owned())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Keeps a login under way, and removes those that took too long.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_login(&self, row: &LoginRow, now: i64) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM logins WHERE expires_at <= $1 OR digest IN \
             (SELECT digest FROM logins ORDER BY expires_at DESC LIMIT 1000 OFFSET $2)",
        )
        .bind(now)
        .bind(LOGINS)
        .execute(&self.pool)
        .await?;
        sqlx::query(
            "INSERT INTO logins (digest, state, nonce, verifier, next, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(row.digest.clone())
        .bind(row.state.clone())
        .bind(row.nonce.clone())
        .bind(row.verifier.clone())
        .bind(row.next.clone())
        .bind(row.expires_at)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes a login under way: it is there once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_login(&self, digest: &str, now: i64) -> Result<Option<LoginRow>, StoreError> {
        let row = sqlx::query(
            "DELETE FROM logins WHERE digest = $1 \
             RETURNING digest, state, nonce, verifier, next, expires_at",
        )
        .bind(digest.to_owned())
        .fetch_optional(&self.pool)
        .await?;
        let row = row.map(|row| {
            Ok::<_, StoreError>(LoginRow {
                digest: row.try_get(0)?,
                state: row.try_get(1)?,
                nonce: row.try_get(2)?,
                verifier: row.try_get(3)?,
                next: row.try_get(4)?,
                expires_at: row.try_get(5)?,
            })
        });
        Ok(row.transpose()?.filter(|row| row.expires_at > now))
    }

    /// Removes sessions that have ended, and what was done before a time in milliseconds since 1970.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep_access(&self, now: i64, audit_before_ms: i64) -> Result<(), StoreError> {
        for (statement, before) in [
            ("DELETE FROM sessions WHERE expires_at <= $1", now),
            ("DELETE FROM logins WHERE expires_at <= $1", now),
            ("DELETE FROM audit WHERE at_ms < $1", audit_before_ms),
        ] {
            sqlx::query(statement).bind(before).execute(&self.pool).await?;
        }
        Ok(())
    }
}
