//! The steps that run: which log is whose.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pilotfish_exec::Record;

use super::guard::Candidate;
use crate::unix;

/// How often steps whose control directory the controller removed are looked for.
const PRUNE_INTERVAL: Duration = Duration::from_secs(10);

/// The most lines kept for one stream.
const MAX_LINES: usize = 20;

/// A step that is about to run.
#[derive(Debug, Clone)]
pub(crate) struct NewStep {
    /// The build, for the agent's own log.
    pub(crate) label: String,
    /// What its processes carry as `HUDSON_COOKIE`.
    pub(crate) cookie: String,
    /// The log file of a durable task; `None` where output goes to a stream.
    pub(crate) log: Option<PathBuf>,
    /// The sibling container that it runs in, whose memory is no business of this one.
    pub(crate) container: Option<String>,
    /// The stage that is measured while it runs in this container.
    pub(crate) measured: Option<Record>,
}

/// Names a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StepId(u64);

/// A step that runs.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) label: String,
    pub(super) cookie: String,
    pub(super) log: Option<PathBuf>,
    pub(super) container: Option<String>,
    pub(super) measured: Option<Record>,
    /// The kernel's count when it began.
    pub(super) oom_kills: u64,
    /// Whether its log has a line about memory.
    pub(super) told: bool,
    /// What its stream gets at its end.
    pub(super) lines: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Steps {
    next: u64,
    running: BTreeMap<StepId, Step>,
    pruned: Option<Instant>,
}

impl Steps {
    pub(super) fn add(&mut self, step: NewStep, oom_kills: u64) -> StepId {
        let NewStep { label, cookie, log, container, measured } = step;
        let id = StepId(self.next);
        self.next += 1;
        let (told, lines) = (false, Vec::new());
        let step = Step { label, cookie, log, container, measured, oom_kills, told, lines };
        self.running.insert(id, step);
        id
    }

    pub(super) fn remove(&mut self, id: StepId) -> Option<Step> {
        self.running.remove(&id)
    }

    /// The durable task with this control directory, which is over.
    pub(super) fn take_task(&mut self, directory: &Path) -> Option<Step> {
        let id = self.running.iter().find_map(|(id, step)| {
            let log = step.log.as_deref()?;
            (log.parent() == Some(directory)).then_some(*id)
        })?;
        self.running.remove(&id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Tells all steps; the cookies of those that are told at their end.
    pub(super) fn tell_all(&mut self, line: &str) -> Vec<String> {
        let mut streams = Vec::new();
        for step in self.running.values_mut() {
            if step.log.is_some() {
                append(step, line);
            } else {
                step.lines.push(line.to_owned());
                streams.push(step.cookie.clone());
            }
        }
        streams
    }

    /// What the steps are called.
    pub(super) fn labels(&self) -> Vec<String> {
        self.running.values().map(|step| step.label.clone()).collect()
    }

    /// The durable tasks.
    pub(super) fn tasks(&self) -> impl Iterator<Item = &Step> {
        self.running.values().filter(|step| step.log.is_some())
    }

    /// Tells the step that a process belongs to; `false` if it belongs to none.
    pub(super) fn tell(&mut self, process: &Candidate, line: &str) -> bool {
        let Some(cookie) = process.cookie.as_deref() else { return false };
        let Some(step) = self.running.values_mut().find(|step| step.cookie == cookie) else {
            return false;
        };
        step.told = true;
        if step.log.is_some() {
            append(step, line);
        } else if step.lines.len() < MAX_LINES {
            step.lines.push(line.to_owned());
        }
        true
    }

    /// Forgets tasks whose control directory is gone, as after an abort; whether there were any.
    pub(super) fn prune(&mut self) -> bool {
        if self.pruned.is_some_and(|last| last.elapsed() < PRUNE_INTERVAL) {
            return false;
        }
        self.pruned = Some(Instant::now());
        let before = self.running.len();
        self.running
            .retain(|_, step| step.log.as_deref().and_then(Path::parent).is_none_or(Path::is_dir));
        self.running.len() != before
    }
}

/// Appends a line to the log of a task.
pub(super) fn append(step: &Step, line: &str) {
    if let Some(log) = &step.log {
        append_to(log, line);
    }
}

impl Step {
    /// How many processes the kernel has ended in its container since it began, of this count.
    pub(super) fn missed(&self, oom_kills: u64) -> u64 {
        if self.container.is_some() { 0 } else { oom_kills.saturating_sub(self.oom_kills) }
    }
}

/// Appends a line to a log that exists. In one write, so that no output of the build comes into it.
pub(crate) fn append_to(log: &Path, line: &str) {
    let opened = unix::plain(OpenOptions::new().append(true)).open(log);
    let written = opened.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    if let Err(error) = written {
        tracing::warn!("the log {} cannot be written to: {error}", log.display());
    }
}
