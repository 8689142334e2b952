//! What builds left behind: from the archive, or from their master while it is not there.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::Response;
use futures_util::TryStreamExt as _;

use super::App;
use crate::archive::{Archive, ArchiveError, Kept, KeptArtifact, Reading};
use crate::masters::Master;
use crate::rest::{TestReport, build_path};
use crate::route::{Build, BuildState};
use crate::service::api::extract::Authenticated;
use crate::service::api::routed::{ArchiveState, ArtifactList};
use crate::service::auth::Scope;
use crate::service::problem::Problem;
use crate::service::state::Service;

/// What the archive has; a problem where it cannot be read. A build that has not ended is not asked for.
pub async fn archived<'a, T>(
    service: &'a Service,
    build: &Build,
    read: impl AsyncFnOnce(&'a Archive) -> Result<Option<T>, ArchiveError>,
) -> Result<Option<T>, Problem> {
    let Some(archive) = service.archive.as_deref() else { return Ok(None) };
    if build.state != BuildState::Finished {
        return Ok(None);
    }
    read(archive).await.map_err(|error| {
        tracing::warn!(build = build.id, %error, "the archive cannot be read");
        Problem::unavailable(format!("the archive cannot be read: {error}"))
    })
}

/// What a master says in place of an archive that cannot be read. Where it says nothing either, it is the archive
/// that is missed.
pub fn instead<T>(unread: Option<Problem>, answer: Result<T, Problem>) -> Result<T, Problem> {
    answer.map_err(|problem| unread.unwrap_or(problem))
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
    let read = async |archive: &Archive| match archive.kept(&id).await? {
        Some(_) => archive.tests(&id).await.map(Some),
        None => Ok(None),
    };
    let unread = match archived(&service, &build, read).await {
        Ok(Some(tests)) => return tests.map(Json).ok_or_else(|| Problem::missing("test report")),
        Ok(None) => None,
        Err(problem) => Some(problem),
    };
    let answer = async {
        let (master, path) = place(&service, &build)?;
        let tests = master.client.test_report(&path).await?;
        tests.map(Json).ok_or_else(|| Problem::missing("test report"))
    };
    instead(unread, answer.await)
}

pub async fn get_artifacts(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<ArtifactList>, Problem> {
    caller.access(Scope::BuildsRead)?;
    let build = build(&service, &id).await?;
    let archive = service.store.archive(&id).await?.map(ArchiveState::from);
    let read = async |archive: &Archive| archive.kept(&id).await;
    let unread = match archived(&service, &build, read).await {
        Ok(Some(Kept { artifacts, missing, .. })) => {
            return Ok(Json(ArtifactList { is_archived: true, artifacts, missing, archive }));
        }
        Ok(None) => None,
        Err(problem) => Some(problem),
    };
    let answer = async {
        let (master, path) = place(&service, &build)?;
        let names = master.client.artifacts(&path).await?;
        let artifacts =
            names.into_iter().map(|path| KeptArtifact { path, ..KeptArtifact::default() });
        let artifacts = artifacts.collect();
        Ok(Json(ArtifactList { is_archived: false, artifacts, missing: Vec::new(), archive }))
    };
    instead(unread, answer.await)
}

/// An artefact that is archived. Others are at the master of the build.
pub async fn get_artifact(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path((id, number)): Path<(String, usize)>,
) -> Result<Response, Problem> {
    caller.access(Scope::BuildsRead)?;
    let build = build(&service, &id).await?;
    let read = async |archive: &Archive| archive.artifact(&id, number).await;
    let read = archived(&service, &build, read).await?;
    let Reading { size, pieces } =
        read.ok_or_else(|| Problem::missing("artefact in the archive"))?;
    let pieces = pieces.inspect_err(move |error| {
        tracing::warn!(build = id, number, %error, "an artefact cannot be read to its end");
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    // A build may have written anything: nothing of it is a page of this service.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}
