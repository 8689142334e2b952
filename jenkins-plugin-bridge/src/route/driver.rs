//! Reads what is written down, asks the core, writes its decisions down, and then acts. It may be killed at
//! any point: whoever comes next reads the same and looks at what the masters have.

mod act;
mod live;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::{AbortHandle, JoinSet};

use super::decide::{Decision, Limits, MasterView, Rules, decide};
use super::fence::{Fence, NoPods};
use super::follow::{Follower, follow};
use super::model::{Build, BuildState};
use crate::masters::{Health, Master, Permission};
use crate::service::leader::{LeaseTimes, lead};
use crate::service::store::{AttemptChange, Change, StoreError};
use crate::service::{Service, new_token};
use live::Live;

/// Name of the lease.
const LEASE: &str = "router";

/// How builds are routed.
#[derive(Debug, Clone)]
pub struct RouteOptions {
    /// When what happens.
    pub rules: Rules,
    /// How many at the same time.
    pub limits: Limits,
    /// Between two decisions, where nothing says that something has changed.
    pub tick: Duration,
    /// Between two looks at the builds of a master. Each is two requests, and one for each build that has
    /// changed; a master with no builds is not asked.
    pub follow_every: Duration,
    /// Between two looks at what plugins and credentials a master has.
    pub facts_every: Duration,
    /// A master that refused a trigger is left alone for so long, in milliseconds.
    pub cool_ms: i64,
    /// Makes sure that a lost build does nothing any more.
    pub fence: Arc<dyn Fence>,
    /// How the lease is held.
    pub lease: LeaseTimes,
}

impl Default for RouteOptions {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            limits: Limits::default(),
            tick: Duration::from_secs(1),
            follow_every: Duration::from_secs(5),
            facts_every: Duration::from_secs(60),
            cool_ms: 10_000,
            fence: Arc::new(NoPods),
            lease: LeaseTimes::default(),
        }
    }
}

/// What the tasks of a leader share. It is lost with the lease: nothing depends on it.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Masters that refused a trigger, until when and why.
    cooling: Mutex<BTreeMap<String, (i64, String)>>,
    /// Jobs that cannot be started at a master, until when and why.
    no_jobs: Mutex<BTreeMap<(String, String), (i64, String)>>,
    /// Jobs whose definition at a master was good a moment ago, until when.
    declared: Mutex<BTreeMap<(String, String), i64>>,
    /// Builds that are being fenced.
    fencing: Mutex<BTreeSet<String>>,
    /// Where the last build of each job was started.
    last: Mutex<BTreeMap<String, String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    pub(super) fn cool(&self, master: &str, until_ms: i64, why: String) {
        lock(&self.cooling).insert(master.to_owned(), (until_ms, why));
    }

    pub(super) fn declared(&self, master: &str, job: &str, until_ms: i64) {
        lock(&self.declared).insert((master.to_owned(), job.to_owned()), until_ms);
    }

    pub(super) fn is_declared(&self, master: &str, job: &str, now_ms: i64) -> bool {
        let key = (master.to_owned(), job.to_owned());
        lock(&self.declared).get(&key).is_some_and(|until| *until > now_ms)
    }

    #[cfg(test)]
    pub(super) fn why_no_job(&self, job: &str, master: &str, now_ms: i64) -> Option<String> {
        let key = (master.to_owned(), job.to_owned());
        let all = lock(&self.no_jobs);
        all.get(&key).filter(|(until, _)| *until > now_ms).map(|(_, why)| why.clone())
    }

    pub(super) fn no_job(&self, job: &str, master: &str, until_ms: i64, why: String) {
        lock(&self.no_jobs).insert((master.to_owned(), job.to_owned()), (until_ms, why));
    }
}

/// Routes builds whenever this replica leads that. Never ends by itself.
pub async fn route_builds(service: Arc<Service>, holder: String, options: RouteOptions) {
    let options = Arc::new(options);
    let duty = || run(Arc::clone(&service), Arc::clone(&options));
    lead(&service.store, LEASE, &holder, options.lease, duty).await;
}

/// Everything that a leader runs. It ends with this.
struct Tasks {
    all: JoinSet<()>,
    followers: BTreeMap<String, (Arc<Master>, Arc<Follower>, AbortHandle)>,
}

async fn run(service: Arc<Service>, options: Arc<RouteOptions>) {
    let memory = Arc::new(Memory::default());
    match service.store.last_masters().await {
        Ok(last) => lock(&memory.last).extend(last),
        Err(error) => tracing::warn!(%error, "it is not known where jobs ran last"),
    }
    let mut tasks = Tasks { all: JoinSet::new(), followers: BTreeMap::new() };
    let mut live = Live::default();
    loop {
        let began = Instant::now();
        tasks.keep_following(&service, &options, &memory);
        if let Err(error) = tick(&service, &options, &memory, &mut tasks, &mut live).await {
            tracing::warn!(%error, "nothing could be decided");
        }
        while tasks.all.try_join_next().is_some() {}
        // Where something happens all the time, deciding takes half of it and leaves the rest to what was decided.
        tokio::time::sleep(began.elapsed().min(options.tick)).await;
        tokio::select! {
            () = tokio::time::sleep(options.tick) => {}
            () = service.route_now.notified() => {}
        }
    }
}

impl Tasks {
    fn keep_following(
        &mut self,
        service: &Arc<Service>,
        options: &Arc<RouteOptions>,
        memory: &Arc<Memory>,
    ) {
        let masters = service.masters.all();
        self.followers.retain(|_, (master, _, task)| {
            let keep = masters.iter().any(|one| Arc::ptr_eq(one, master)) && !task.is_finished();
            if !keep {
                task.abort();
            }
            keep
        });
        for master in masters {
            if self.followers.contains_key(&master.name) {
                continue;
            }
            let follower = Arc::new(Follower::default());
            let task = self.all.spawn(follow(
                Arc::clone(service),
                Arc::clone(options),
                Arc::clone(memory),
                Arc::clone(&master),
                Arc::clone(&follower),
            ));
            self.followers.insert(master.name.clone(), (master, follower, task));
        }
    }
}

/// One round of decisions.
async fn tick(
    service: &Arc<Service>,
    options: &Arc<RouteOptions>,
    memory: &Arc<Memory>,
    tasks: &mut Tasks,
    live: &mut Live,
) -> Result<(), StoreError> {
    let builds = live.read(&service.store).await?;
    if builds.is_empty() {
        return Ok(());
    }
    let now = service.now_ms();
    let masters = views(memory, tasks, now);
    let last = lock(&memory.last).clone();
    let started = Instant::now();
    let decisions = decide(&masters, builds, &options.limits, &options.rules, &last, now);
    service.metrics.decided(started.elapsed(), decisions.len());
    let mut changes = Vec::new();
    let mut acts = Vec::new();
    for decision in decisions {
        let build = &builds[decision.build()];
        match &decision {
            Decision::Fence { .. } => {
                if lock(&memory.fencing).insert(build.id.clone()) {
                    let (service, options) = (Arc::clone(service), Arc::clone(options));
                    let (memory, build) = (Arc::clone(memory), build.clone());
                    tasks.all.spawn(act::fence(service, options, memory, build));
                }
            }
            _ => {
                if let Some(change) = change(build, &decision, now) {
                    acts.push(matches!(decision, Decision::Place { .. }));
                    changes.push(change);
                }
            }
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    let made = service.store.change_routed(&changes, now).await?;
    for ((change, is_placed), made) in changes.into_iter().zip(acts).zip(made) {
        if !(made && is_placed) {
            continue;
        }
        let mut build = change.build;
        build.version += 1;
        if let Some(master) = build.master.as_deref().and_then(|name| service.masters.get(name)) {
            lock(&memory.last).insert(build.job.clone(), master.name.clone());
            tasks.all.spawn(act::trigger(
                Arc::clone(service),
                Arc::clone(options),
                Arc::clone(memory),
                master,
                build,
            ));
        }
    }
    Ok(())
}

/// The masters as the core sees them.
fn views(memory: &Memory, tasks: &Tasks, now_ms: i64) -> Vec<MasterView> {
    let cooling = lock(&memory.cooling).clone();
    let no_jobs = lock(&memory.no_jobs).clone();
    let view = |master: &Arc<Master>, follower: &Follower| {
        let state = master.state();
        let refusal = master
            .refusal(now_ms / 1000)
            .or_else(|| {
                (master.spec.permission < Permission::Trigger)
                    .then(|| "the bridge may only look at it".to_owned())
            })
            .or_else(|| {
                (!follower.is_clean.load(Ordering::Relaxed))
                    .then(|| "what waits there from before is being cancelled".to_owned())
            })
            .or_else(|| {
                let (until, why) = cooling.get(&master.name)?;
                (*until > now_ms).then(|| format!("it refused a build a moment ago: {why}"))
            });
        let lost = state.health == Health::Unhealthy;
        let facts = lock(&follower.facts).clone();
        MasterView {
            name: master.name.clone(),
            is_leaving: !lost
                && (master.hold().is_some()
                    || state.health == Health::Healthy
                        && (state.seen.quieting_down || master.drain().is_some())),
            lost_ms: lost.then(|| i64::try_from(state.changed_ms).unwrap_or(0)),
            refusal,
            labels: master.labels(),
            capacity: master.capacity(),
            executors: state.seen.executors,
            busy: state.seen.busy,
            queue: state.seen.queue,
            latency_ms: state.latency_ms,
            zone: master.spec.zone.as_ref().map(ToString::to_string),
            cluster: master.spec.cluster.as_ref().map(ToString::to_string),
            credentials: facts.credentials,
            plugins: facts.plugins,
            no_jobs: no_jobs
                .range((master.name.clone(), String::new())..)
                .take_while(|((name, _), _)| *name == master.name)
                .filter(|(_, (until, _))| *until > now_ms)
                .map(|((_, job), (_, why))| (job.clone(), why.clone()))
                .collect(),
        }
    };
    tasks.followers.values().map(|(master, follower, _)| view(master, follower)).collect()
}

/// A decision as a change of what is written down.
fn change(build: &Build, decision: &Decision, now_ms: i64) -> Option<Change> {
    let mut new = build.clone();
    let ends = |outcome: &str| match &build.key {
        Some(key) => {
            AttemptChange::Ends { key: key.clone(), outcome: outcome.to_owned(), is_stale: true }
        }
        None => AttemptChange::None,
    };
    let attempt = match decision {
        Decision::Place { master, .. } => {
            new.state = BuildState::Triggering;
            new.master = Some(master.clone());
            new.attempt += 1;
            new.key = Some(new_token("k-").ok()?);
            new.queue_item = None;
            new.url = None;
            new.reason.clear();
            new.changed_ms = now_ms;
            AttemptChange::Begins
        }
        Decision::Move { reason, .. } => {
            back(&mut new, reason, now_ms);
            ends(reason)
        }
        Decision::Finish { result, reason, .. } => {
            finish(&mut new, result, reason, now_ms);
            ends(reason)
        }
        Decision::Stay { reason, .. } => {
            new.reason.clone_from(reason);
            AttemptChange::None
        }
        Decision::Fence { .. } => return None,
    };
    Some(Change { build: new, attempt })
}

/// Takes a build back from its master.
pub(super) fn back(build: &mut Build, reason: &str, now_ms: i64) {
    build.state = BuildState::Waiting;
    build.master = None;
    build.key = None;
    build.queue_item = None;
    build.url = None;
    build.started_ms = None;
    build.result = None;
    reason.clone_into(&mut build.reason);
    build.changed_ms = now_ms;
}

/// Ends a build. Its master and address stay, so that its log is found.
pub(crate) fn finish(build: &mut Build, result: &str, reason: &str, now_ms: i64) {
    build.state = BuildState::Finished;
    build.result = Some(result.to_owned());
    reason.clone_into(&mut build.reason);
    build.changed_ms = now_ms;
    build.finished_ms = Some(now_ms);
}
