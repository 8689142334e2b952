//! What builds left behind: from the archive, or from their master while it is not there.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::Response;

use super::App;
use crate::archive::{Archive, KeptArtifact};
use crate::masters::Master;
use crate::rest::{TestReport, build_path};
use crate::route::Build;
use crate::service::api::extract::Authenticated;
use crate::service::api::routed::ArtifactList;
use crate::service::auth::Scope;
use crate::service::problem::Problem;
use crate::service::state::Service;

/// Reads from the archive, beside the threads that answer requests.
pub async fn archived<T: Send + 'static>(
    service: &Service,
    read: impl FnOnce(&Archive) -> Option<T> + Send + 'static,
) -> Option<T> {
    let archive = Arc::clone(service.archive.as_ref()?);
    tokio::task::spawn_blocking(move || read(&archive)).await.ok()?
}

async fn build(service: &Service, id: &str) -> Result<Build, Problem> {
    service.store.routed(id).await?.ok_or_else(|| Problem::missing("build"))
}

/// The master that has a build, and the path of it there.
fn place(service: &Service, build: &Build) -> Result<(Arc<Master>, String), Problem> {
    let path = build.url.as_deref().and_then(build_path);
    let master = build.master.as_deref().and_then(|name| service.masters.get(name));
    master.zip(path).ok_or_else(|| Problem::missing("run of this build"))
}

pub async fn get_tests(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<TestReport>, Problem> {
    caller.access(Scope::BuildsRead)?;
    let build = build(&service, &id).await?;
    let kept = archived(&service, move |archive| {
        archive.kept(&id)?;
        Some(archive.tests(&id))
    });
    let report = match kept.await {
        Some(report) => report,
        None => {
            let (master, path) = place(&service, &build)?;
            master.client.test_report(&path).await?
        }
    };
    report.map(Json).ok_or_else(|| Problem::missing("test report"))
}

pub async fn get_artifacts(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<ArtifactList>, Problem> {
    caller.access(Scope::BuildsRead)?;
    let build = build(&service, &id).await?;
    if let Some(kept) = archived(&service, move |archive| archive.kept(&id)).await {
        return Ok(Json(ArtifactList {
            is_archived: true,
            artifacts: kept.artifacts,
            missing: kept.missing,
        }));
    }
    let (master, path) = place(&service, &build)?;
    let names = master.client.artifacts(&path).await?;
    let artifacts = names.into_iter().map(|path| KeptArtifact { path, bytes: None }).collect();
    Ok(Json(ArtifactList { is_archived: false, artifacts, missing: Vec::new() }))
}

/// An artefact that is archived. Others are at the master of the build.
pub async fn get_artifact(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path((id, number)): Path<(String, usize)>,
) -> Result<Response, Problem> {
    caller.access(Scope::BuildsRead)?;
    build(&service, &id).await?;
    let bytes = archived(&service, move |archive| archive.artifact(&id, number).ok()).await;
    let bytes = bytes.ok_or_else(|| Problem::missing("artefact in the archive"))?;
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    // A build may have written anything: nothing of it is a page of this service.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}
