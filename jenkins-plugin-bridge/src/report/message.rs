//! What is told of a build as it stands.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::Problem;
use crate::forges::{BuildEvent, Forges};
use crate::jobs::JobSpec;
use crate::route::{Build, BuildState};
use crate::text::nearest_hint;
use crate::triggers::event;

/// The most stages that a status is made of.
const STAGES: usize = 100;
/// The most characters of a description: what GitHub takes.
const DESCRIPTION: usize = 140;
/// The most characters of a context.
const CONTEXT: usize = 200;

/// Statuses of the commits that builds of a job are of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusSpec {
    /// Address of the repository, as in a browser. Its forge is declared with a `token_file`.
    pub repository: String,
    /// The parameter that has the id of the commit. A build without one gets no status.
    pub commit: String,
    /// The name of the status; `pilotfish/` and the name of the job unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// One for each stage, too, named by the context, a slash and the stage.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stages: bool,
}

impl StatusSpec {
    /// Everything that is wrong with it, in a job that declares these parameters.
    #[must_use]
    pub fn problems(&self, parameters: &[&str]) -> Vec<Problem> {
        let mut all = Vec::new();
        if !parameters.contains(&self.commit.as_str()) {
            let hint = nearest_hint(&self.commit, parameters.iter().copied());
            let message = format!("the job has no parameter `{}`{hint}", self.commit);
            all.push(Problem::new("statuses.commit", message));
        }
        if let Some(context) = &self.context
            && (context.is_empty()
                || context.chars().count() > CONTEXT
                || context.chars().any(char::is_control))
        {
            let message = format!("expected 1 to {CONTEXT} characters on one line");
            all.push(Problem::new("statuses.context", message));
        }
        all
    }
}

/// The state of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommitState {
    /// It waits.
    Pending,
    /// It runs.
    Running,
    /// It is good.
    Success,
    /// It is not.
    Failure,
    /// Somebody stopped it.
    Cancelled,
    /// It could not be found out.
    Error,
}

/// A status of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitStatus {
    /// The repository, as its forge calls it.
    pub repository: String,
    /// Id of the commit.
    pub commit: String,
    /// Its name.
    pub context: String,
    /// How it is.
    pub state: CommitState,
    /// For people.
    pub description: String,
    /// Where it leads; empty where the bridge does not know its own address.
    pub url: String,
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who is told.
    pub target: String,
    /// What it is about.
    pub item: String,
    /// Messages of a lane go out one after the other.
    pub lane: String,
    /// Number of the build; an older build does not take the place of a newer one.
    pub number: i64,
    /// What is told, as JSON.
    pub body: String,
    /// It takes the place of what was to be told of the same item.
    pub replaces: bool,
}

/// How a stage is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageState {
    /// Its id in the plan.
    pub node: String,
    /// How it is.
    pub state: CommitState,
    /// For people.
    pub description: String,
}

/// How the stages of a build are, by its events.
#[must_use]
pub fn stages(events: &[String]) -> Vec<StageState> {
    let mut all: BTreeMap<String, (CommitState, String)> = BTreeMap::new();
    for text in events {
        let Ok(event) = serde_json::from_str::<serde_json::Value>(text) else { continue };
        let of = |field: &str| event.get(field).and_then(serde_json::Value::as_str);
        let Some(node) = of("node") else { continue };
        let (state, words) = match (of("type"), of("outcome")) {
            (Some("stage-started"), _) => (CommitState::Running, "runs".to_owned()),
            (Some("stage-finished"), Some(outcome)) => {
                let words = of("message").unwrap_or(outcome);
                (of_outcome(outcome), words.to_owned())
            }
            _ => continue,
        };
        if all.len() < STAGES || all.contains_key(node) {
            all.insert(node.to_owned(), (state, words));
        }
    }
    let stage = |(node, (state, description))| StageState { node, state, description };
    all.into_iter().map(stage).collect()
}

fn of_outcome(outcome: &str) -> CommitState {
    match outcome.to_ascii_lowercase().as_str() {
        "success" | "skipped" => CommitState::Success,
        "unstable" | "failure" | "failed" => CommitState::Failure,
        "aborted" => CommitState::Cancelled,
        _ => CommitState::Error,
    }
}

fn of_build(build: &Build) -> (CommitState, String) {
    match build.state {
        BuildState::Waiting | BuildState::Triggering | BuildState::Queued => {
            (CommitState::Pending, format!("build {} waits", build.number))
        }
        BuildState::Running => (CommitState::Running, format!("build {} runs", build.number)),
        BuildState::Unknown => {
            (CommitState::Running, format!("build {}: its master is lost", build.number))
        }
        BuildState::Finished => {
            let result = build.result.as_deref().unwrap_or("UNKNOWN");
            let took = match (build.started_ms, build.finished_ms) {
                (Some(start), Some(end)) => format!(" after {}", span(end - start)),
                _ => String::new(),
            };
            let words = format!("build {}: {}{took}", build.number, result.to_lowercase());
            (of_outcome(result), words)
        }
    }
}

fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

fn cut(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= most {
        return line.to_owned();
    }
    line.chars().take(most - 1).chain(['…']).collect()
}

/// What is to be told of a build as it stands, and of its stages where they are asked for.
#[must_use]
pub fn messages(
    forges: &Forges,
    build: &Build,
    job: Option<&JobSpec>,
    stages: &[StageState],
) -> Vec<Message> {
    let url = forges.page_of(&build.id);
    let mut all: Vec<Message> = Vec::new();
    let event = match build.state {
        BuildState::Waiting => Some((BuildEvent::Waiting, "waiting")),
        BuildState::Triggering | BuildState::Queued => None,
        BuildState::Running => Some((BuildEvent::Running, "running")),
        BuildState::Unknown => Some((BuildEvent::Unknown, "unknown")),
        BuildState::Finished => Some((BuildEvent::Finished, "finished")),
    };
    for (hook, (kind, event)) in forges.webhooks().filter_map(|hook| Some((hook, event?))) {
        if !hook.wants(kind, &build.job) {
            continue;
        }
        let body = json!({
            "event": event,
            "id": format!("{}/{event}", build.id),
            "page": url,
            "build": {
                "id": build.id,
                "job": build.job,
                "number": build.number,
                "state": build.state,
                "result": build.result.as_ref().filter(|_| build.state == BuildState::Finished),
                "reason": build.reason,
                "master": build.master,
                "url": build.url,
                "cause": build.request.cause,
                "created_ms": build.created_ms,
                "started_ms": build.started_ms,
                "finished_ms": build.finished_ms,
            },
        });
        all.push(Message {
            target: hook.target(),
            item: format!("{}/{event}", build.id),
            lane: build.id.clone(),
            number: build.number,
            body: body.to_string(),
            replaces: false,
        });
    }
    let Some(spec) = job.and_then(|job| job.statuses.as_ref()) else { return all };
    let commit = build.request.parameters.get(&spec.commit).map(|value| event::commit(value));
    let (Some(Ok(commit)), Ok((forge, path))) = (commit, forges.of_repository(&spec.repository))
    else {
        return all;
    };
    if forge.token.is_none() {
        return all;
    }
    let repository = path.strip_suffix(".git").unwrap_or(&path).to_owned();
    let context = spec.context.clone().unwrap_or_else(|| format!("pilotfish/{}", build.job));
    let mut add = |context: String, state: CommitState, description: &str| {
        let context = cut(&context, CONTEXT + 55);
        let item = format!("{repository}@{commit} {context}");
        let status = CommitStatus {
            repository: repository.clone(),
            commit: commit.clone(),
            context,
            state,
            description: cut(description, DESCRIPTION),
            url: url.clone().unwrap_or_default(),
        };
        all.push(Message {
            target: format!("status:{}", forge.name),
            lane: item.clone(),
            item,
            number: build.number,
            body: serde_json::to_string(&status).unwrap_or_default(),
            replaces: true,
        });
    };
    let (state, words) = of_build(build);
    add(context.clone(), state, &words);
    if spec.stages {
        for one in stages {
            // What a build left behind runs no more.
            let is_over = build.state == BuildState::Finished && one.state == CommitState::Running;
            let (state, words) = match is_over {
                true => (CommitState::Error, "its build has ended before it"),
                false => (one.state, one.description.as_str()),
            };
            add(format!("{context}/{}", one.node), state, words);
        }
    }
    all
}
