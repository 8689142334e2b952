//! What a build that has ended left behind, on its page: test results and artefacts.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use minijinja::context;
use minijinja::value::Value;
use serde::Serialize;

use super::render::{encode, link, refused, value};
use super::visitor::Visitor;
use crate::rest::{TestReport, is_failed};
use crate::service::api::handlers;
use crate::service::api::routed::{ArtifactList, RoutedBuild};
use crate::service::problem::Problem;
use crate::service::state::Service;

/// The longest that a page waits for it where its master has it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Cases that failed, and artefacts, that a page lists.
const LISTED: usize = 100;
/// Characters of what went wrong in a case.
const DETAILS: usize = 2_000;

/// A case that failed.
#[derive(Serialize)]
struct Failure {
    name: String,
    details: String,
}

/// An artefact with where it is.
#[derive(Serialize)]
struct Line {
    path: String,
    /// What a browser saves it as.
    name: String,
    bytes: Option<u64>,
    address: String,
}

/// Both, as far as that is told at once. What there is none of is not told; what cannot be read is, with the reason.
pub async fn left(service: &Arc<Service>, visitor: &Visitor, build: &RoutedBuild) -> Value {
    let app = || State(Arc::clone(service));
    let id = || Path(build.id.clone());
    let who = || visitor.authenticated();
    let tests = tokio::time::timeout(PATIENCE, handlers::get_tests(app(), who(), id()));
    let artifacts = tokio::time::timeout(PATIENCE, handlers::get_artifacts(app(), who(), id()));
    let (tests, artifacts) = tokio::join!(tests, artifacts);
    let late = || Problem::unavailable("its master has not answered yet; load this page again");
    let (tests, no_tests) = split(tests.unwrap_or_else(|_| Err(late())).map(|one| one.0));
    let (artifacts, no_artifacts) =
        split(artifacts.unwrap_or_else(|_| Err(late())).map(|one| one.0));
    context! {
        tests => tests.map(|report| value(&told(report))), no_tests => no_tests,
        artifacts => artifacts.map(|list| listed(build, list)), no_artifacts => no_artifacts,
    }
}

/// What there is, and why it cannot be read. Where there is none of it, there is no reason either.
fn split<T>(answer: Result<T, Problem>) -> (Option<T>, Option<String>) {
    match answer {
        Ok(found) => (Some(found), None),
        Err(problem) if problem.status == 404 => (None, None),
        Err(problem) => (None, Some(problem.detail)),
    }
}

fn told(report: TestReport) -> impl Serialize {
    let cases = report.suites.into_iter().flat_map(|suite| suite.cases);
    let failed = cases.filter(|case| is_failed(&case.status)).map(|case| {
        let details = case.error_details.unwrap_or_default();
        Failure {
            name: format!("{} {}", case.class_name, case.name),
            details: details.chars().take(DETAILS).collect(),
        }
    });
    #[derive(Serialize)]
    struct Tests {
        passed: u64,
        failed: u64,
        skipped: u64,
        failures: Vec<Failure>,
    }
    Tests {
        passed: report.pass_count,
        failed: report.fail_count,
        skipped: report.skip_count,
        failures: failed.take(LISTED).collect(),
    }
}

fn listed(build: &RoutedBuild, list: ArtifactList) -> Value {
    let at_master = link(build.url.as_deref().unwrap_or_default());
    let lines: Vec<Line> = list
        .artifacts
        .iter()
        .enumerate()
        .take(LISTED)
        .map(|(number, one)| {
            let parts: Vec<String> = one.path.split('/').map(encode).collect();
            let address = match one.bytes {
                Some(_) => format!("/builds/{}/artifacts/{number}", encode(&build.id)),
                None if at_master.is_empty() => String::new(),
                None => format!("{at_master}artifact/{}", parts.join("/")),
            };
            let name = one.path.rsplit('/').next().unwrap_or_default().to_owned();
            Line { path: one.path.clone(), name, bytes: one.bytes, address }
        })
        .collect();
    context! {
        lines => value(&lines), more => list.artifacts.len() - lines.len(),
        is_archived => list.is_archived, missing => list.missing, archive => value(&list.archive),
    }
}

/// An artefact that is archived, for whoever is logged in.
pub async fn artifact(
    State(service): State<Arc<Service>>,
    visitor: Visitor,
    Path(place): Path<(String, usize)>,
) -> Result<Response, Response> {
    let read = handlers::get_artifact(State(service), visitor.authenticated(), Path(place)).await;
    read.map_err(|problem| refused(Some(&visitor), &problem))
}
