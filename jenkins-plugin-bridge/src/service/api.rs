//! The HTTP side of the operations.

pub(in crate::service) mod extract;
pub(in crate::service) mod handlers;
pub mod leases;
pub mod routed;
pub mod types;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use tracing::Instrument as _;

use super::audit::{self, Trail};
use super::board;
use super::openapi::{OPERATIONS, OperationId};
use super::problem::Problem;
use super::state::Service;
use super::traces;

pub use handlers::order_build;

/// All routes.
pub fn router(service: &Arc<Service>) -> Router {
    let mut router = Router::new();
    for (index, (operation, id)) in OPERATIONS.iter().zip(OperationId::ALL).enumerate() {
        let around = from_fn_with_state((Arc::clone(service), index), measure);
        router = router.route(operation.path, handler(*id).route_layer(around));
    }
    router
        .merge(board::router(service))
        .fallback(board::unknown)
        .method_not_allowed_fallback(board::other_method)
        .with_state(Arc::clone(service))
}

fn handler(id: OperationId) -> MethodRouter<Arc<Service>> {
    match id {
        OperationId::create_plan => post(handlers::create_plan),
        OperationId::get_plan => get(handlers::get_plan),
        OperationId::evaluate_plan => post(handlers::evaluate_plan),
        OperationId::add_events => post(handlers::add_events),
        OperationId::claim_build => post(handlers::claim_build),
        OperationId::ask_lock => post(handlers::ask_lock),
        OperationId::release_lock => post(handlers::release_lock),
        OperationId::pass_milestone => post(handlers::pass_milestone),
        OperationId::list_locks => get(handlers::list_locks),
        OperationId::break_lock => post(handlers::break_lock),
        OperationId::get_build => get(handlers::get_build),
        OperationId::get_catalog => get(handlers::get_catalog),
        OperationId::get_pipeline => get(handlers::get_pipeline),
        OperationId::get_stage => get(handlers::get_stage),
        OperationId::reload_catalog => post(handlers::reload_catalog),
        OperationId::take_node_out => post(handlers::take_node_out),
        OperationId::bring_node_back => post(handlers::bring_node_back),
        OperationId::report_usage => post(handlers::report_usage),
        OperationId::get_sizing => get(handlers::get_sizing),
        OperationId::get_masters => get(handlers::get_masters),
        OperationId::save_master => post(handlers::save_master),
        OperationId::remove_master => post(handlers::remove_master),
        OperationId::check_master => get(handlers::check_master),
        OperationId::drain_master => post(handlers::drain_master),
        OperationId::resume_master => post(handlers::resume_master),
        OperationId::get_labels => get(handlers::get_labels),
        OperationId::get_limits => get(handlers::get_limits),
        OperationId::list_agents => get(handlers::list_agents),
        OperationId::list_agent_pools => get(handlers::list_agent_pools),
        OperationId::ask_as_standby => post(handlers::ask_as_standby),
        OperationId::get_running => get(handlers::get_running),
        OperationId::save_job => post(handlers::save_job),
        OperationId::list_jobs => get(handlers::list_jobs),
        OperationId::get_job => get(handlers::get_job),
        OperationId::keep_job => post(handlers::keep_job),
        OperationId::remove_job => post(handlers::remove_job),
        OperationId::take_hook => post(handlers::take_hook),
        OperationId::list_hooks => get(handlers::list_hooks),
        OperationId::get_outbox => get(handlers::get_outbox),
        OperationId::retry_outbox => post(handlers::retry_outbox),
        OperationId::create_build => post(handlers::create_build),
        OperationId::list_builds => get(handlers::list_builds),
        OperationId::stop_build => post(handlers::stop_build),
        OperationId::get_log => get(handlers::get_log),
        OperationId::get_audit => get(handlers::get_audit),
        OperationId::get_tests => get(handlers::get_tests),
        OperationId::get_artifacts => get(handlers::get_artifacts),
        OperationId::get_artifact => get(handlers::get_artifact),
        OperationId::get_keys => get(handlers::get_keys),
        OperationId::get_openapi => get(handlers::get_openapi),
        OperationId::get_health => get(handlers::get_health),
        OperationId::get_metrics => get(handlers::get_metrics),
    }
}

/// Counts a request, writes it to the log, and gives it up when it takes too long.
async fn measure(
    State((service, index)): State<(Arc<Service>, usize)>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let limit = service.options.request_timeout;
    let span = traces::span(&OPERATIONS[index], request.headers());
    let origin = audit::origin(&service, request.headers(), request.extensions().get().copied());
    let trail = Trail::default();
    let answered = tokio::time::timeout(limit, trail.within(next.run(request)));
    let answered = answered.instrument(span.clone());
    let response = match answered.await {
        Ok(response) => response,
        Err(_) => Problem::too_slow().into_response(),
    };
    trail.keep(&service, "api", &origin, response.status().as_u16()).await;
    traces::ended(&span, response.status().as_u16());
    let (status, took) = (response.status().as_u16(), started.elapsed());
    service.metrics.request(index, status, took);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(parent: &span, status, micros, "answered");
    response
}
