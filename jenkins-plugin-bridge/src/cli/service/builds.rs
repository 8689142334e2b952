//! `builds`: a list, or one with the times that it was given to masters.

use std::collections::BTreeMap;
use std::fmt::Display;

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Bridge;
use super::{OutputArguments, ServiceArguments, encoded, typed};
use crate::cli::remote::runtime;
use crate::cli::table::{Table, span};
use crate::cli::{FAILED, PASSED, complain};
use crate::error::BridgeError;
use crate::rest::{TestReport, is_failed};
use crate::route::{BuildState, LostPolicy};
use crate::service::TestCounts;

/// Arguments of `builds`.
#[derive(Debug, Args)]
pub struct BuildsArguments {
    /// One build, by its id or as JOB#NUMBER. Without it: a list of the newest.
    build: Option<String>,
    /// Only builds of this job.
    #[arg(long, value_name = "NAME", conflicts_with = "build")]
    job: Option<String>,
    /// Only builds at this master.
    #[arg(long, value_name = "NAME", conflicts_with = "build")]
    master: Option<String>,
    /// Only builds in this state: waiting, triggering, queued, running, unknown, finished, or live for all
    /// that have not ended.
    #[arg(long, value_name = "STATE", conflicts_with = "build")]
    state: Option<String>,
    /// What runs at masters that the bridge did not start, too.
    #[arg(long, conflicts_with = "build")]
    all: bool,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    #[command(flatten)]
    service: ServiceArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// What is shown of a build.
#[derive(Debug, Deserialize)]
pub(super) struct Build {
    pub id: String,
    pub job: String,
    pub number: i64,
    pub state: BuildState,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub result: Option<String>,
    #[serde(default)]
    pub master: Option<String>,
    #[serde(default)]
    pub url: Option<String>,
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    pub on_lost: LostPolicy,
    #[serde(default)]
    pub cause: String,
    pub created_ms: i64,
    #[serde(default)]
    pub started_ms: Option<i64>,
    #[serde(default)]
    pub finished_ms: Option<i64>,
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    #[serde(default)]
    pub outputs: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    pub stages: Vec<Stage>,
}

/// What is shown of a stage.
#[derive(Debug, Deserialize)]
pub(super) struct Stage {
    pub title: String,
    pub depth: usize,
    pub state: String,
    #[serde(default)]
    pub reason: String,
    pub ms: i64,
    #[serde(default)]
    pub tests: Option<TestCounts>,
}

/// What is shown of the time that a build was given to a master.
#[derive(Debug, Deserialize)]
pub(super) struct Attempt {
    pub attempt: i64,
    pub master: String,
    #[serde(default)]
    pub url: Option<String>,
    #[serde(default)]
    pub outcome: String,
    pub created_ms: i64,
    #[serde(default)]
    pub ended_ms: Option<i64>,
}

impl Build {
    /// Its state, or how it ended.
    pub fn word(&self) -> &str {
        self.result.as_deref().unwrap_or(self.state.as_str())
    }

    /// As people name it.
    pub fn name(&self) -> String {
        format!("{}#{}", self.job, self.number)
    }
}

/// Finds a build by its id or as `JOB#NUMBER`.
pub(super) async fn find(bridge: &Bridge, text: &str) -> Result<Value, BridgeError> {
    let id = match text.rsplit_once('#') {
        Some((job, number)) if number.parse::<u32>().is_ok() => {
            let path = format!("/v1/builds?limit=1&job={}&number={number}", encoded(job));
            let found: Vec<Build> = typed(&bridge.get(&path).await?)?;
            let first = found.into_iter().next();
            first.ok_or_else(|| BridgeError::unknown("build", text, []))?.id
        }
        _ => text.to_owned(),
    };
    bridge.get(&format!("/v1/builds/{}", encoded(&id))).await
}

pub(in crate::cli) fn execute(arguments: &BuildsArguments) -> Result<u8, BridgeError> {
    let bridge = Bridge::connect(&arguments.service)?;
    runtime()?.block_on(async {
        if let Some(build) = &arguments.build {
            let answer = find(&bridge, build).await?;
            let shown: Build = typed(&answer)?;
            let people = arguments.output.output == super::Output::Table;
            let left = match people && shown.finished_ms.is_some() {
                true => left(&bridge, &shown.id).await?,
                false => String::new(),
            };
            arguments.output.print(&answer, |_| Ok(one(&shown) + &left))?;
            let result = answer["result"].as_str();
            return Ok(if result.is_none_or(|result| result == "SUCCESS") {
                PASSED
            } else {
                FAILED
            });
        }
        let mut path = format!("/v1/builds?limit={}", arguments.limit);
        for (name, value) in
            [("job", &arguments.job), ("master", &arguments.master), ("state", &arguments.state)]
        {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encoded(value)));
            }
        }
        let builds = bridge.get(&path).await?;
        if builds == json!([]) && arguments.output.output == super::Output::Table {
            complain("no builds of the bridge fit");
        }
        if !arguments.all {
            arguments.output.print(&builds, |answer| table(&typed::<Vec<_>>(answer)?))?;
            return Ok(PASSED);
        }
        let mut path = "/v1/running?".to_owned();
        for (name, value) in [("job", &arguments.job), ("master", &arguments.master)] {
            if let Some(value) = value {
                path.push_str(&format!("{name}={}&", encoded(value)));
            }
        }
        let elsewhere = bridge.get(path.trim_end_matches(['?', '&'])).await?;
        let both = json!({"builds": builds, "not_started_here": elsewhere});
        arguments.output.print(&both, |_| {
            let builds = table(&typed::<Vec<_>>(&builds)?)?;
            Ok(format!("{builds}\n{}", elsewhere_table(&typed(&elsewhere)?)))
        })?;
        Ok(PASSED)
    })
}

/// Builds as a table.
pub(super) fn table(builds: &[Build]) -> Result<String, BridgeError> {
    let now = now_ms();
    let mut table = Table::new(&["BUILD", "STATE", "MASTER", "WAITED", "RAN", "ID", ""]);
    for one in builds {
        let started = one.started_ms.or(one.finished_ms).unwrap_or(now);
        let ran = one.started_ms.map(|start| span(one.finished_ms.unwrap_or(now) - start));
        table.line([
            one.name(),
            one.word().to_owned(),
            one.master.clone().unwrap_or_else(|| "-".to_owned()),
            span(started - one.created_ms),
            ran.unwrap_or_else(|| "-".to_owned()),
            one.id.clone(),
            one.reason.clone(),
        ]);
    }
    Ok(table.text())
}

/// What is shown of builds that the bridge did not start.
#[derive(Debug, Deserialize)]
struct Elsewhere {
    builds: Vec<RunsElsewhere>,
    unseen: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct RunsElsewhere {
    master: String,
    job: String,
    number: i64,
    url: String,
    nodes: Vec<String>,
    #[serde(default)]
    started_ms: Option<i64>,
    #[serde(default)]
    cause: Option<String>,
}

fn elsewhere_table(all: &Elsewhere) -> String {
    let now = now_ms();
    let mut table = Table::new(&["NOT STARTED HERE", "MASTER", "NODES", "RUNS", "BY", "PAGE"]);
    for one in &all.builds {
        table.line([
            format!("{}#{}", one.job, one.number),
            one.master.clone(),
            one.nodes.join(","),
            one.started_ms.map_or_else(|| "-".to_owned(), |start| span(now - start)),
            one.cause.clone().unwrap_or_else(|| "-".to_owned()),
            one.url.clone(),
        ]);
    }
    let mut text = table.text();
    for (master, why) in &all.unseen {
        text.push_str(&format!("{master} cannot be seen: {why}\n"));
    }
    text
}

fn one(build: &Build) -> String {
    let mut text = format!("{} {}\n", build.name(), build.word());
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("  {name:<9} {value}\n"));
        }
    };
    let now = now_ms();
    line("id", &build.id);
    line("why", &build.reason);
    line("cause", &build.cause);
    line("master", build.master.as_deref().unwrap_or_default());
    line("page", build.url.as_deref().unwrap_or_default());
    line("if lost", build.on_lost.as_str());
    line("asked for", &format!("{} ago", span(now - build.created_ms)));
    if let Some(started) = build.started_ms {
        line("waited", &span(started - build.created_ms));
        line("ran", &span(build.finished_ms.unwrap_or(now) - started));
    }
    for (name, value) in &build.parameters {
        line("parameter", &format!("{name}={value}"));
    }
    for (stage, outputs) in &build.outputs {
        for (name, value) in outputs {
            line("output", &format!("{stage}.{name}={value}"));
        }
    }
    let mut stages = Table::new(&["STAGE", "STATE", "TOOK", "TESTS", ""]);
    for one in &build.stages {
        let tests = one.tests.map(|tests| counts(tests.passed, tests.failed, tests.skipped));
        stages.line([
            format!("{}{}", "  ".repeat(one.depth), one.title),
            one.state.clone(),
            if one.ms > 0 { span(one.ms) } else { "-".to_owned() },
            tests.unwrap_or_default(),
            one.reason.clone(),
        ]);
    }
    let mut table = Table::new(&["ATTEMPT", "MASTER", "TOOK", "OUTCOME", "PAGE"]);
    for one in &build.attempts {
        table.line([
            one.attempt.to_string(),
            one.master.clone(),
            span(one.ended_ms.unwrap_or(now) - one.created_ms),
            if one.outcome.is_empty() { "it counts".to_owned() } else { one.outcome.clone() },
            one.url.clone().unwrap_or_default(),
        ]);
    }
    let stages = stages.text();
    let gap = if stages.is_empty() { "" } else { "\n" };
    format!("{text}{}{gap}{stages}", table.text())
}

fn counts(passed: impl Display, failed: impl Display, skipped: impl Display) -> String {
    format!("{passed} passed, {failed} failed, {skipped} skipped")
}

/// Failed test cases, and artefacts, that are named.
const NAMED: usize = 20;

/// What a build that has ended left behind. What there is none of is left out.
async fn left(bridge: &Bridge, id: &str) -> Result<String, BridgeError> {
    let mut text = String::new();
    let id = encoded(id);
    match bridge.get(&format!("/v1/builds/{id}/tests")).await {
        Ok(answer) => {
            let report: TestReport = typed(&answer)?;
            let (passed, failed) = (report.pass_count, report.fail_count);
            text.push_str(&format!("\nTests: {}\n", counts(passed, failed, report.skip_count)));
            let cases = report.suites.iter().flat_map(|suite| &suite.cases);
            let mut table = Table::new(&["FAILED", ""]);
            for case in cases.filter(|case| is_failed(&case.status)).take(NAMED) {
                let why = case.error_details.as_deref().unwrap_or_default();
                let why = why.lines().next().unwrap_or_default();
                table.line([format!("{} {}", case.class_name, case.name), why.to_owned()]);
            }
            text.push_str(&table.text());
        }
        Err(error) => text.push_str(&unread("test results", error)?),
    }
    match bridge.get(&format!("/v1/builds/{id}/artifacts")).await {
        Ok(answer) => {
            let mut table = Table::new(&["ARTEFACT", "BYTES"]);
            let all = answer["artifacts"].as_array().map(Vec::as_slice).unwrap_or_default();
            for one in all.iter().take(NAMED) {
                let path = one["path"].as_str().unwrap_or_default().to_owned();
                let bytes = one["bytes"].as_u64();
                table.line([path, bytes.map_or_else(|| "at its master".into(), |n| n.to_string())]);
            }
            if !all.is_empty() {
                text.push_str(&format!("\n{}", table.text()));
            }
            if all.len() > NAMED {
                text.push_str(&format!("and {} more\n", all.len() - NAMED));
            }
        }
        Err(error) => text.push_str(&unread("artefacts", error)?),
    }
    Ok(text)
}

/// Why something cannot be read; nothing where there is none of it.
fn unread(what: &str, error: BridgeError) -> Result<String, BridgeError> {
    match error {
        BridgeError::Service { status: Some(404), .. } => Ok(String::new()),
        BridgeError::Service { message, .. } => Ok(format!("\n{what} cannot be read: {message}\n")),
        error => Err(error),
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}
