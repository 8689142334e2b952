//! Builds.

use serde_json::{Value, json};

use super::Level;
use super::jobs;
use super::journal::Line;
use super::queue::actions;
use super::routes::{Asked, cut, needs};
use super::state::{Build, Shared, now_ms};
use crate::shapes::{self, Answer};

/// A build.
pub(super) fn json(shared: &Shared, build: &Build) -> Value {
    let mut whole = shapes::RUNNING.json();
    let now = now_ms();
    whole["actions"] = actions(&build.parameters, "bridge");
    let running = build.result.is_none();
    whole["building"] = Value::from(running);
    whole["inProgress"] = Value::from(running);
    whole["result"] = build.result.clone().map_or(Value::Null, Value::from);
    whole["number"] = Value::from(build.number);
    whole["id"] = Value::from(build.number.to_string());
    whole["queueId"] = Value::from(build.queue_id);
    whole["timestamp"] = Value::from(build.started_ms);
    whole["duration"] =
        Value::from(build.ended_ms.map_or(0, |end| end.saturating_sub(build.started_ms)));
    let name = build.parameters.get("PILOTFISH_BUILD_NUMBER").filter(|one| !one.is_empty());
    let name = name.map_or_else(|| build.number.to_string(), Clone::clone);
    whole["displayName"] = Value::from(format!("#{name}"));
    whole["fullDisplayName"] = Value::from(format!("{} #{name}", build.job.replace('/', " » ")));
    whole["url"] = Value::from(url(shared, build));
    if !running {
        whole["executor"] = Value::Null;
    } else {
        whole["estimatedDuration"] = Value::from(now.saturating_sub(build.started_ms));
    }
    whole
}

/// The address of a build.
pub(super) fn url(shared: &Shared, build: &Build) -> String {
    format!("{}{}{}/", shared.url, jobs::path(&build.job), build.number)
}

pub(super) fn answer(
    shared: &Shared,
    asked: &Asked,
    job: &str,
    number: &str,
    rest: &[&str],
) -> Result<Answer, Answer> {
    let mut master = shared.lock();
    let of_job = (job.to_owned(), 0)..=(job.to_owned(), u64::MAX);
    let number = match number {
        "lastBuild" => master.builds.range(of_job).next_back().map(|(key, _)| key.1),
        "lastCompletedBuild" => master
            .builds
            .range(of_job)
            .rfind(|(_, build)| build.result.is_some())
            .map(|(key, _)| key.1),
        "lastSuccessfulBuild" => master
            .builds
            .range(of_job)
            .rfind(|(_, build)| build.result.as_deref() == Some("SUCCESS"))
            .map(|(key, _)| key.1),
        text => text.parse().ok(),
    };
    let missing = || shapes::MISSING.answer();
    let key = (job.to_owned(), number.ok_or_else(missing)?);
    let build = master.builds.get_mut(&key).ok_or_else(missing)?;
    match (asked.method.as_str(), rest) {
        ("GET", ["api", "json"]) => Ok(cut(asked, shapes::RUNNING.answer(), &json(shared, build))),
        ("GET", ["logText", "progressiveText"]) => {
            let start =
                asked.query.get("start").and_then(|one| one.parse().ok()).unwrap_or(0_usize);
            // A start beyond the end is taken as the beginning, as the live one does.
            let start = if start > build.log.len() { 0 } else { start };
            let mut answer = Answer::empty(200)
                .header("Content-Type", "text/plain;charset=utf-8")
                .header("X-Text-Size", build.log.len().to_string());
            if build.result.is_none() {
                answer = answer.header("X-More-Data", "true");
            }
            answer.body = build.log.get(start..).unwrap_or_default().to_owned();
            Ok(answer)
        }
        ("GET", ["consoleText"]) => {
            let mut answer = Answer::empty(200).header("Content-Type", "text/plain;charset=utf-8");
            answer.body = build.log.clone();
            Ok(answer)
        }
        ("GET", ["wfapi", "describe"]) => Ok(shapes::STAGES.answer().with(&stages(build))),
        ("GET", ["testReport", "api", "json"]) => Err(shapes::NO_TESTS.answer()),
        ("POST", ["stop"]) => {
            needs(asked, Level::Trigger, "hudson.model.Item.Cancel")?;
            if build.result.is_none() {
                build.stopped = true;
                shared.keep(&Line::Build(build));
            }
            let place = url(shared, build);
            drop(master);
            shared.changed.notify_waiters();
            Ok(Answer::empty(302).header("Location", place))
        }
        _ => Err(missing()),
    }
}

fn stages(build: &Build) -> Value {
    let mut whole = shapes::STAGES.json();
    let status = match build.result.as_deref() {
        None => "IN_PROGRESS",
        Some("FAILURE" | "NOT_BUILT") => "FAILED",
        Some(other) => other,
    };
    whole["id"] = Value::from(build.number.to_string());
    whole["name"] = Value::from(format!("#{}", build.number));
    whole["status"] = Value::from(status);
    whole["startTimeMillis"] = Value::from(build.started_ms);
    whole["stages"] = (0..build.stages)
        .map(|stage| {
            json!({"id": (12 + stage).to_string(), "name": format!("stage {stage}"), "execNode": "",
                "status": "SUCCESS", "startTimeMillis": build.started_ms, "durationMillis": 1,
                "pauseDurationMillis": 0})
        })
        .collect();
    whole
}
