//! What a job says about what starts it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cron::Schedule;
use super::event::EventKind;
use super::matching::globs;
use crate::error::Problem;
use crate::text::nearest_hint;

/// The most triggers of a kind in one job.
const TRIGGERS: usize = 20;

/// What starts builds of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Triggers {
    /// Events that a forge tells by a webhook.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventTrigger>,
    /// Times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cron: Vec<CronTrigger>,
    /// Builds of other jobs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upstream: Vec<UpstreamTrigger>,
    /// Repositories that are looked at, where no webhook comes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub poll: Vec<PollTrigger>,
}

/// Events of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventTrigger {
    /// Address of the repository, as in a browser: `https://github.com/acme/web`. Its forge is declared in
    /// the file of forges.
    pub repository: String,
    /// Which events; pushes unless given.
    #[serde(default = "pushes")]
    pub events: BTreeSet<EventKind>,
    /// Branches, as globs: `release/*` has no further slash, `team/**` any, and one that starts with `!`
    /// takes away. All unless given. Of pull and merge requests the branch that they are to go to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<String>,
    /// Tags, as globs; all unless given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Changed files, as globs: one of them must match. Where the forge does not tell all files, as for
    /// pull requests, the build is started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Also for requests from forks: their authors decide what the build runs.
    #[serde(default, skip_serializing_if = "is_false")]
    pub from_forks: bool,
    /// Parameters that are set from the event.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, EventField>,
}

/// A part of an event that becomes the value of a parameter.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum EventField {
    /// The branch that has the commit; of a merged request the one that it went to.
    Branch,
    /// The branch that a request is to go to.
    TargetBranch,
    /// The tag.
    Tag,
    /// The id of the commit.
    Commit,
    /// The number of the pull or merge request.
    PullRequest,
    /// The repository, as its forge calls it.
    Repository,
    /// The kind of event.
    Event,
}

/// Times at which builds are started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CronTrigger {
    /// When, in the syntax of Jenkins: `H 2 * * 1-5`, `@daily`, one to a line.
    pub schedule: String,
    /// Time zone of the schedule; UTC unless given.
    #[serde(default = "utc", skip_serializing_if = "is_utc")]
    pub time_zone: String,
    /// Values of parameters, beside those of the job.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// A time that was missed while no bridge ran is not made up for.
    #[serde(default, skip_serializing_if = "is_false")]
    pub skip_missed: bool,
}

/// The end of a build of another job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTrigger {
    /// Full name of the other job. Jobs must not start each other in a circle.
    pub job: String,
    /// How its build must have ended.
    #[serde(default)]
    pub result: UpstreamResult,
    /// Parameters that get the value of a parameter of that build, by its name there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

/// How a build must have ended to start another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamResult {
    /// Well.
    #[default]
    Success,
    /// Well, or with tests that failed.
    Unstable,
    /// Somehow; one that never ran counts not.
    Any,
}

/// A repository that is looked at for new commits, by `git ls-remote`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PollTrigger {
    /// Address of the repository, as in a browser.
    pub repository: String,
    /// Branches, as globs. Each that has a new commit starts a build; the first look only remembers.
    #[schemars(length(min = 1))]
    pub branches: Vec<String>,
    /// When, in the syntax of Jenkins: `H/5 * * * *`.
    pub schedule: String,
    /// Time zone of the schedule; UTC unless given.
    #[serde(default = "utc", skip_serializing_if = "is_utc")]
    pub time_zone: String,
    /// Parameters that are set from what was found: its branch, commit and repository.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, EventField>,
}

fn pushes() -> BTreeSet<EventKind> {
    BTreeSet::from([EventKind::Push])
}

fn utc() -> String {
    "UTC".to_owned()
}

fn is_utc(zone: &str) -> bool {
    zone == "UTC"
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
fn is_false(value: &bool) -> bool {
    !value
}

/// One trigger of a job.
#[derive(Debug, Clone, Copy)]
pub enum Trigger<'t> {
    /// Events.
    Event(&'t EventTrigger),
    /// Times.
    Cron(&'t CronTrigger),
    /// The end of another build.
    Upstream(&'t UpstreamTrigger),
    /// New commits.
    Poll(&'t PollTrigger),
}

impl Trigger<'_> {
    /// Which kind it is.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Event(_) => "event",
            Self::Cron(_) => "cron",
            Self::Upstream(_) => "upstream",
            Self::Poll(_) => "poll",
        }
    }

    /// A name for it among those of its job. One that is changed is another one.
    #[must_use]
    pub fn id(self) -> String {
        let text = match self {
            Self::Event(one) => serde_json::to_string(one),
            Self::Cron(one) => serde_json::to_string(one),
            Self::Upstream(one) => serde_json::to_string(one),
            Self::Poll(one) => serde_json::to_string(one),
        };
        let digest = crate::plan::digest_of(&text.unwrap_or_default());
        let short = digest.trim_start_matches("sha256:").get(..16).unwrap_or_default().to_owned();
        format!("{}-{short}", self.kind())
    }

    /// In a few words.
    #[must_use]
    pub fn described(self) -> String {
        match self {
            Self::Event(one) => {
                let kinds: Vec<&str> = one.events.iter().map(|kind| kind.as_str()).collect();
                format!("{} of {}", kinds.join(", "), one.repository)
            }
            Self::Cron(one) => format!("{} ({})", one.schedule.trim(), one.time_zone),
            Self::Upstream(one) => format!("{} ended", one.job),
            Self::Poll(one) => {
                format!("{} at {} ({})", one.repository, one.schedule.trim(), one.time_zone)
            }
        }
    }
}

impl Triggers {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = Trigger<'_>> {
        let events = self.events.iter().map(Trigger::Event);
        let upstream = self.upstream.iter().map(Trigger::Upstream);
        let poll = self.poll.iter().map(Trigger::Poll);
        events.chain(self.cron.iter().map(Trigger::Cron)).chain(upstream).chain(poll)
    }

    /// Everything that is wrong with the triggers of a job. `parameters` are those that it declares.
    #[must_use]
    pub fn problems(&self, job: &str, parameters: &[&str]) -> Vec<Problem> {
        let mut all = Vec::new();
        let mut add = |path: String, message: String| {
            all.push(Problem::new(format!("triggers.{path}"), message));
        };
        let counts = [
            ("events", self.events.len()),
            ("cron", self.cron.len()),
            ("upstream", self.upstream.len()),
            ("poll", self.poll.len()),
        ];
        for (kind, count) in counts {
            if count > TRIGGERS {
                add(kind.to_owned(), format!("more than {TRIGGERS} triggers"));
            }
        }
        for (index, one) in self.events.iter().enumerate() {
            let at = |field: &str| format!("events.{index}.{field}");
            if one.events.is_empty() {
                add(at("events"), "is empty: name some, or leave it out for pushes".to_owned());
            }
            for (field, patterns) in
                [("branches", &one.branches), ("tags", &one.tags), ("paths", &one.paths)]
            {
                if let Err(message) = globs(patterns) {
                    add(at(field), message);
                }
            }
            undeclared(&at("parameters"), one.parameters.keys(), parameters, &mut add);
        }
        for (index, one) in self.cron.iter().enumerate() {
            let at = |field: &str| format!("cron.{index}.{field}");
            if let Err(wrong) = Schedule::parse(&one.schedule, &one.time_zone, job) {
                for message in wrong {
                    add(at("schedule"), message);
                }
            }
            undeclared(&at("parameters"), one.parameters.keys(), parameters, &mut add);
        }
        for (index, one) in self.upstream.iter().enumerate() {
            let at = |field: &str| format!("upstream.{index}.{field}");
            undeclared(&at("parameters"), one.parameters.keys(), parameters, &mut add);
        }
        for (index, one) in self.poll.iter().enumerate() {
            let at = |field: &str| format!("poll.{index}.{field}");
            if let Err(message) = globs(&one.branches) {
                add(at("branches"), message);
            }
            if let Err(wrong) = Schedule::parse(&one.schedule, &one.time_zone, job) {
                for message in wrong {
                    add(at("schedule"), message);
                }
            }
            undeclared(&at("parameters"), one.parameters.keys(), parameters, &mut add);
        }
        all
    }
}

fn undeclared<'n>(
    path: &str,
    names: impl Iterator<Item = &'n String>,
    declared: &[&str],
    add: &mut impl FnMut(String, String),
) {
    for name in names.filter(|name| !declared.contains(&name.as_str())) {
        let hint = nearest_hint(name, declared.iter().copied());
        add(format!("{path}.{name}"), format!("the job has no parameter `{name}`{hint}"));
    }
}
