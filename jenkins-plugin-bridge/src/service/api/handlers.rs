//! The operations on plans and the catalog, and those about the service itself.

mod agents;
mod archive;
mod audit;
mod builds;
mod hooks;
mod jobs;
mod labels;
mod leases;
mod limits;
mod masters;
mod milestones;
mod nodes;
mod routed;
mod usage;

use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::extract::{Authenticated, Input};
use super::types::{CatalogAnswer, Health, PipelineAnswer, StageAnswer};
use crate::service::audit::acts;
use crate::service::auth::{Caller, Scope};
use crate::service::live::ReloadState;
use crate::service::openapi;
use crate::service::plans::{self, PlanAnswer, PlanQuery};
use crate::service::problem::Problem;
use crate::service::sign::PublicKey;
use crate::service::state::{Service, StoredPlan};

pub use agents::{ask_as_standby, list_agent_pools, list_agents};
pub use archive::{get_artifact, get_artifacts, get_tests};
pub use audit::{AUDIT_ROWS, AuditQuery, get_audit};
pub use builds::{add_events, claim_build, evaluate_plan, get_build};
pub use hooks::{get_outbox, list_hooks, retry_outbox, take_hook};
pub use jobs::{get_job, keep_job, list_jobs, remove_job, save_job};
pub use labels::get_labels;
pub use leases::{ask_lock, break_lock, list_locks, release_lock};
pub use limits::get_limits;
pub use masters::{
    check_master, drain_master, get_masters, get_running, remove_master, resume_master, save_master,
};
pub use milestones::pass_milestone;
pub use nodes::{bring_node_back, take_node_out};
pub use routed::{
    create_build, get_log, list_builds, order_build, planned, say_what_they_wait_for, stop_build,
};
pub use usage::{get_sizing, report_usage};

type App = State<Arc<Service>>;

pub async fn create_plan(
    State(service): App,
    Authenticated(caller): Authenticated,
    input: Input<PlanQuery>,
) -> Result<Json<PlanAnswer>, Problem> {
    input.take_key(&service, &caller).await?;
    plans::answer(&service, &caller, input.value).await.map(Json)
}

/// A plan that this caller may see. What it may not see is not there for it.
async fn visible_plan(
    service: &Service,
    caller: &Caller,
    digest: &str,
) -> Result<Arc<StoredPlan>, Problem> {
    let own = match caller {
        Caller::Build(claims) if claims.digest == digest => None,
        Caller::Build(_) => return Err(Problem::missing("plan")),
        Caller::Access(_) => caller.access(Scope::PlansRead)?.controller.as_ref(),
    };
    let plan = service.plan(digest).await?.ok_or_else(|| Problem::missing("plan"))?;
    if own.is_some_and(|own| *own != plan.controller) {
        return Err(Problem::missing("plan"));
    }
    Ok(plan)
}

pub async fn get_plan(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(digest): Path<String>,
) -> Result<Response, Problem> {
    let plan = visible_plan(&service, &caller, &digest).await?;
    // The digest names these bytes, so these bytes are what is sent.
    let body = format!("{{\"digest\":\"{}\",\"plan\":{}}}", plan.digest, plan.text);
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

pub async fn get_catalog(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Json<CatalogAnswer>, Problem> {
    caller.access(Scope::CatalogRead)?;
    let loaded = service.catalog.current();
    let catalog = &loaded.catalog;
    Ok(Json(CatalogAnswer {
        name: catalog.info.name.to_string(),
        version: catalog.info.version.to_string(),
        description: catalog.info.description.clone(),
        digest: loaded.digest.clone(),
        loaded_at: loaded.loaded_at.clone(),
        reload: service.catalog.state(),
        pipelines: catalog
            .pipelines
            .iter()
            .map(|(name, filed)| (name.clone(), filed.value.version.to_string()))
            .collect(),
        stages: catalog
            .stages
            .iter()
            .map(|(name, all)| {
                (name.clone(), all.iter().map(|one| one.value.version.to_string()).collect())
            })
            .collect(),
        rules: catalog.rules.iter().map(|rule| rule.value.name.to_string()).collect(),
    }))
}

pub async fn get_pipeline(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(name): Path<String>,
) -> Result<Json<PipelineAnswer>, Problem> {
    caller.access(Scope::CatalogRead)?;
    let loaded = service.catalog.current();
    let filed = loaded.catalog.pipelines.get(&name).ok_or_else(|| Problem::missing("pipeline"))?;
    Ok(Json(PipelineAnswer { file: filed.file.clone(), pipeline: filed.value.clone() }))
}

pub async fn get_stage(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(name): Path<String>,
) -> Result<Json<StageAnswer>, Problem> {
    caller.access(Scope::CatalogRead)?;
    let loaded = service.catalog.current();
    let all = loaded.catalog.stages.get(&name).ok_or_else(|| Problem::missing("stage"))?;
    Ok(Json(StageAnswer { versions: all.iter().map(|one| one.value.clone()).collect() }))
}

pub async fn reload_catalog(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Json<ReloadState>, Problem> {
    acts("reload the catalog", "");
    caller.access(Scope::CatalogReload)?;
    let state = tokio::task::spawn_blocking(move || service.catalog.reload()).await;
    state.map(Json).map_err(|error| Problem::internal(&error))
}

pub async fn get_keys(State(service): App, _caller: Authenticated) -> Json<Vec<PublicKey>> {
    Json(service.keys.public())
}

pub async fn get_openapi(_caller: Authenticated) -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| openapi::document().to_string());
    ([(CONTENT_TYPE, "application/json")], text.as_str()).into_response()
}

pub async fn get_health(State(service): App) -> Result<Json<Health>, Problem> {
    service.store.ping().await?;
    let catalog_is_current = service.catalog.state().is_current;
    let status = if catalog_is_current { "ok" } else { "degraded" };
    Ok(Json(Health { status, catalog_is_current }))
}

pub async fn get_metrics(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Response, Problem> {
    caller.access(Scope::MetricsRead)?;
    let mut text = service.metrics.text(service.catalog.state().is_current);
    // What this process has counted is told also while the database does not answer.
    match service.gauges().await {
        Ok(gauges) => text.push_str(&gauges),
        Err(error) => tracing::warn!(%error, "gauges cannot be read"),
    }
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
