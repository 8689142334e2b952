//! The page of one job: what starts its builds, what holds them up, its copies on masters, its last builds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use minijinja::context;
use serde::Serialize;

use super::render::{page as render, refused, value};
use super::visitor::Visitor;
use crate::masters::ENOUGH;
use crate::service::api::handlers;
use crate::service::api::routed::{ListQuery, RoutedBuild};
use crate::service::auth::Scope;
use crate::service::problem::Problem;
use crate::service::state::Service;

/// Builds that are listed.
const BUILDS: u32 = 10;

/// The masters that have all labels of a job.
#[derive(Default, Serialize)]
struct Matching {
    ready: Vec<String>,
    not_ready: BTreeMap<String, String>,
    /// Fewer than two are ready.
    is_few: bool,
}

/// What the builds of a job, and of others with the same locks, do now.
#[derive(Default, Serialize)]
struct Now {
    running: usize,
    waiting: usize,
    /// Who holds a lock of the job.
    locks: BTreeMap<String, RoutedBuild>,
}

pub async fn page(
    State(service): State<Arc<Service>>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Response> {
    let stop = |problem: Problem| refused(Some(&visitor), &problem);
    let app = || State(Arc::clone(&service));
    let found = handlers::get_job(app(), visitor.authenticated(), Path(name.clone())).await;
    let job = found.map_err(stop)?.0;
    let mut builds = Vec::new();
    let mut live = None;
    if visitor.can(Scope::BuildsRead) {
        let locks = job.job.locks.iter().map(ToString::to_string).collect();
        live = Some(now(&service, &name, &locks).await.map_err(stop)?);
        let query = ListQuery { job: Some(name), limit: Some(BUILDS), ..ListQuery::default() };
        let listed = handlers::list_builds(app(), visitor.authenticated(), Query(query)).await;
        builds = listed.map_err(stop)?.0;
    }
    let labels = job.job.labels.iter().map(|label| label.0.clone()).collect();
    let own = context! {
        title => job.job.name.clone(), tab => "jobs", job => value(&job), builds => value(&builds),
        now => service.now_ms(), live => live.as_ref().map(value),
        matching => value(&matching(&service, &labels)),
    };
    Ok(render("job.html", Some(&visitor), own))
}

fn matching(service: &Service, labels: &BTreeSet<String>) -> Matching {
    let now = service.now_signed();
    let mut found = Matching::default();
    for master in service.masters.all().iter().filter(|one| labels.is_subset(&one.labels())) {
        match master.refusal(now) {
            None => found.ready.push(master.name.clone()),
            Some(refusal) => drop(found.not_ready.insert(master.name.clone(), refusal)),
        }
    }
    found.is_few = found.ready.len() < ENOUGH;
    found
}

async fn now(service: &Service, job: &str, locks: &BTreeSet<String>) -> Result<Now, Problem> {
    let mut now = Now::default();
    for build in service.store.live_routed().await? {
        let is_placed = build.state.is_placed();
        if build.job == job {
            *if is_placed { &mut now.running } else { &mut now.waiting } += 1;
        }
        let held = build.request.locks.intersection(locks).filter(|_| is_placed);
        let held: Vec<String> = held.cloned().collect();
        if !held.is_empty() {
            let shown = RoutedBuild::of(build, Vec::new());
            now.locks.extend(held.into_iter().map(|lock| (lock, shown.clone())));
        }
    }
    Ok(now)
}
