//! The pages: what the operations of the API tell, for people with a browser. Nothing is decided here.

mod actions;
mod agents;
mod build;
mod deliveries;
mod job;
mod left;
mod log;
mod login;
mod pages;
mod render;
pub(in crate::service) mod timeline;
mod visitor;
mod wrong;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use super::audit::{self, Trail};
use super::problem::Problem;
use super::state::Service;
pub use wrong::{other_method, unknown};

/// What a page may load: its own style and script, and nothing else from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// The colours that the report of a local run has, too.
const STYLE: &str = concat!(include_str!("../../palette.css"), include_str!("assets/board.css"));
const SCRIPT: &str = include_str!("assets/board.js");
const ICON: &str = include_str!("assets/icon.svg");

/// The routes of the pages.
pub fn router(service: &Arc<Service>) -> Router<Arc<Service>> {
    Router::new()
        .route("/", get(pages::overview))
        .route("/builds", get(pages::builds).post(actions::start))
        .route("/builds/{id}", get(build::page))
        .route("/builds/{id}/log", get(log::text))
        .route("/builds/{id}/artifacts/{number}", get(left::artifact))
        .route("/builds/{id}/stop", post(actions::stop))
        .route("/masters/{name}/drain", post(actions::drain))
        .route("/masters/{name}/resume", post(actions::resume))
        .route("/jobs", get(pages::jobs))
        .route("/jobs/{name}", get(job::page))
        .route("/jobs/{name}/keep", post(actions::keep))
        .route("/deliveries", get(deliveries::page))
        .route("/deliveries/retry", post(actions::tell_again))
        .route("/agents", get(agents::page))
        .route("/images", get(pages::images))
        .route("/sizing", get(pages::sizing))
        .route("/audit", get(pages::audit))
        .route("/login", get(login::page).post(login::with_token))
        .route("/login/start", get(login::start))
        .route("/login/callback", get(login::callback))
        .route("/logout", post(login::end))
        .route("/assets/{name}", get(asset))
        .route_layer(from_fn_with_state(Arc::clone(service), around))
}

/// Answers within the limits of time, with the headers of a page; writes down what was done.
async fn around(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let origin = audit::origin(&service, request.headers(), request.extensions().get().copied());
    let (trail, asked) = (Trail::default(), wrong::Asked::of(&request));
    let limit = service.options.request_timeout;
    let answered = tokio::time::timeout(limit, trail.within(next.run(request))).await;
    let response = answered.unwrap_or_else(|_| Problem::too_slow().into_response());
    trail.keep(&service, "page", &origin, response.status().as_u16()).await;
    secured(wrong::as_page(&service, &asked, response).await)
}

/// With the headers of a page.
fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Style, script and picture: the only files that nobody needs to be logged in for.
async fn asset(Path(name): Path<String>, _headers: HeaderMap) -> Response {
    let (kind, text) = match name.as_str() {
        "board.css" => ("text/css; charset=utf-8", STYLE),
        "board.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    // The address has the version in it.
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "public, max-age=3600")], text).into_response()
}
