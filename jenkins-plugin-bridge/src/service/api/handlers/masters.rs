//! The operations on masters and labels.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;

use super::App;
use crate::masters::{LabelCover, cover};
use crate::service::api::extract::Authenticated;
use crate::service::api::types::MasterAnswer;
use crate::service::auth::Scope;
use crate::service::problem::Problem;

pub async fn get_masters(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Json<Vec<MasterAnswer>>, Problem> {
    caller.access(Scope::MastersRead)?;
    let now = service.now_signed();
    let all = service.masters.all();
    Ok(Json(
        all.iter()
            .map(|master| MasterAnswer {
                name: master.name.clone(),
                url: master.client.base().to_owned(),
                labels: master.labels(),
                capacity: master.capacity(),
                permission: master.spec.permission,
                zone: master.spec.zone.as_ref().map(ToString::to_string),
                cluster: master.spec.cluster.as_ref().map(ToString::to_string),
                refusal: master.refusal(now),
                state: master.state(),
                calls: master.calls(),
            })
            .collect(),
    ))
}

pub async fn get_labels(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Json<Vec<LabelCover>>, Problem> {
    caller.access(Scope::MastersRead)?;
    let used = BTreeSet::new();
    Ok(Json(cover(&service.masters.all(), &used, service.now_signed())))
}
