//! What follows from changes of builds: builds of other jobs, and what others are told.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::duty::{Ordered, PATIENCE_MS, order};
use super::model::UpstreamTrigger;
use crate::jobs::JobSpec;
use crate::report::{StageState, messages, stages};
use crate::rest::build_path;
use crate::route::{Build, BuildState};
use crate::service::Service;
use crate::service::store::{StoreError, TriggerRow};

/// Builds that are looked at in one round.
const BUILDS: i64 = 200;
/// Messages that wait for one target; more of them are not kept.
const OUTBOX: i64 = 20_000;

/// A trigger of a job by the end of another one's build.
pub struct KnownUpstream {
    /// The job that it starts.
    pub job: String,
    /// The trigger.
    pub id: String,
    /// What it says.
    pub trigger: UpstreamTrigger,
}

/// What is known of jobs that follow others, or tell of themselves.
#[derive(Default)]
pub struct Followers {
    /// By the job that starts them.
    pub upstream: HashMap<String, Vec<KnownUpstream>>,
    /// Jobs whose builds have statuses.
    pub reporting: HashMap<String, JobSpec>,
}

impl Followers {
    /// Looks at the builds that have changed. Gives what is known of triggers by that.
    pub async fn round(
        &self,
        service: &Service,
        mut state: impl FnMut(&str, &str) -> TriggerRow,
    ) -> Result<Vec<TriggerRow>, StoreError> {
        let builds = service.store.unannounced(BUILDS).await?;
        let mut changed = Vec::new();
        if builds.is_empty() {
            return Ok(changed);
        }
        let depths = service.store.outbox_depths().await?;
        let full: HashSet<String> =
            depths.into_iter().filter(|one| one.1 >= OUTBOX).map(|one| one.0).collect();
        for (build, seen) in builds {
            let now = service.now_ms();
            if build.state == BuildState::Finished {
                match self.start_next(service, &build, &mut state).await {
                    Some(rows) => {
                        for row in &rows {
                            service.store.save_trigger(row).await?;
                        }
                        changed.extend(rows);
                    }
                    // Something is not there now; it is looked at again.
                    None => continue,
                }
                if service.archive.is_some() && build.url.is_some() {
                    service.store.add_archive(&build.id, now).await?;
                }
            }
            let job = self.reporting.get(&build.job);
            let wanted = job.and_then(|job| job.statuses.as_ref()).is_some_and(|one| one.stages);
            let stages = if wanted { stages_of(service, &build).await? } else { Vec::new() };
            let mut messages = messages(&service.forges, &build, job, &stages);
            messages.retain(|one| {
                let fits = !full.contains(&one.target);
                if !fits {
                    tracing::warn!(target = one.target, "too many reports wait; one is not kept");
                }
                fits
            });
            service.store.announce(&build, seen, &messages, now).await?;
        }
        Ok(changed)
    }

    /// Starts the builds that follow one that has ended. Nothing where that must be tried again.
    async fn start_next(
        &self,
        service: &Service,
        build: &Build,
        state: &mut impl FnMut(&str, &str) -> TriggerRow,
    ) -> Option<Vec<TriggerRow>> {
        let mut rows = Vec::new();
        let result = build.result.as_deref().unwrap_or_default();
        for known in self.upstream.get(&build.job).map_or(&[][..], Vec::as_slice) {
            let mut row = state(&known.job, &known.id);
            let what = format!("build {} of {}", build.number, build.job);
            if !known.trigger.result.takes(result) {
                row.note = format!("{what} ended as {result}");
                rows.push(row);
                continue;
            }
            let value = |(own, theirs): (&String, &String)| {
                Some((own.clone(), build.request.parameters.get(theirs)?.clone()))
            };
            let values: BTreeMap<String, String> =
                known.trigger.parameters.iter().filter_map(value).collect();
            let key = format!("{} {}", build.id, known.job);
            match order(service, &known.job, values, ("upstream", key, what.clone())).await {
                Ordered::Build(id) => {
                    (row.fired_ms, row.build) = (Some(service.now_ms()), Some(id));
                    row.note.clear();
                }
                Ordered::Later(why) if service.now_ms() - build.changed_ms < PATIENCE_MS => {
                    tracing::warn!(job = known.job, why, "what follows a build waits");
                    return None;
                }
                Ordered::Refused(why) | Ordered::Later(why) => row.note = format!("{what}: {why}"),
            }
            rows.push(row);
        }
        Some(rows)
    }
}

/// How the stages of a build are that has been given its plan.
async fn stages_of(service: &Service, build: &Build) -> Result<Vec<StageState>, StoreError> {
    let path = build.url.as_deref().and_then(build_path).unwrap_or_default();
    let number = path.trim_end_matches('/').rsplit('/').next().and_then(|one| one.parse().ok());
    let (Some(number), Some(master)) = (number, &build.master) else { return Ok(Vec::new()) };
    match service.store.planned_run(master, &build.job, number).await? {
        Some(id) => Ok(stages(&service.store.events(&id).await?)),
        None => Ok(Vec::new()),
    }
}
