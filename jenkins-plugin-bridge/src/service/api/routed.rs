//! Bodies of requests and answers about jobs and builds of the bridge.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::archive::KeptArtifact;
use crate::jobs::{CopyState, JobSpec};
use crate::masters::file::Label;
use crate::route::{Attempt, Build, BuildState, LostPolicy};
use crate::service::api::types::{StageOutputs, TestCounts};
use crate::service::store::{ArchiveRow, BuildFilter, StateFilter};
use crate::service::store::{EventRow, OutboxRow, TriggerRow};
use crate::triggers::Event;
use crate::triggers::duty::Outcome;
use crate::triggers::model::Trigger;

/// Asks for a build. The same `Idempotency-Key` gives the same build.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildOrder {
    /// Full name of the job.
    pub job: String,
    /// Values of its parameters; those not given have the job's.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// Labels that the master must have, beside those of the job.
    #[serde(default)]
    pub labels: BTreeSet<Label>,
    /// Those with a higher one go first.
    #[serde(default)]
    #[schemars(range(min = -1000, max = 1000))]
    pub priority: i32,
    /// What happens when its master is lost, where it is not what the job says.
    #[serde(default)]
    pub on_lost: Option<LostPolicy>,
    /// A word for people: what started it.
    #[serde(default)]
    pub cause: String,
}

/// A build of the bridge.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RoutedBuild {
    /// Id.
    pub id: String,
    /// Full name of its job.
    pub job: String,
    /// Number, unique and rising for its job over all masters.
    pub number: i64,
    /// Where it is.
    pub state: BuildState,
    /// Why, for people.
    pub reason: String,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// The master that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// Its page there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The path of its log here. It stays good whatever master runs it.
    pub log: String,
    /// Its labels.
    pub labels: BTreeSet<String>,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
    /// Its priority.
    pub priority: i32,
    /// What started it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cause: String,
    /// What happens when its master is lost.
    pub on_lost: LostPolicy,
    /// When it was asked for, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it was claimed by the run that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<i64>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_ms: Option<i64>,
    /// The times that it was given to masters; not in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Outputs of its stages, by id and name, as the run that counts reported them; not in lists.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: StageOutputs,
    /// Its stages in the order of its plan, as the run that counts reported them; not in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageState>,
}

/// A stage of a build, or a group of them.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StageState {
    /// Its title.
    pub title: String,
    /// How far inside of groups it is.
    pub depth: usize,
    /// It is a group.
    pub is_group: bool,
    /// How it is: an outcome, `running`, `pending`, or `skipped`.
    pub state: &'static str,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// How long it has run, in milliseconds.
    pub ms: i64,
    /// Test cases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestCounts>,
}

impl RoutedBuild {
    /// A build as it is told.
    #[must_use]
    pub fn of(build: Build, attempts: Vec<Attempt>) -> Self {
        Self {
            log: format!("/v1/builds/{}/log", build.id),
            id: build.id,
            job: build.job,
            number: build.number,
            state: build.state,
            reason: build.reason,
            result: build.result.filter(|_| build.state == BuildState::Finished),
            master: build.master,
            url: build.url,
            labels: build.request.labels,
            parameters: build.request.parameters,
            priority: build.request.priority,
            cause: build.request.cause,
            on_lost: build.request.on_lost,
            created_ms: build.created_ms,
            started_ms: build.started_ms,
            finished_ms: build.finished_ms,
            attempts,
            outputs: StageOutputs::new(),
            stages: Vec::new(),
        }
    }
}

/// Which builds. A field that is empty, as in a form, fits all.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListQuery {
    /// Of this job.
    #[serde(deserialize_with = "given")]
    pub job: Option<String>,
    /// At this master.
    #[serde(deserialize_with = "given")]
    pub master: Option<String>,
    /// With this label.
    #[serde(deserialize_with = "given")]
    pub label: Option<String>,
    /// That ended so.
    #[serde(deserialize_with = "given")]
    pub result: Option<String>,
    /// Asked for before this time, in milliseconds since 1970.
    pub before_ms: Option<i64>,
    /// The id of the last one that was listed of that time.
    pub before_id: Option<String>,
    /// With this number.
    pub number: Option<i64>,
    /// In this state; `live` for all that have not ended.
    #[serde(deserialize_with = "given")]
    pub state: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// A field of a query; an empty one is none.
pub fn given<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|text| !text.is_empty()))
}

impl ListQuery {
    /// The same for the store.
    ///
    /// # Errors
    /// A message about a state that there is not.
    pub fn filter(self, most: u32) -> Result<BuildFilter, String> {
        let states = match self.state.as_deref() {
            None => None,
            Some("live") => Some(StateFilter::Live),
            Some(text) => Some(StateFilter::One(BuildState::parse(text).ok_or_else(|| {
                let known = BuildState::ALL.iter().map(|one| one.as_str()).chain(["live"]);
                format!("`{text}` is no state{}", crate::text::nearest_hint(text, known))
            })?)),
        };
        Ok(BuildFilter {
            job: self.job,
            master: self.master,
            number: self.number,
            states,
            label: self.label,
            result: self.result,
            before: self.before_ms.map(|ms| (ms, self.before_id.unwrap_or_default())),
            limit: i64::from(self.limit.unwrap_or(most).min(most)),
        })
    }
}

/// Which part of a log.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogQuery {
    /// The first byte.
    pub offset: u64,
    /// The attempt; the last one with a log unless given.
    pub attempt: Option<i64>,
    /// Go on until the build ends.
    pub follow: bool,
}

/// What is done about the copies of a job.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepQuery {
    /// Only look.
    #[serde(default = "yes")]
    pub dry_run: bool,
    /// Only at these masters; at all that match unless given.
    #[serde(default)]
    pub masters: BTreeSet<String>,
}

fn yes() -> bool {
    true
}

/// A job with what is known of its copies.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct JobAnswer {
    /// The job.
    pub job: JobSpec,
    /// Raised with each change.
    pub revision: i64,
    /// It is removed.
    pub is_removed: bool,
    /// Its copies by master, as they were seen last.
    pub copies: BTreeMap<String, KeptCopy>,
    /// What starts its builds, and how each is doing; not in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<TriggerAnswer>,
}

/// A copy as it was seen last.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct KeptCopy {
    /// How it was.
    #[serde(flatten)]
    pub state: CopyState,
    /// When, in milliseconds since 1970.
    pub checked_ms: i64,
    /// The revision that was looked for.
    pub revision: i64,
}

/// A build: one of the bridge, or one that a controller started by itself and asked a plan for.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum AnyBuild {
    /// One of the bridge.
    Routed(Box<RoutedBuild>),
    /// One that was given a plan.
    Planned(Box<super::types::Build>),
}

/// How a trigger of a job is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TriggerAnswer {
    /// Which kind it is: `event`, `cron`, `upstream` or `poll`.
    pub kind: &'static str,
    /// In a few words.
    pub trigger: String,
    /// When it comes next, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_ms: Option<i64>,
    /// When it started a build last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fired_ms: Option<i64>,
    /// That build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// Why it did not the last time, or what is wrong.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl TriggerAnswer {
    /// The triggers of a job as they are told.
    #[must_use]
    pub fn all(job: &JobSpec, rows: &[TriggerRow]) -> Vec<Self> {
        let of = |trigger: Trigger<'_>| {
            let id = trigger.id();
            let row = rows.iter().find(|row| row.trigger == id).cloned().unwrap_or_default();
            Self {
                kind: trigger.kind(),
                trigger: trigger.described(),
                next_ms: row.next_ms,
                fired_ms: row.fired_ms,
                build: row.build,
                note: row.note,
            }
        };
        job.triggers.all().map(of).collect()
    }
}

/// What became of a webhook.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct HookAnswer {
    /// Id of the event, in the list of events. None where it starts nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// What it is, or why it starts nothing.
    pub note: String,
}

/// An event that a forge told.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct HookDelivery {
    /// Id.
    pub id: String,
    /// The forge.
    pub forge: String,
    /// What the forge calls the delivery.
    pub delivery: String,
    /// What has happened.
    pub event: String,
    /// When it came, in milliseconds since 1970.
    pub received_ms: i64,
    /// Nothing has been made of it yet.
    pub is_new: bool,
    /// What each job of the repository made of it.
    pub jobs: BTreeMap<String, Outcome>,
}

impl HookDelivery {
    /// An event as it is told.
    #[must_use]
    pub fn of(row: EventRow) -> Self {
        let event = serde_json::from_str::<Event>(&row.body);
        Self {
            id: row.id,
            forge: row.forge,
            delivery: row.delivery,
            event: event.map(|event| event.described()).unwrap_or_default(),
            received_ms: row.received_ms,
            is_new: row.is_new,
            jobs: serde_json::from_str(&row.outcome).unwrap_or_default(),
        }
    }
}

/// A webhook or a status that could not be delivered.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Undelivered {
    /// Who was to be told: `webhook:NAME` or `status:FORGE`.
    pub target: String,
    /// What it is about.
    pub item: String,
    /// It was given up.
    pub is_dead: bool,
    /// Tries that failed.
    pub tries: i64,
    /// When it is tried again, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_ms: Option<i64>,
    /// Why the last try failed.
    pub error: String,
    /// When it was to be told first.
    pub created_ms: i64,
}

impl Undelivered {
    /// A message as it is shown.
    #[must_use]
    pub fn of(row: OutboxRow) -> Self {
        let is_dead = row.state == "dead";
        Self {
            target: row.target,
            item: row.item,
            is_dead,
            tries: row.tries,
            next_ms: (!is_dead).then_some(row.next_ms),
            error: row.error,
            created_ms: row.created_ms,
        }
    }
}

/// What is tried again.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Retried {
    /// How many messages.
    pub messages: u64,
}

/// The artefacts of a build.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ArtifactList {
    /// They are in the archive. Otherwise they are at the master of the build.
    pub is_archived: bool,
    /// In the order of their numbers, from 0.
    pub artifacts: Vec<KeptArtifact>,
    /// What could not be kept of the build, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// How the build gets into the archive, where there is one and the build has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveState>,
}

/// How a build gets into the archive.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ArchiveState {
    /// `due`, `done`, or `lost`: not tried any more.
    pub state: String,
    /// Tries that failed.
    pub tries: i64,
    /// When it is tried next, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_ms: Option<i64>,
    /// Why the last try failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

impl From<ArchiveRow> for ArchiveState {
    fn from(row: ArchiveRow) -> Self {
        let next_ms = (row.state == "due").then_some(row.next_ms);
        Self { state: row.state, tries: row.tries, next_ms, error: row.error }
    }
}
