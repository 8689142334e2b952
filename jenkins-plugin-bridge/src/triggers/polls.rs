//! Looks at repositories when their schedules say so, and starts builds for what is new.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};

use super::cron::Schedule;
use super::duty::{Ordered, order};
use super::event::{Event, EventKind};
use super::matching::{Globs, globs, parameters};
use super::model::{PollTrigger, Trigger};
use super::poll::{Branches, look, news};
use crate::forges::{Forge, folded};
use crate::service::Service;
use crate::service::store::{StoreError, TriggerRow};

/// Repositories that are looked at at the same time.
const LOOKS: usize = 4;
/// The most branches that a trigger follows.
const BRANCHES: usize = 1_000;

struct KnownPoll {
    trigger: PollTrigger,
    schedule: Schedule,
    branches: Globs,
    state: TriggerRow,
}

/// The repositories that are looked at. It is made anew when a job changes.
#[derive(Default)]
pub struct Polls {
    stamp: Option<(i64, i64)>,
    all: Vec<KnownPoll>,
}

impl Polls {
    /// One round: what is due is looked at.
    pub async fn round(&mut self, service: &Arc<Service>) -> Result<(), StoreError> {
        self.refresh(service).await?;
        let now = service.now_ms();
        let mut due: HashMap<String, (Arc<Forge>, String)> = HashMap::new();
        let mut waiting = Vec::new();
        for (index, known) in self.all.iter_mut().enumerate() {
            match known.state.next_ms {
                Some(next) if next > now => continue,
                Some(_) => {}
                // A new trigger begins with its next time.
                None => {
                    known.state.next_ms = known.next(now);
                    service.store.save_trigger(&known.state).await?;
                    continue;
                }
            }
            match service.forges.of_repository(&known.trigger.repository) {
                Ok((forge, path)) => {
                    let key = folded(&known.trigger.repository);
                    due.insert(key, (Arc::clone(forge), path));
                    waiting.push(index);
                }
                Err(why) => known.end(service, why).await?,
            }
        }
        // However many jobs are built from a repository, it is looked at once.
        let looks = due.into_iter().map(|(key, (forge, path))| async move {
            let found = look(&forge, &path).await;
            (key, (path, found))
        });
        let found: HashMap<String, (String, Result<Branches, String>)> =
            stream::iter(looks).buffer_unordered(LOOKS).collect().await;
        for index in waiting {
            let known = &mut self.all[index];
            match found.get(&folded(&known.trigger.repository)) {
                Some((path, Ok(branches))) => known.take(service, path, branches).await?,
                Some((_, Err(why))) => known.end(service, why.clone()).await?,
                None => {}
            }
        }
        Ok(())
    }

    async fn refresh(&mut self, service: &Service) -> Result<(), StoreError> {
        let stamp = service.store.jobs_stamp().await?;
        if self.stamp == Some(stamp) {
            return Ok(());
        }
        let states = service.store.triggers(None).await?;
        let jobs = service.store.jobs().await?;
        self.all.clear();
        for spec in jobs.iter().filter(|row| !row.is_removed).map(|row| &row.spec) {
            for trigger in &spec.triggers.poll {
                let id = Trigger::Poll(trigger).id();
                let schedule = Schedule::parse(&trigger.schedule, &trigger.time_zone, &spec.name);
                let (Ok(schedule), Ok(branches)) = (schedule, globs(&trigger.branches)) else {
                    tracing::warn!(job = spec.name, "a trigger cannot be used");
                    continue;
                };
                let state = states.iter().find(|row| row.job == spec.name && row.trigger == id);
                let state = state.cloned().unwrap_or_else(|| TriggerRow {
                    job: spec.name.clone(),
                    trigger: id,
                    ..TriggerRow::default()
                });
                self.all.push(KnownPoll { trigger: trigger.clone(), schedule, branches, state });
            }
        }
        self.stamp = Some(stamp);
        Ok(())
    }
}

impl KnownPoll {
    fn next(&self, now_ms: i64) -> Option<i64> {
        self.schedule.next_after(now_ms / 1000).map(|at| at * 1000)
    }

    /// Writes down what came of a look.
    async fn end(&mut self, service: &Service, note: String) -> Result<(), StoreError> {
        self.state.note = note;
        self.state.next_ms = self.next(service.now_ms());
        service.store.save_trigger(&self.state).await
    }

    async fn take(
        &mut self,
        service: &Service,
        path: &str,
        branches: &Branches,
    ) -> Result<(), StoreError> {
        let own: Branches = branches
            .iter()
            .filter(|(branch, _)| self.branches.has(branch))
            .map(|(branch, commit)| (branch.clone(), commit.clone()))
            .collect();
        if own.len() > BRANCHES {
            return self.end(service, format!("more than {BRANCHES} branches fit")).await;
        }
        let mut note = String::new();
        let mut seen: Option<Branches> = serde_json::from_str(&self.state.seen).ok();
        if let Some(seen) = &mut seen {
            let due = self.state.next_ms.unwrap_or_default();
            for (branch, commit) in news(&seen.clone(), &own) {
                let event = found(path, branch, commit);
                let values = parameters(&self.trigger.parameters, &event);
                let before = seen.get(branch).map_or("", String::as_str);
                let job = &self.state.job;
                let key = format!("{} {job} {branch} {before}..{commit} {due}", self.state.trigger);
                match order(service, job, values, ("poll", key, event.described())).await {
                    Ordered::Build(id) => {
                        self.state.fired_ms = Some(service.now_ms());
                        self.state.build = Some(id);
                    }
                    Ordered::Refused(why) => note = format!("{branch}: {why}"),
                    // It is not seen yet, so that the next look finds it again.
                    Ordered::Later(why) => {
                        note = format!("{branch}: {why}");
                        continue;
                    }
                }
                seen.insert(branch.to_owned(), commit.to_owned());
            }
            seen.retain(|branch, _| own.contains_key(branch));
        }
        let seen = seen.unwrap_or(own);
        self.state.seen = serde_json::to_string(&seen).unwrap_or_default();
        self.end(service, note).await
    }
}

fn found(path: &str, branch: &str, commit: &str) -> Event {
    Event {
        kind: EventKind::Push,
        repository: path.strip_suffix(".git").unwrap_or(path).to_owned(),
        branch: Some(branch.to_owned()),
        target: None,
        tag: None,
        commit: commit.to_owned(),
        number: None,
        paths: None,
        from_fork: false,
        sender: String::new(),
    }
}
