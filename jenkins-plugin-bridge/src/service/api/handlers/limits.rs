//! The operation on limits.

use axum::Json;
use axum::extract::State;

use super::App;
use crate::route::{LimitFill, fill};
use crate::service::api::extract::Authenticated;
use crate::service::auth::Scope;
use crate::service::problem::Problem;

pub async fn get_limits(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Json<Vec<LimitFill>>, Problem> {
    caller.access(Scope::MastersRead)?;
    let Some(limits) = service.limits.get().filter(|limits| !limits.is_empty()) else {
        return Ok(Json(Vec::new()));
    };
    let masters = service.masters.all();
    let clusters = masters.iter().filter_map(|master| {
        Some((master.name.clone(), master.spec.cluster.as_ref()?.to_string()))
    });
    let builds = service.store.live_routed().await?;
    Ok(Json(fill(limits, &builds, &clusters.collect())))
}
