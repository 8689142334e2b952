//! Starts what is due: events that have come, times that have come; tells of results, and looks at copies of jobs. One
//! replica leads it.
//!
//! Whatever is decided is decided again from what is written down by whoever leads next, and gives the same
//! builds: the idempotency key of a build is made of its job and of what started it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::announce::{Followers, KnownUpstream};
use super::cron::Schedule;
use super::event::Event;
use super::matching::EventMatcher;
use super::model::{CronTrigger, Trigger};
use super::polls::Polls;
use super::upstream::{Graph, cycle};
use crate::archive::copy_builds;
use crate::forges::folded;
use crate::jobs::{JobSpec, ROUND_EVERY, look_at_copies};
use crate::report::send::{SendOptions, send_reports};
use crate::service::leader::{LeaseTimes, lead};
use crate::service::store::{EventRow, StoreError, TriggerRow};
use crate::service::{BuildOrder, HttpProblem, Service, order_build};

/// Name of the lease.
const LEASE: &str = "triggers";
/// Events that are looked at in one round.
const EVENTS: i64 = 50;
/// What cannot be started because something is not there now is tried again for so long, in milliseconds.
pub(super) const PATIENCE_MS: i64 = 3_600_000;
/// A time that is over by less is not missed, only late, in milliseconds.
const LATE_MS: i64 = 120_000;
/// The most jobs whose outcome is kept with an event.
const OUTCOMES: usize = 2_000;

/// How triggers are kept.
#[derive(Debug, Clone, Copy)]
pub struct TriggerOptions {
    /// Between two rounds, where nothing says that something has come.
    pub tick: Duration,
    /// Between two rounds of looks at copies of jobs.
    pub look: Duration,
    /// How reports of builds are sent.
    pub send: SendOptions,
    /// How the lease is held.
    pub lease: LeaseTimes,
}

impl Default for TriggerOptions {
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(1),
            look: ROUND_EVERY,
            send: SendOptions::default(),
            lease: LeaseTimes::default(),
        }
    }
}

/// What a job made of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// This build of it.
    Build(String),
    /// Nothing, because of this.
    Nothing(String),
}

/// Starts builds whenever this replica leads that. Never ends by itself.
pub async fn run_triggers(service: Arc<Service>, holder: String, options: TriggerOptions) {
    let duty = || run(Arc::clone(&service), options);
    lead(&service.store, LEASE, &holder, options.lease, duty).await;
}

async fn run(service: Arc<Service>, options: TriggerOptions) {
    tokio::join!(
        rounds(&service, options),
        polls(&service, options),
        send_reports(&service, options.send),
        look_at_copies(&service, options.look),
        copy_builds(&service, options.tick)
    );
}

/// Looks at repositories. It is beside the other rounds: a look may take a minute.
async fn polls(service: &Arc<Service>, options: TriggerOptions) {
    let mut polls = Polls::default();
    loop {
        if let Err(error) = polls.round(service).await {
            tracing::warn!(%error, "repositories could not be looked at");
        }
        tokio::time::sleep(options.tick).await;
    }
}

async fn rounds(service: &Arc<Service>, options: TriggerOptions) {
    let mut known = Known::default();
    loop {
        if let Err(error) = known.round(service).await {
            tracing::warn!(%error, "triggers could not be looked at");
        }
        tokio::select! {
            () = tokio::time::sleep(options.tick) => {}
            () = service.trigger_now.notified() => {}
        }
    }
}

/// The triggers of all jobs, ready to be asked. It is made anew when a job changes.
#[derive(Default)]
struct Known {
    stamp: Option<(i64, i64)>,
    /// By repository.
    events: HashMap<String, Vec<KnownEvent>>,
    cron: Vec<KnownCron>,
    followers: Followers,
    states: HashMap<(String, String), TriggerRow>,
}

struct KnownEvent {
    job: String,
    id: String,
    matcher: EventMatcher,
}

struct KnownCron {
    job: String,
    id: String,
    trigger: CronTrigger,
    schedule: Schedule,
}

/// What came of an order.
pub(super) enum Ordered {
    /// This build.
    Build(String),
    /// Nothing, for good.
    Refused(String),
    /// Nothing now.
    Later(String),
}

/// Asks for a build. The same kind and key give the same build.
pub(super) async fn order(
    service: &Service,
    job: &str,
    parameters: BTreeMap<String, String>,
    (subject, key, cause): (&str, String, String),
) -> Ordered {
    let order = BuildOrder { job: job.to_owned(), parameters, cause, ..BuildOrder::default() };
    match order_build(service, &order, format!("trigger:{subject}"), Some(key)).await {
        Ok(build) => Ordered::Build(build.id),
        Err(HttpProblem { status: 404, .. }) => Ordered::Refused("the job was removed".to_owned()),
        Err(problem) if problem.status >= 500 => Ordered::Later(problem.to_string()),
        Err(problem) => Ordered::Refused(problem.to_string()),
    }
}

impl Known {
    async fn round(&mut self, service: &Arc<Service>) -> Result<(), StoreError> {
        self.refresh(service).await?;
        for event in service.store.new_events(EVENTS).await? {
            self.take_event(service, &event).await?;
        }
        self.take_times(service).await?;
        let changed = self.followers.round(service, |job, id| self.state(job, id)).await?;
        self.states
            .extend(changed.into_iter().map(|row| ((row.job.clone(), row.trigger.clone()), row)));
        Ok(())
    }

    async fn refresh(&mut self, service: &Service) -> Result<(), StoreError> {
        let stamp = service.store.jobs_stamp().await?;
        if self.stamp == Some(stamp) {
            return Ok(());
        }
        (self.events, self.cron) = (HashMap::new(), Vec::new());
        self.followers = Followers::default();
        let mut graph = Graph::new();
        let mut ids = std::collections::HashSet::new();
        for row in service.store.jobs().await?.into_iter().filter(|row| !row.is_removed) {
            let before = row.spec.triggers.upstream.iter().map(|one| one.job.clone());
            graph.insert(row.spec.name.clone(), before.collect());
            if row.spec.statuses.is_some() {
                self.followers.reporting.insert(row.spec.name.clone(), row.spec.clone());
            }
            for trigger in row.spec.triggers.all() {
                ids.insert((row.spec.name.clone(), trigger.id()));
                self.add(&row.spec, trigger);
            }
        }
        // Refused where a job is saved; two that were saved at the same moment may do it all the same.
        for (job, followers) in &mut self.followers.upstream {
            if let Some(way) = cycle(&graph, job) {
                tracing::warn!(
                    way = way.join(" → "),
                    "jobs start each other; none of them is started so"
                );
                followers.retain(|one| !way.contains(&one.job));
            }
        }
        let states = service.store.triggers(None).await?;
        self.states.clear();
        for row in states {
            let key = (row.job.clone(), row.trigger.clone());
            if ids.contains(&key) {
                self.states.insert(key, row);
            } else {
                service.store.forget_trigger(&row.job, &row.trigger).await?;
            }
        }
        self.stamp = Some(stamp);
        Ok(())
    }

    fn add(&mut self, spec: &JobSpec, trigger: Trigger<'_>) {
        let (job, id) = (spec.name.clone(), trigger.id());
        // They were checked when the job was saved; what an older version of this took may be refused now.
        match trigger {
            Trigger::Event(one) => match EventMatcher::new(one) {
                Ok(matcher) => {
                    let all = self.events.entry(folded(&one.repository)).or_default();
                    all.push(KnownEvent { job, id, matcher });
                }
                Err(error) => tracing::warn!(job, error, "a trigger cannot be used"),
            },
            Trigger::Upstream(one) => {
                let all = self.followers.upstream.entry(one.job.clone()).or_default();
                all.push(KnownUpstream { job, id, trigger: one.clone() });
            }
            // Those are looked at beside this.
            Trigger::Poll(_) => {}
            Trigger::Cron(one) => match Schedule::parse(&one.schedule, &one.time_zone, &job) {
                Ok(schedule) => {
                    self.cron.push(KnownCron { job, id, trigger: one.clone(), schedule });
                }
                Err(wrong) => {
                    tracing::warn!(job, error = wrong.join("; "), "a schedule cannot be used")
                }
            },
        }
    }

    fn state(&self, job: &str, id: &str) -> TriggerRow {
        let key = (job.to_owned(), id.to_owned());
        self.states.get(&key).cloned().unwrap_or_else(|| TriggerRow {
            job: key.0,
            trigger: key.1,
            ..TriggerRow::default()
        })
    }

    async fn take_event(&mut self, service: &Service, row: &EventRow) -> Result<(), StoreError> {
        let now = service.now_ms();
        let (Ok(event), Some(forge)) =
            (serde_json::from_str::<Event>(&row.body), service.forges.get(&row.forge))
        else {
            return service.store.end_event(&row.id, "{}", &[], now).await;
        };
        let repository = folded(&format!("{}/{}", folded(&forge.spec.url), event.repository));
        let mut outcomes: BTreeMap<&str, Outcome> = BTreeMap::new();
        let mut changed = Vec::new();
        for known in self.events.get(&repository).map_or(&[][..], Vec::as_slice) {
            let mut state = self.state(&known.job, &known.id);
            let is_started = matches!(outcomes.get(known.job.as_str()), Some(Outcome::Build(_)));
            let outcome = match known.matcher.check(&event) {
                Err(why) => Outcome::Nothing(why),
                // One event starts one build of a job, however many of its triggers fit.
                Ok(()) if is_started => continue,
                Ok(()) => {
                    let parameters = known.matcher.parameters(&event);
                    let key = format!("{} {} {}", row.forge, row.identity, known.job);
                    let what = ("event", key, event.described());
                    match order(service, &known.job, parameters, what).await {
                        Ordered::Build(id) => Outcome::Build(id),
                        Ordered::Later(why) if now - row.received_ms < PATIENCE_MS => {
                            tracing::warn!(job = known.job, why, "an event waits");
                            return Ok(());
                        }
                        Ordered::Refused(why) | Ordered::Later(why) => Outcome::Nothing(why),
                    }
                }
            };
            match &outcome {
                Outcome::Build(id) => {
                    (state.fired_ms, state.build) = (Some(now), Some(id.clone()));
                    state.note.clear();
                }
                Outcome::Nothing(why) => state.note = format!("{}: {why}", event.described()),
            }
            changed.push(state);
            if !is_started && outcomes.len() < OUTCOMES {
                outcomes.insert(&known.job, outcome);
            }
        }
        let text = serde_json::to_string(&outcomes).unwrap_or_else(|_| "{}".to_owned());
        service.store.end_event(&row.id, &text, &changed, now).await?;
        for state in changed {
            self.states.insert((state.job.clone(), state.trigger.clone()), state);
        }
        Ok(())
    }

    async fn take_times(&mut self, service: &Service) -> Result<(), StoreError> {
        let now = service.now_ms();
        for known in &self.cron {
            let mut state = self.state(&known.job, &known.id);
            let next = |after: i64| known.schedule.next_after(after / 1000).map(|at| at * 1000);
            match state.next_ms {
                Some(due) if due > now => continue,
                // What was missed while no bridge ran comes once, however often it was missed.
                Some(due) if known.trigger.skip_missed && now - due > LATE_MS => {
                    state.note = "a time was missed while no bridge ran".to_owned();
                }
                Some(due) => {
                    let parameters = known.trigger.parameters.clone();
                    let key = format!("{} {} {due}", known.id, known.job);
                    let cause = format!("time: {}", known.trigger.schedule.trim());
                    match order(service, &known.job, parameters, ("cron", key, cause)).await {
                        Ordered::Build(id) => {
                            (state.fired_ms, state.build) = (Some(now), Some(id));
                            state.note.clear();
                        }
                        Ordered::Refused(why) => state.note = why,
                        Ordered::Later(why) if now - due < PATIENCE_MS => {
                            tracing::warn!(job = known.job, why, "a time waits");
                            continue;
                        }
                        Ordered::Later(why) => state.note = why,
                    }
                }
                // A new trigger begins with its next time.
                None => {}
            }
            state.next_ms = next(now);
            service.store.save_trigger(&state).await?;
            self.states.insert((state.job.clone(), state.trigger.clone()), state);
        }
        Ok(())
    }
}
