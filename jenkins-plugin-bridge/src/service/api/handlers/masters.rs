//! The operations on masters and labels.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, Query, State};

use super::App;
use crate::jobs::CopyState;
use crate::masters::{Drain, LabelCover, Master, MasterCheck, check, cover};
use crate::rest::JobName;
use crate::service::api::extract::{Authenticated, Input};
use crate::service::api::types::{DrainQuery, MasterAnswer};
use crate::service::audit::acts;
use crate::service::auth::Scope;
use crate::service::problem::Problem;
use crate::service::running::{RunningList, RunningQuery};

pub async fn get_masters(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Json<Vec<MasterAnswer>>, Problem> {
    caller.access(Scope::MastersRead)?;
    let now = service.now_signed();
    Ok(Json(service.masters.all().iter().map(|master| told(master, now)).collect()))
}

/// What is told of a master.
fn told(master: &Master, now: i64) -> MasterAnswer {
    MasterAnswer {
        name: master.name.clone(),
        url: master.client.base().to_owned(),
        labels: master.labels(),
        capacity: master.capacity(),
        permission: master.spec.permission,
        zone: master.spec.zone.as_ref().map(ToString::to_string),
        cluster: master.spec.cluster.as_ref().map(ToString::to_string),
        refusal: master.refusal(now),
        drain: master.drain(),
        state: master.state(),
        calls: master.calls(),
    }
}

pub async fn drain_master(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(name): Path<String>,
    input: Input<DrainQuery>,
) -> Result<Json<MasterAnswer>, Problem> {
    acts("take a master out", &name);
    caller.access(Scope::MastersWrite)?;
    let master = service.masters.get(&name).ok_or_else(|| Problem::missing("master"))?;
    let reason = Drain::checked(&input.value.reason).map_err(Problem::malformed)?;
    acts("take a master out", &format!("{name}: {reason}"));
    let drain = Drain { who: caller.name(), reason: reason.to_owned(), since_ms: service.now_ms() };
    service.store.save_drain(&name, &drain).await?;
    service.read_drains().await?;
    service.route_now.notify_one();
    Ok(Json(told(&master, service.now_signed())))
}

pub async fn resume_master(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(name): Path<String>,
) -> Result<Json<MasterAnswer>, Problem> {
    acts("give a master back", &name);
    caller.access(Scope::MastersWrite)?;
    let master = service.masters.get(&name).ok_or_else(|| Problem::missing("master"))?;
    service.store.remove_drain(&name).await?;
    service.read_drains().await?;
    service.route_now.notify_one();
    Ok(Json(told(&master, service.now_signed())))
}

pub async fn get_labels(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Json<Vec<LabelCover>>, Problem> {
    caller.access(Scope::MastersRead)?;
    let used = BTreeSet::new();
    Ok(Json(cover(&service.masters.all(), &used, service.now_signed())))
}

pub async fn get_running(
    State(service): App,
    Authenticated(caller): Authenticated,
    Query(query): Query<RunningQuery>,
) -> Result<Json<RunningList>, Problem> {
    caller.access(Scope::BuildsRead)?;
    Ok(Json(service.running_elsewhere(&query).await?))
}

pub async fn check_master(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(name): Path<String>,
) -> Result<Json<MasterCheck>, Problem> {
    caller.access(Scope::MastersRead)?;
    let master = service.masters.get(&name).ok_or_else(|| Problem::missing("master"))?;
    let copies = service.store.copies().await?;
    let of_ours = copies.iter().find(|copy| {
        copy.master == name && matches!(copy.state, CopyState::Same | CopyState::Drifted { .. })
    });
    let job = of_ours.and_then(|copy| JobName::parse(&copy.job).ok());
    Ok(Json(check(&master, job.as_ref()).await?))
}
