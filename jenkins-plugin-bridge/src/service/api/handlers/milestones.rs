//! Milestones: what a build passes stops the older builds of its job that have not.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::App;
use super::leases::{plan_of, stage_of};
use super::routed::stop;
use crate::rest::{JobName, Outcome};
use crate::service::api::extract::{Authenticated, Input};
use crate::service::api::leases::{MilestoneAnswer, StageQuery};
use crate::service::problem::Problem;
use crate::service::state::Service;
use crate::service::store::{AtMilestone, BuildRow};

pub async fn pass_milestone(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    input: Input<StageQuery>,
) -> Result<Json<MilestoneAnswer>, Problem> {
    let plan = plan_of(&service, &caller, &id).await?;
    let stage = stage_of(&plan, &input.value.stage)?;
    if !stage.milestone {
        return Err(Problem::malformed(format!("the stage `{}` is no milestone", stage.id)));
    }
    let row = service.store.build(&id).await?.ok_or_else(|| Problem::missing("build"))?;
    let routed = service.store.routed_run(&row.controller, &row.job, row.number).await?;
    let (job, rank) = match &routed {
        Some(run) => (format!("bridge {}", row.job), run.number),
        // Numbers begin anew where a job was made anew.
        None => (format!("controller {} {}", row.controller, row.job), row.started_ms),
    };
    let at = AtMilestone { job, milestone: stage.name.clone(), rank, build: id };
    let newer = service.store.pass_milestone(&at, service.now_ms()).await?;
    if let Some(newer) = newer {
        let number = match &routed {
            Some(_) => newer.rank,
            None => newer.number,
        };
        return Ok(Json(MilestoneAnswer {
            milestone: at.milestone.clone(),
            passed: false,
            reason: format!(
                "superseded: build {number} of {} has passed the milestone {} already",
                row.job, at.milestone
            ),
        }));
    }
    // The answer does not wait for the controllers of others. What is missed here ends at its own milestone.
    let is_routed = routed.is_some();
    tokio::spawn(async move {
        if let Err(problem) = stop_older(&service, &at, &row, is_routed).await {
            tracing::warn!(job = row.job, %problem, "older builds could not be stopped");
        }
    });
    Ok(Json(MilestoneAnswer { milestone: stage.name.clone(), passed: true, reason: String::new() }))
}

/// Stops the builds of a job that are older than one at a milestone and have not passed it.
async fn stop_older(
    service: &Arc<Service>,
    at: &AtMilestone,
    row: &BuildRow,
    is_routed: bool,
) -> Result<(), Problem> {
    let passed: BTreeSet<i64> = service.store.passed_before(at).await?.into_iter().collect();
    if is_routed {
        let live = service.store.live_routed().await?;
        let older = live.iter().filter(|one| {
            one.job == row.job && one.number < at.rank && !passed.contains(&one.number)
        });
        for build in older {
            let reason =
                format!("superseded at the milestone {} by build {}", at.milestone, at.rank);
            if let Err(problem) = stop(service, &build.id, &reason).await {
                tracing::warn!(build = build.id, %problem, "an older build could not be stopped");
            }
        }
        return Ok(());
    }
    let Some(client) = service.controller(&row.controller) else { return Ok(()) };
    let Ok(job) = JobName::parse(&row.job) else { return Ok(()) };
    let older = service.store.older_builds(&row.controller, &row.job, row.started_ms).await?;
    for (number, _) in older.iter().filter(|(_, started)| !passed.contains(started)) {
        let path = format!("{}{number}/", job.path());
        if client.outcome(&path).await? == Outcome::Runs {
            client.stop(&path).await?;
        }
    }
    Ok(())
}
