//! The page of one build: of the bridge, or one that a controller started by itself.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use minijinja::context;
use minijinja::value::Value;
use serde::Serialize;

use super::left;
use super::log::{self, Piece};
use super::render::{page as rendered, refused, value};
use super::timeline::{self, Bar};
use super::visitor::Visitor;
use crate::plan::tree::{Detail, tree};
use crate::route::BuildState;
use crate::service::api::handlers;
use crate::service::api::routed::{AnyBuild, LogQuery, RoutedBuild};
use crate::service::api::types::Build;
use crate::service::auth::Scope;
use crate::service::problem::Problem;
use crate::service::state::Service;

/// The longest that a page waits for the log: the rest comes by itself.
const LOG_PATIENCE: Duration = Duration::from_secs(2);
/// The most bytes of the log in the page itself; its end where it is longer.
const LOG_BYTES: usize = 512 << 10;

/// The page of a build that has ended goes on being read anew for so long, in milliseconds: what its run reported last,
/// and what it left behind, may come after the end.
const SETTLES_MS: i64 = 30_000;

/// A time that a build was given to a master, with its place in the picture.
#[derive(Debug, Serialize)]
struct Attempt {
    #[serde(flatten)]
    attempt: crate::route::Attempt,
    bar: Bar,
}

pub async fn page(
    State(service): State<Arc<Service>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let stop = |problem: Problem| refused(Some(&visitor), &problem);
    match any(&service, &visitor, id).await.map_err(stop)? {
        AnyBuild::Routed(build) => routed(&service, &visitor, *build).await.map_err(stop),
        AnyBuild::Planned(build) => {
            let run = run(&service, &visitor, Some(*build)).await.map_err(stop)?;
            let title = context! { title => "Build", run => run };
            Ok(rendered("build.html", Some(&visitor), title))
        }
    }
}

async fn any(service: &Arc<Service>, visitor: &Visitor, id: String) -> Result<AnyBuild, Problem> {
    let found =
        handlers::get_build(State(Arc::clone(service)), visitor.authenticated(), Path(id)).await?;
    Ok(found.0)
}

async fn routed(
    service: &Arc<Service>,
    visitor: &Visitor,
    build: RoutedBuild,
) -> Result<Response, Problem> {
    let now = service.now_ms();
    let spans: Vec<_> = build.attempts.iter().map(|one| (one.created_ms, one.ended_ms)).collect();
    let until = build.finished_ms.unwrap_or(now);
    let attempts: Vec<Attempt> = build
        .attempts
        .iter()
        .zip(timeline::spans(&spans, until))
        .map(|(attempt, bar)| Attempt { attempt: attempt.clone(), bar })
        .collect();
    let log = log_of(service, visitor, &build.id).await;
    let id = match (&build.master, &build.url) {
        (Some(master), Some(url)) => handlers::planned(service, master, url, &build.job).await?,
        _ => None,
    };
    let run = match id {
        Some(id) => match any(service, visitor, id).await? {
            AnyBuild::Planned(own) => run(service, visitor, Some(*own)).await?,
            AnyBuild::Routed(_) => None,
        },
        None => None,
    };
    let is_over = build.state == BuildState::Finished;
    let is_settled = build.finished_ms.is_some_and(|at| now - at > SETTLES_MS);
    let left = match is_over {
        true => Some(left::left(service, visitor, &build).await),
        false => None,
    };
    let took = build.started_ms.map(|from| build.finished_ms.unwrap_or(now).saturating_sub(from));
    let waited = build.started_ms.or(build.finished_ms).unwrap_or(now) - build.created_ms;
    let own = context! {
        title => format!("{} #{}", build.job, build.number),
        build => value(&build),
        attempts => value(&attempts),
        is_over => is_over,
        is_settled => is_settled,
        left => left,
        took => took,
        waited => waited,
        run => run,
        log => log.map(|piece| context! {
            text => piece.text, next => piece.next, attempt => piece.attempt, more => piece.more,
        }),
    };
    Ok(rendered("build.html", Some(visitor), own))
}

/// The log as far as it comes at once.
async fn log_of(service: &Arc<Service>, visitor: &Visitor, id: &str) -> Option<Piece> {
    let asked = log::piece(service, visitor, id, LogQuery::default());
    let mut piece = tokio::time::timeout(LOG_PATIENCE, asked).await.ok()?.ok()?;
    if piece.text.len() > LOG_BYTES {
        let from = piece.text.ceil_char_boundary(piece.text.len() - LOG_BYTES);
        piece.text = format!("… {from} bytes before\n{}", &piece.text[from..]);
    }
    Some(piece)
}

/// What a run reported, with the plan that it had.
async fn run(
    service: &Arc<Service>,
    visitor: &Visitor,
    build: Option<Build>,
) -> Result<Option<Value>, Problem> {
    let Some(build) = build else { return Ok(None) };
    let may_see = visitor.can(Scope::PlansRead);
    let plan = if may_see { service.plan(&build.digest).await? } else { None };
    let now = service.now_ms();
    let timeline =
        plan.as_ref().map(|plan| timeline::stages(&plan.plan, &build.events, &build.locks, now));
    let phases = build.pod.as_ref().map(|pod| timeline::phases(&pod.phases));
    let explained = plan.as_ref().map(|plan| tree(&plan.plan, Detail::Explain));
    Ok(Some(context! {
        build => value(&build),
        created_ms => build.created_at.saturating_mul(1000),
        timeline => value(&timeline),
        phases => value(&phases),
        plan => explained,
    }))
}
