//! When to end a process, and which one.
//!
//! **When**: memory that the kernel cannot give back by dropping caches of files comes within the
//! margin of the limit; or within twice the margin while all processes of the container wait for
//! memory for more than a fifth of the time (thrashing).
//!
//! **Which**: the largest process of the builds, by its memory that only its end gives back. Of the
//! builds is what carries the `HUDSON_COOKIE` of a launch or descends from the agent. So the JVM that
//! serves what is not native can be chosen as well: it is the agent's own, is started again on
//! demand, and is only the largest if it is the cause. Never chosen are the agent itself and those it
//! descends from. Of two of the same size the younger one goes.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use pilotfish_process::cgroup::{MemoryGroup, Pressure};
use pilotfish_process::{ProcessIdentity, ProcessInfo, ProcessState, processes};

use super::Margin;

/// Pauses between looks: while no step runs; the shortest; the shortest where nothing is to be ended.
pub(super) const IDLE: Duration = Duration::from_secs(2);
pub(super) const SHORTEST: Duration = Duration::from_millis(10);
pub(super) const SHORTEST_WITHOUT_GUARD: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(1);

/// How fast builds are taken to use memory up, in bytes a millisecond: about what the kernel can
/// clear and hand out to all processors of a small machine.
const FASTEST: u64 = 4 << 20;

/// How long the end of a process is waited for before the next is looked at.
const END_WAIT: Duration = Duration::from_secs(1);

/// How often processes are listed while memory is short.
const LIST_INTERVAL: Duration = Duration::from_millis(200);

/// The time over which waiting for memory is measured.
const PRESSURE_WINDOW: Duration = Duration::from_millis(500);

/// The agent's guard.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) margin: Margin,
}

impl Guard {
    pub(super) fn new(margin: Margin) -> Self {
        Self { margin }
    }
}

/// Why a process is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Usage came close to the limit.
    Usage,
    /// Processes wait for memory most of the time.
    Pressure,
}

/// A process that may be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) identity: ProcessIdentity,
    pub(super) name: String,
    /// In bytes.
    pub(super) memory: u64,
    /// The launch that it comes from.
    pub(super) cookie: Option<String>,
}

/// Pressure at the beginning of a window of time.
#[derive(Debug)]
pub(super) struct Window {
    began: Instant,
    full: Option<u64>,
    /// When processes were listed.
    listed: Option<Instant>,
}

impl Window {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, full: None, listed: None }
    }

    /// Whether the list of processes is to be made again; it is then, so this starts anew.
    pub(super) fn list_is_old(&mut self) -> bool {
        let old = self.listed.is_none_or(|listed| listed.elapsed() >= LIST_INTERVAL);
        if old {
            self.listed = Some(Instant::now());
        }
        old
    }

    /// Whether to end a process now. Amounts are bytes.
    pub(super) fn must_act(
        &mut self,
        guard: &Guard,
        limit: u64,
        held: u64,
        pressure: impl Fn() -> Option<Pressure>,
    ) -> Option<Reason> {
        let margin = guard.margin.bytes(limit);
        if held >= limit.saturating_sub(margin) {
            return Some(Reason::Usage);
        }
        if held < limit.saturating_sub(margin.saturating_mul(2)) {
            self.full = None;
            return None;
        }
        let full = pressure()?.full;
        let elapsed = self.began.elapsed();
        let Some(before) = self.full else {
            (self.began, self.full) = (Instant::now(), Some(full));
            return None;
        };
        if elapsed < PRESSURE_WINDOW {
            return None;
        }
        (self.began, self.full) = (Instant::now(), Some(full));
        let waited = Duration::from_micros(full.saturating_sub(before));
        (waited > elapsed / 5).then_some(Reason::Pressure)
    }
}

/// Whether processes are worth listing: the limit may be reached soon.
pub(super) fn is_short(limit: u64, held: u64) -> bool {
    held > limit / 10 * 6
}

/// The pause before the next look: half of what the fastest build needs to get to the margin.
pub(super) fn until_next(limit: u64, held: u64, margin: u64) -> Duration {
    let room = limit.saturating_sub(margin).saturating_sub(held);
    Duration::from_millis(room / FASTEST / 2).clamp(SHORTEST, LONGEST)
}

/// The processes of builds in a group, largest first. `known` are those of the last list: the
/// environment of a process is read once.
pub(super) fn list(group: &MemoryGroup, known: &[Candidate]) -> Vec<Candidate> {
    let Ok(table) = processes() else { return Vec::new() };
    let members: HashSet<u32> = group.processes().into_iter().collect();
    let known: HashMap<ProcessIdentity, &Candidate> =
        known.iter().map(|one| (one.identity, one)).collect();
    let descendants = descendants(&table, std::process::id());
    let mut found: Vec<Candidate> = table
        .iter()
        .filter(|process| process.state == ProcessState::Alive)
        .filter(|process| members.contains(&process.identity.pid))
        .filter_map(|process| {
            let cookie = match known.get(&process.identity) {
                Some(candidate) => candidate.cookie.clone(),
                None => cookie_of(process),
            };
            let ours = cookie.is_some() || descendants.contains(&process.identity.pid);
            ours.then(|| Candidate {
                identity: process.identity,
                name: process.name.clone(),
                memory: process.identity.memory().unwrap_or(0),
                cookie,
            })
        })
        .collect();
    found.sort_by_key(|one| std::cmp::Reverse((one.memory, one.identity.start_time)));
    found
}

fn cookie_of(process: &ProcessInfo) -> Option<String> {
    process.environment().ok()?.get("HUDSON_COOKIE").map(str::to_owned)
}

fn descendants(table: &[ProcessInfo], root: u32) -> HashSet<u32> {
    let mut found = HashSet::new();
    let mut pending = vec![root];
    while let Some(parent) = pending.pop() {
        let children = table.iter().filter(|process| process.parent == parent);
        pending.extend(
            children.map(|process| process.identity.pid).filter(|child| found.insert(*child)),
        );
    }
    found.remove(&root);
    found
}

/// This process and those it descends from.
pub(super) fn spared() -> HashSet<u32> {
    let mut spared = HashSet::from([std::process::id()]);
    let Ok(table) = processes() else { return spared };
    let parents: HashMap<u32, u32> =
        table.iter().map(|process| (process.identity.pid, process.parent)).collect();
    let mut at = std::process::id();
    while let Some(&parent) = parents.get(&at) {
        if !spared.insert(parent) {
            break;
        }
        at = parent;
    }
    spared
}

/// The one to end.
pub(super) fn choose<'a>(
    candidates: &'a [Candidate],
    spared: &HashSet<u32>,
) -> Option<&'a Candidate> {
    candidates
        .iter()
        .filter(|one| !spared.contains(&one.identity.pid))
        .max_by_key(|one| (one.memory, one.identity.start_time))
}

/// Waits until the memory of a process that was ended is given back.
pub(super) fn wait_for_end(identity: ProcessIdentity) {
    let deadline = Instant::now() + END_WAIT;
    while identity.is_alive() && Instant::now() < deadline {
        std::thread::sleep(SHORTEST / 2);
    }
}
