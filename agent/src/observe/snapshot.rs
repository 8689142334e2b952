//! The figures of one moment.

use std::collections::{BTreeMap, HashMap, HashSet};

use jenkins_remoting::channel::{Queued, Traffic};
use pilotfish_process::cgroup::MemoryState;
use pilotfish_process::{OwnUsage, ProcessInfo, ProcessState, own_usage, processes};

use crate::callables::Context;
use crate::connection::{Reason, State};
use crate::drain::build_of;

/// How many classes a tier tells apart. What is beyond is counted as [`OTHER`].
pub(super) const MAX_CLASSES: usize = 200;

/// How many running builds are told apart.
pub(super) const MAX_BUILDS: usize = 50;

/// The longest name of a class or build, in characters; the rest is cut off.
pub(super) const MAX_NAME: usize = 200;

/// What names beyond the limits are counted as.
pub(super) const OTHER: &str = "other";

/// Who answered requests, or why nobody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tier {
    Native,
    Jvm,
    /// No JVM answered what one should have.
    Failed,
    Refused,
}

/// Of the processes of a running build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BuildUsage {
    pub(super) processes: usize,
    /// In bytes.
    pub(super) memory: u64,
}

/// Everything that `/metrics` tells.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    pub(super) node: String,
    pub(super) protocol: &'static str,
    pub(super) remoting_version: &'static str,
    pub(super) state: State,
    pub(super) connections: u64,
    pub(super) failures: u64,
    pub(super) lost: Vec<(Reason, u64)>,
    pub(super) draining: bool,
    pub(super) requests: Vec<(Tier, BTreeMap<String, u64>)>,
    pub(super) jvms: u64,
    pub(super) traffic: Traffic,
    pub(super) queued: Queued,
    pub(super) requests_running: usize,
    pub(super) exports: usize,
    pub(super) children: usize,
    pub(super) memory: MemoryState,
    pub(super) builds: BTreeMap<String, BuildUsage>,
    /// Builds that run, those between two steps included.
    pub(super) running: usize,
    pub(super) own: OwnUsage,
    pub(super) spans_dropped: Option<u64>,
}

impl Tier {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Jvm => "jvm",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// Gathers the figures of now. Reads `/proc` and the control group, so it blocks for some milliseconds.
pub(super) fn gather(context: &Context, node: &str, spans_dropped: Option<u64>) -> Snapshot {
    let statistics = &context.statistics;
    let native = statistics.answered().into_iter();
    let native = native.map(|(class, count)| (class.to_owned(), count)).collect();
    let channel = statistics.present();
    let channel = channel.as_ref().filter(|channel| channel.end().is_none());
    let all = processes().unwrap_or_default();
    let with_steps = context.memory.running();
    Snapshot {
        node: node.to_owned(),
        protocol: context.protocol,
        remoting_version: context.remoting_version,
        state: context.connection.state(),
        connections: context.connection.connections(),
        failures: context.connection.failures(),
        lost: context.connection.lost().to_vec(),
        draining: context.drain.is_draining(),
        requests: vec![
            (Tier::Native, bounded(native)),
            (Tier::Jvm, bounded(statistics.relayed())),
            (Tier::Failed, bounded(statistics.failed())),
            (Tier::Refused, bounded(statistics.refused())),
        ],
        jvms: statistics.jvms(),
        traffic: statistics.traffic(),
        queued: channel.map(|channel| channel.queued()).unwrap_or_default(),
        requests_running: channel.map_or(0, |channel| channel.running()),
        exports: channel.map_or(0, |channel| channel.exported()),
        children: descendants(&all, std::process::id()).len(),
        memory: context.memory.state(),
        builds: builds(&all),
        running: context.drain.running(&with_steps).len(),
        own: own_usage(),
        spans_dropped,
    }
}

/// At most [`MAX_CLASSES`] names of at most [`MAX_NAME`] characters: those with the highest counts. The
/// rest is counted as [`OTHER`].
pub(super) fn bounded(counts: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut largest: Vec<(String, u64)> = counts.into_iter().collect();
    largest.sort_by(|(left, of_left), (right, of_right)| {
        of_right.cmp(of_left).then_with(|| left.cmp(right))
    });
    let mut kept = BTreeMap::new();
    for (name, count) in largest {
        let name = cut(&name);
        let name = match kept.len() < MAX_CLASSES || kept.contains_key(name) {
            true if name.is_empty() => "unknown",
            true => name,
            false => OTHER,
        };
        *kept.entry(name.to_owned()).or_default() += count;
    }
    kept
}

fn cut(name: &str) -> &str {
    name.char_indices().nth(MAX_NAME).map_or(name, |(end, _)| &name[..end])
}

/// The processes below `root`, it excluded. Zombies count: nobody has asked for their status.
fn descendants(all: &[ProcessInfo], root: u32) -> HashSet<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(process.identity.pid);
    }
    let mut found = HashSet::new();
    let mut next = vec![root];
    while let Some(parent) = next.pop() {
        for &child in children.get(&parent).into_iter().flatten() {
            if found.insert(child) {
                next.push(child);
            }
        }
    }
    found
}

/// What the processes of builds use. They are known by the variables that Jenkins gives them, as orphans of
/// a build are no descendants of the agent.
fn builds(all: &[ProcessInfo]) -> BTreeMap<String, BuildUsage> {
    let mut builds: BTreeMap<String, BuildUsage> = BTreeMap::new();
    let own = std::process::id();
    for process in all.iter().filter(|one| one.identity.pid != own) {
        if process.state == ProcessState::Zombie {
            continue;
        }
        let Ok(environment) = process.environment() else { continue };
        let pair = |name| Some(format!("{name}={}", environment.get(name)?));
        let variables: Vec<String> =
            ["JOB_NAME", "BUILD_NUMBER"].into_iter().filter_map(pair).collect();
        let Some(name) = build_of(&variables) else { continue };
        let name = cut(&name);
        let name =
            if builds.len() < MAX_BUILDS || builds.contains_key(name) { name } else { OTHER };
        let usage = builds.entry(name.to_owned()).or_default();
        usage.processes += 1;
        usage.memory += process.identity.memory().unwrap_or(0);
    }
    builds
}
