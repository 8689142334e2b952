//! Durable tasks of a recording: script, launch, and for how long they certainly ran.

use std::collections::HashMap;

use crate::plan::{Request, Task, bytes};
use crate::recording::Recording;
use crate::wire;

/// Finds the durable tasks: control directories whose `script.sh` is written and then launched.
#[must_use]
pub fn find(recording: &Recording, requests: &HashMap<i32, Request>) -> Vec<Task> {
    let mut order: Vec<&Request> = requests.values().collect();
    order.sort_by_key(|request| request.sent);
    let mut tasks = Vec::new();
    for write in &order {
        let Some(directory) = write
            .call
            .path
            .as_deref()
            .filter(|_| write.call.callable == "hudson.FilePath$Write")
            .and_then(|path| path.strip_suffix("/script.sh"))
        else {
            continue;
        };
        let launch = order.iter().find(|request| {
            request.call.callable.ends_with("$RemoteLaunchCallable")
                && texts(recording, request)
                    .iter()
                    .any(|text| text.contains(&format!("{directory}/script.sh")))
        });
        let Some(launch) = launch else { continue };
        let script =
            texts(recording, write).into_iter().find(|text| is_content(recording, write, text));
        tasks.push(Task {
            directory: directory.to_owned(),
            script: script.unwrap_or_default(),
            launch: launch.call.id,
            runs_for: runs_for(recording, &order, launch, directory),
        });
    }
    tasks
}

/// From the moment a launch is asked for, for how long the recorded script was still running, in
/// seconds: up to the last answer that said so, less what the launch itself may have taken.
fn runs_for(recording: &Recording, order: &[&Request], launch: &Request, directory: &str) -> f64 {
    let at = |index: usize| recording.entries.get(index).map_or(0.0, |entry| entry.at);
    let started = launch.answered.map_or(f64::INFINITY, at);
    order
        .iter()
        .filter(|request| is_status(request, directory))
        .filter_map(|request| {
            request
                .answered
                .filter(|answer| still_running(bytes(recording, *answer)))
                .map(|_| request)
        })
        .map(|request| at(request.sent) - started)
        .fold(0.0, f64::max)
}

/// Whether a request asks for the status of the task in this control directory.
#[must_use]
pub fn is_status(request: &Request, directory: &str) -> bool {
    request.call.callable.ends_with("$StatusCheck")
        && request
            .call
            .path
            .as_deref()
            .and_then(|path| path.strip_prefix(directory))
            .is_some_and(|rest| rest.starts_with('/'))
}

/// Whether an answer says that there is no status yet.
#[must_use]
pub fn still_running(answer: &[u8]) -> bool {
    status(answer) == Some(None)
}

/// The status of an answer: none when it is no plain answer, `Some(None)` for a task that runs.
#[must_use]
pub fn status(answer: &[u8]) -> Option<Option<i32>> {
    let outer = wire::parse(answer).ok()?;
    let value = outer.root().ok()?.field("returnValue").ok()?;
    let payload = value.field("response").ok()?.as_bytes()?;
    let inner = wire::parse(payload).ok()?;
    let root = inner.root().ok()?;
    if root.is_null() { Some(None) } else { root.read::<i32>().ok().map(Some) }
}

fn texts(recording: &Recording, request: &Request) -> Vec<String> {
    with_payload(recording, request, |graph| {
        graph.objects().filter_map(|node| node.as_str().map(|text| text.into_owned())).collect()
    })
    .unwrap_or_default()
}

fn is_content(recording: &Recording, request: &Request, text: &str) -> bool {
    with_payload(recording, request, |graph| {
        let content = graph.root().ok()?.field("callable").ok()?.field("content").ok()?;
        Some(content.as_str()? == text)
    })
    .flatten()
    .unwrap_or(false)
}

fn with_payload<T>(
    recording: &Recording,
    request: &Request,
    read: impl FnOnce(&java_object_stream::Graph<'_>) -> T,
) -> Option<T> {
    let outer = wire::parse(bytes(recording, request.sent)).ok()?;
    let payload = wire::parse(outer.root().ok()?.field("request").ok()?.as_bytes()?).ok()?;
    Some(read(&payload))
}
