//! The operation on who did what.

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::App;
use crate::service::api::extract::Authenticated;
use crate::service::auth::Scope;
use crate::service::problem::Problem;
use crate::service::store::AuditRow;

/// The most rows of an answer.
pub const AUDIT_ROWS: i64 = 500;

/// Which part is asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditQuery {
    /// Only what this one did.
    pub who: Option<String>,
    /// Only what is older than this time, in milliseconds since 1970.
    pub before_ms: Option<i64>,
    /// The id of the row at that time.
    pub before_id: Option<String>,
    /// The most rows.
    pub limit: Option<i64>,
}

pub async fn get_audit(
    State(service): App,
    Authenticated(caller): Authenticated,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Vec<AuditRow>>, Problem> {
    caller.access(Scope::AuditRead)?;
    let before = (query.before_ms.unwrap_or(i64::MAX), query.before_id.as_deref().unwrap_or(""));
    let limit = query.limit.unwrap_or(AUDIT_ROWS).clamp(1, AUDIT_ROWS);
    Ok(Json(service.store.audit(query.who.as_deref(), before, limit).await?))
}
