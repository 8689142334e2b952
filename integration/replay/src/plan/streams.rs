//! The recorded agent's streams: which belong together, and what the controller gives back of them.

use std::collections::{HashMap, HashSet};

use super::{Echo, Fate, Group, Request, Task, bytes, sender};
use crate::recording::{Party, Recording};
use crate::wire::{Command, Data};

pub(super) fn groups(
    commands: &HashMap<usize, Command>,
    recording: &Recording,
    requests: &HashMap<i32, Request>,
    tasks: &[Task],
) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut logs: HashMap<&str, usize> = HashMap::new();
    let mut of_sink: HashMap<i32, usize> = HashMap::new();
    let mut order: Vec<&Request> = requests.values().collect();
    order.sort_by_key(|request| request.sent);
    for request in order {
        if request.fate != Fate::Sent {
            continue;
        }
        let path = request.call.path.as_deref().unwrap_or_default();
        let is_log = request.call.callable.ends_with("$WriteLog");
        for sink in &request.call.names.sinks {
            if of_sink.contains_key(sink) {
                continue;
            }
            let group = match (is_log, logs.get(path)) {
                (true, Some(group)) => *group,
                _ => {
                    let task = tasks.iter().find(|task| {
                        if is_log {
                            path.starts_with(&format!("{}/", task.directory))
                        } else {
                            request.call.callable.ends_with("$StartWatching")
                                && wire_text(bytes(recording, request.sent), &task.directory)
                        }
                    });
                    groups.push(Group {
                        title: if is_log {
                            format!("the log {path}")
                        } else {
                            format!("the stream {sink} of {}", request.call.callable)
                        },
                        sinks: Vec::new(),
                        expected: Vec::new(),
                        script: task.map(|task| task.script.clone()),
                    });
                    if is_log {
                        logs.insert(path, groups.len() - 1);
                    }
                    groups.len() - 1
                }
            };
            of_sink.insert(*sink, group);
            if let Some(group) = groups.get_mut(group) {
                group.sinks.push(*sink);
            }
        }
    }
    for (index, _) in recording.entries.iter().enumerate() {
        if sender(recording, index) == Some(Party::Agent)
            && let Some(Command::Data { oid, data: Data::Chunk(bytes), .. }) = commands.get(&index)
            && let Some(group) = of_sink.get(oid).and_then(|group| groups.get_mut(*group))
        {
            group.expected.extend_from_slice(bytes);
        }
    }
    groups
}

pub(super) fn late_sinks(
    commands: &HashMap<usize, Command>,
    recording: &Recording,
    requests: &HashMap<i32, Request>,
) -> HashSet<i32> {
    let mut late = HashSet::new();
    for request in requests.values() {
        let Some(answered) = request.answered else { continue };
        for index in answered..recording.entries.len() {
            if let Some(Command::Data { oid, data: Data::Chunk(_), .. }) = commands.get(&index)
                && sender(recording, index) == Some(Party::Agent)
                && request.call.names.sinks.contains(oid)
            {
                late.insert(*oid);
            }
        }
    }
    late
}

/// Whether the text stands in the stream. Paths are ASCII here, so their bytes are as in the text.
fn wire_text(stream: &[u8], text: &str) -> bool {
    stream.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The controller keeps a stash and gives it back: found where both are the same bytes.
pub(super) fn echoes(
    commands: &HashMap<usize, Command>,
    recording: &Recording,
    groups: &[Group],
) -> HashMap<usize, Echo> {
    let mut sent: HashMap<i32, (Vec<usize>, Vec<u8>)> = HashMap::new();
    for index in 0..recording.entries.len() {
        if sender(recording, index) == Some(Party::Controller)
            && let Some(Command::Data { oid, data: Data::Chunk(bytes), .. }) = commands.get(&index)
        {
            let (chunks, all) = sent.entry(*oid).or_default();
            chunks.push(index);
            all.extend_from_slice(bytes);
        }
    }
    let mut echoes = HashMap::new();
    for (chunks, all) in sent.into_values() {
        // Only archives: a short text may be equal by chance.
        if !all.starts_with(&[0x1f, 0x8b]) {
            continue;
        }
        let Some(group) = groups.iter().position(|group| group.expected == all) else { continue };
        let parts = chunks.len();
        echoes.extend(
            chunks
                .into_iter()
                .enumerate()
                .map(|(part, index)| (index, Echo { group, part, parts })),
        );
    }
    echoes
}
