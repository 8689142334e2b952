//! Pages of lists: masters and the queue, builds, jobs, images, sizes, who did what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use minijinja::context;
use minijinja::value::Value;
use serde::Serialize;

use super::render::{page, refused, value};
use super::visitor::Visitor;
use crate::cluster::start::PodStart;
use crate::route::{Build, BuildState};
use crate::service::api::handlers::{self, AUDIT_ROWS, AuditQuery};
use crate::service::api::routed::{ListQuery, RoutedBuild};
use crate::service::auth::Scope;
use crate::service::problem::Problem;
use crate::service::running::RunningQuery;
use crate::service::state::Service;

/// Builds that wait, or run, that the first page lists of each kind.
const LISTED: usize = 50;
/// Builds of one page of their list.
const BUILDS: u32 = 50;
/// Starts of pods that the figures of images are made of.
const STARTS: i64 = 1000;

type App = State<Arc<Service>>;
type Page = Result<Response, Response>;

/// A build with how long it has been where it is.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    build: RoutedBuild,
    since_ms: i64,
}

fn line(build: Build, now: i64) -> Line {
    let since = match build.state {
        BuildState::Running => build.started_ms.unwrap_or(build.created_ms),
        _ => build.created_ms,
    };
    let until = build.finished_ms.unwrap_or(now);
    Line { since_ms: until.saturating_sub(since), build: RoutedBuild::of(build, Vec::new()) }
}

pub async fn overview(State(service): App, visitor: Visitor) -> Page {
    let stop = |problem: Problem| refused(Some(&visitor), &problem);
    let app = || State(Arc::clone(&service));
    let masters = handlers::get_masters(app(), visitor.authenticated()).await.map_err(stop)?.0;
    let labels = handlers::get_labels(app(), visitor.authenticated()).await.map_err(stop)?.0;
    let limits = handlers::get_limits(app(), visitor.authenticated()).await.map_err(stop)?.0;
    let (mut running, mut waiting, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    let mut used: BTreeMap<String, u32> = BTreeMap::new();
    if visitor.can(Scope::BuildsRead) {
        let now = service.now_ms();
        let all = service.store.live_routed().await.map_err(|error| stop(error.into()))?;
        for build in all {
            if let Some(master) = &build.master {
                *used.entry(master.clone()).or_default() += 1;
            }
            let list = match build.state {
                BuildState::Running => &mut running,
                BuildState::Unknown => &mut unknown,
                _ => &mut waiting,
            };
            list.push(line(build, now));
        }
        let at_work = running.iter_mut().map(|line| &mut line.build).collect();
        let waits = handlers::say_what_they_wait_for(&service, at_work).await;
        waits.map_err(|error| stop(error.into()))?;
    }
    let drifted = service.store.drifted_copies().await.map_err(|error| stop(error.into()))?;
    let counts = context! {
        drifted => drifted,
        running => running.len(),
        waiting => waiting.len(),
        unknown => unknown.len(),
        masters => masters.len(),
        ready => masters.iter().filter(|one| one.refusal.is_none()).count(),
        alerts => labels.iter().filter(|one| one.alert.is_some()).count(),
    };
    for list in [&mut running, &mut waiting, &mut unknown] {
        list.truncate(LISTED);
    }
    let own = context! {
        title => "Overview", tab => "overview", counts => counts, listed => LISTED,
        masters => value(&masters), labels => value(&labels), used => value(&used),
        limits => value(&limits),
        running => value(&running), waiting => value(&waiting), unknown => value(&unknown),
    };
    Ok(page("overview.html", Some(&visitor), own))
}

pub async fn builds(State(service): App, visitor: Visitor, Query(query): Query<ListQuery>) -> Page {
    let stop = |problem: Problem| refused(Some(&visitor), &problem);
    let query = ListQuery { limit: Some(query.limit.unwrap_or(BUILDS).clamp(1, 500)), ..query };
    let asked = Query(query.clone());
    let listed = handlers::list_builds(State(Arc::clone(&service)), visitor.authenticated(), asked);
    let builds = listed.await.map_err(stop)?.0;
    let own = query.before_ms.is_none()
        && query.result.is_none()
        && query.label.is_none()
        && matches!(query.state.as_deref(), None | Some("live" | "running"));
    let elsewhere = if own {
        let asked = RunningQuery { job: query.job.clone(), master: query.master.clone() };
        let app = State(Arc::clone(&service));
        let read = handlers::get_running(app, visitor.authenticated(), Query(asked)).await;
        Some(value(&read.map_err(stop)?.0))
    } else {
        None
    };
    let older = builds.last().filter(|_| u32::try_from(builds.len()).ok() == query.limit);
    let older = older.map(|last| context! { ms => last.created_ms, id => last.id.clone() });
    let masters: Vec<String> = service.masters.all().iter().map(|one| one.name.clone()).collect();
    let labels: BTreeSet<String> =
        service.masters.all().iter().flat_map(|master| master.labels()).collect();
    let own = context! {
        title => "Builds", tab => "builds", builds => value(&builds), query => value(&query),
        older => older, elsewhere => elsewhere, masters => masters, labels => value(&labels), now => service.now_ms(),
        states => ["waiting", "triggering", "queued", "running", "unknown", "finished"],
    };
    Ok(page("builds.html", Some(&visitor), own))
}

pub async fn jobs(State(service): App, visitor: Visitor) -> Page {
    let stop = |problem: Problem| refused(Some(&visitor), &problem);
    let listed = handlers::list_jobs(State(service), visitor.authenticated()).await;
    let jobs = listed.map_err(stop)?.0;
    let jobs: Vec<_> = jobs.into_iter().filter(|one| !one.is_removed).collect();
    let own = context! { title => "Jobs", tab => "jobs", jobs => value(&jobs) };
    Ok(page("jobs.html", Some(&visitor), own))
}

/// An image with the pipelines that need it and what pods said of it.
#[derive(Default, Serialize)]
struct ImageLine {
    pipelines: Vec<String>,
    present: u64,
    pulled: u64,
    used_ms: Option<i64>,
    median_pull_ms: Option<u64>,
    saved_ms: Option<u64>,
}

pub async fn images(State(service): App, visitor: Visitor) -> Page {
    let stop = |problem: Problem| refused(Some(&visitor), &problem);
    visitor.authenticated().0.access(Scope::BuildsRead).map(drop).map_err(stop)?;
    let loaded = service.catalog.current();
    let recent = Some((&service.store, service.now_signed()));
    let agent = service.clusters.agent_of("");
    let images = crate::service::images::images(&loaded.catalog, recent, &agent).await;
    let images = images.map_err(|error| stop(error.into()))?;
    let uses = service.store.image_uses().await.map_err(|error| stop(error.into()))?;
    let mut lines: BTreeMap<String, ImageLine> = BTreeMap::new();
    for (pipeline, own) in images {
        for image in own {
            lines.entry(image).or_default().pipelines.push(pipeline.clone());
        }
    }
    let (mut present, mut pulled, mut saved) = (0, 0, 0);
    for (image, one) in uses {
        (present, pulled) = (present + one.present, pulled + one.pulled);
        saved += one.saved_ms().unwrap_or(0);
        let line = lines.entry(image).or_default();
        (line.present, line.pulled) = (one.present, one.pulled);
        line.used_ms = Some(one.used_at.saturating_mul(1000));
        (line.median_pull_ms, line.saved_ms) = (one.median_pull_ms, one.saved_ms());
    }
    let seen = present + pulled;
    let own = context! {
        title => "Images", tab => "images", images => value(&lines), seen => seen,
        percent => (present * 100).checked_div(seen), saved => saved,
        starts => starts(&service).await.map_err(stop)?, days => crate::service::images::DAYS,
    };
    Ok(page("images.html", Some(&visitor), own))
}

/// How the last pods started.
async fn starts(service: &Service) -> Result<Value, Problem> {
    let starts: Vec<PodStart> = service
        .store
        .recent_starts(STARTS)
        .await?
        .iter()
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect();
    let mut connected: Vec<u64> = starts.iter().filter_map(|one| one.phases.connected_ms).collect();
    connected.sort_unstable();
    let part = |percent: usize| {
        let at = connected.len() * percent / 100;
        connected.get(at.min(connected.len().saturating_sub(1))).copied()
    };
    let mut failures: BTreeMap<&str, u32> = BTreeMap::new();
    for failure in starts.iter().filter_map(|one| one.failure.as_ref()) {
        *failures.entry(failure.reason.as_str()).or_default() += 1;
    }
    Ok(context! {
        pods => starts.len(), p50 => part(50), p95 => part(95), failures => value(&failures),
    })
}

pub async fn sizing(State(service): App, visitor: Visitor) -> Page {
    let stop = |problem: Problem| refused(Some(&visitor), &problem);
    let rows = handlers::get_sizing(State(service), visitor.authenticated()).await.map_err(stop)?.0;
    let own = context! { title => "Sizing", tab => "sizing", rows => value(&rows) };
    Ok(page("sizing.html", Some(&visitor), own))
}

pub async fn audit(State(service): App, visitor: Visitor, Query(query): Query<AuditQuery>) -> Page {
    let stop = |problem: Problem| refused(Some(&visitor), &problem);
    let limit = query.limit.unwrap_or(100).clamp(1, AUDIT_ROWS);
    let query = AuditQuery { limit: Some(limit), ..query };
    let asked = Query(query.clone());
    let rows = handlers::get_audit(State(service), visitor.authenticated(), asked).await;
    let rows = rows.map_err(stop)?.0;
    let older = rows.last().filter(|_| i64::try_from(rows.len()).ok() == Some(limit));
    let older = older.map(|last| context! { ms => last.at_ms, id => last.id.clone() });
    let own = context! {
        title => "Audit", tab => "audit", rows => value(&rows), who => query.who, older => older,
    };
    Ok(page("audit.html", Some(&visitor), own))
}
