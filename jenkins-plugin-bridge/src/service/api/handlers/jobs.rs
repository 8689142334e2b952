//! The operations on jobs.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};

use super::App;
use crate::catalog::read::problems_of_one;
use crate::jobs::{CopyState, JobSpec, inspect_copy, mend_copy, problems, remove_copy};
use crate::masters::Permission;
use crate::service::api::extract::{Authenticated, Input};
use crate::service::api::routed::{JobAnswer, KeepQuery, KeptCopy, TriggerAnswer};
use crate::service::audit::acts;
use crate::service::auth::Scope;
use crate::service::problem::Problem;
use crate::service::state::Service;
use crate::service::store::{CopyRow, JobRow};
use crate::triggers::upstream::{Graph, cycle};

pub async fn save_job(
    State(service): App,
    Authenticated(caller): Authenticated,
    input: Input<JobSpec>,
) -> Result<Json<JobAnswer>, Problem> {
    let spec = &input.value;
    acts("save a job", &spec.name);
    caller.access(Scope::JobsWrite)?;
    // What came as JSON was not checked by the schema yet.
    let mut wrong = problems_of_one("jobs", "jobs", spec);
    wrong.extend(problems(spec));
    let loaded = service.catalog.current();
    match loaded.catalog.pipelines.get(spec.pipeline.as_str()) {
        Some(pipeline) => wrong.extend(spec.problems_beside(&pipeline.value.parameters)),
        None => {
            let known = loaded.catalog.pipelines.keys().map(String::as_str);
            let hint = crate::text::nearest_hint(spec.pipeline.as_str(), known);
            let message = format!("the catalog has no pipeline `{}`{hint}", spec.pipeline);
            wrong.push(crate::error::Problem::new("pipeline", message));
        }
    }
    wrong.extend(elsewhere(&service, spec).await?);
    if !wrong.is_empty() {
        return Err(Problem::job(&wrong));
    }
    input.take_key(&service, &caller).await?;
    service.store.save_job(spec, service.now_ms()).await?;
    service.trigger_now.notify_one();
    one(&service, &spec.name).await
}

/// What is wrong with the triggers and statuses of a job beside what is in the job itself.
async fn elsewhere(
    service: &Service,
    spec: &JobSpec,
) -> Result<Vec<crate::error::Problem>, Problem> {
    let mut wrong = Vec::new();
    let mut add = |path: String, message: String| {
        wrong.push(crate::error::Problem::new(path, message));
    };
    for (index, one) in spec.triggers.events.iter().enumerate() {
        let path = format!("triggers.events.{index}.repository");
        match service.forges.of_repository(&one.repository) {
            Err(message) => add(path, message),
            Ok((forge, _)) if forge.secrets.is_empty() => {
                add(path, format!("its forge {} has no webhook_secret_files", forge.name));
            }
            Ok(_) => {}
        }
    }
    for (index, one) in spec.triggers.poll.iter().enumerate() {
        if let Err(message) = service.forges.of_repository(&one.repository) {
            add(format!("triggers.poll.{index}.repository"), message);
        }
    }
    if let Some(statuses) = &spec.statuses {
        let path = "statuses.repository".to_owned();
        match service.forges.of_repository(&statuses.repository) {
            Err(message) => add(path, message),
            Ok((forge, _)) if forge.token.is_none() => {
                add(path, format!("its forge {} has no token_file", forge.name));
            }
            Ok(_) => {}
        }
    }
    if spec.triggers.upstream.is_empty() {
        return Ok(wrong);
    }
    let jobs = service.store.jobs().await?;
    let mut graph: Graph = BTreeMap::new();
    let specs = jobs.iter().filter(|row| !row.is_removed).map(|row| &row.spec);
    for known in specs.filter(|known| known.name != spec.name).chain([spec]) {
        let before = known.triggers.upstream.iter().map(|one| one.job.clone());
        graph.insert(known.name.clone(), before.collect());
    }
    for (index, one) in spec.triggers.upstream.iter().enumerate() {
        let path = format!("triggers.upstream.{index}");
        let other = jobs.iter().map(|row| &row.spec).find(|other| other.name == one.job);
        match other.filter(|_| graph.contains_key(&one.job)) {
            Some(other) => {
                for (own, name) in &one.parameters {
                    if !other.parameters.contains_key(name) {
                        let known = other.parameters.keys().map(String::as_str);
                        let hint = crate::text::nearest_hint(name, known);
                        let message = format!("{} has no parameter `{name}`{hint}", one.job);
                        add(format!("{path}.parameters.{own}"), message);
                    }
                }
            }
            None => {
                let hint = crate::text::nearest_hint(&one.job, graph.keys().map(String::as_str));
                add(format!("{path}.job"), format!("there is no job `{}`{hint}", one.job));
            }
        }
    }
    if let Some(way) = cycle(&graph, &spec.name) {
        let message = format!("jobs would start each other without end: {}", way.join(" → "));
        add("triggers.upstream".to_owned(), message);
    }
    Ok(wrong)
}

async fn one(service: &Service, name: &str) -> Result<Json<JobAnswer>, Problem> {
    let row = service.store.job(name).await?.ok_or_else(|| Problem::missing("job"))?;
    let copies = service.store.copies().await?;
    let states = service.store.triggers(Some(name)).await?;
    let triggers = TriggerAnswer::all(&row.spec, &states);
    Ok(Json(JobAnswer { triggers, ..job_answer(row, &copies) }))
}

fn job_answer(row: JobRow, copies: &[CopyRow]) -> JobAnswer {
    let own = copies.iter().filter(|copy| copy.job == row.spec.name);
    JobAnswer {
        copies: own
            .map(|copy| {
                let (checked_ms, revision) = (copy.checked_ms, copy.revision);
                (copy.master.clone(), KeptCopy { state: copy.state.clone(), checked_ms, revision })
            })
            .collect(),
        job: row.spec,
        revision: row.revision,
        is_removed: row.is_removed,
        triggers: Vec::new(),
    }
}

pub async fn list_jobs(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Json<Vec<JobAnswer>>, Problem> {
    caller.access(Scope::JobsRead)?;
    let copies = service.store.copies().await?;
    let jobs = service.store.jobs().await?;
    Ok(Json(jobs.into_iter().map(|row| job_answer(row, &copies)).collect()))
}

pub async fn get_job(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(name): Path<String>,
) -> Result<Json<JobAnswer>, Problem> {
    caller.access(Scope::JobsRead)?;
    one(&service, &name).await
}

pub async fn remove_job(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(name): Path<String>,
    input: Input<KeepQuery>,
) -> Result<Json<BTreeMap<String, CopyState>>, Problem> {
    if !input.value.dry_run {
        acts("remove a job", &name);
    }
    caller.access(Scope::JobsWrite)?;
    let row = service.store.job(&name).await?.ok_or_else(|| Problem::missing("job"))?;
    if !input.value.dry_run {
        service.store.remove_job(&name, service.now_ms()).await?;
    }
    let mut all = BTreeMap::new();
    for master in matching(&service, &row.spec, &input.value) {
        let state = if input.value.dry_run {
            inspect_copy(&master.client, &row.spec).await
        } else {
            remove_copy(&master.client, &row.spec).await
        };
        all.insert(master.name.clone(), state);
    }
    Ok(Json(all))
}

/// Looks at the copies of a job; makes and mends them unless it is a dry run.
pub async fn keep_job(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(name): Path<String>,
    input: Input<KeepQuery>,
) -> Result<Json<BTreeMap<String, CopyState>>, Problem> {
    if !input.value.dry_run {
        acts("keep a job in step", &name);
    }
    caller.access(if input.value.dry_run { Scope::JobsRead } else { Scope::JobsWrite })?;
    let row = service.store.job(&name).await?.ok_or_else(|| Problem::missing("job"))?;
    let mut all = BTreeMap::new();
    for master in matching(&service, &row.spec, &input.value) {
        let state = if input.value.dry_run || master.spec.permission < Permission::Full {
            inspect_copy(&master.client, &row.spec).await
        } else {
            mend_copy(&master.client, &row.spec).await.1
        };
        let copy = CopyRow {
            job: name.clone(),
            master: master.name.clone(),
            state: state.clone(),
            revision: row.revision,
            checked_ms: service.now_ms(),
        };
        service.store.save_copy(&copy).await?;
        all.insert(master.name.clone(), state);
    }
    Ok(Json(all))
}

fn matching(
    service: &Service,
    spec: &JobSpec,
    query: &KeepQuery,
) -> Vec<std::sync::Arc<crate::masters::Master>> {
    let labels = spec.labels.iter().map(|label| label.0.clone()).collect();
    service
        .masters
        .all()
        .into_iter()
        .filter(|master| {
            std::collections::BTreeSet::is_subset(&labels, &master.labels())
                && (query.masters.is_empty() || query.masters.contains(&master.name))
        })
        .collect()
}
