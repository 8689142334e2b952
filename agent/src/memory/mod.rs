//! Out of memory, told where users look: in the log of the build.
//!
//! The memory of a container has a limit. Where a build passes it, one of three things happens, and
//! each is told with the limit and the peak:
//!
//! - **The kernel ends one process** (the usual case). The counter of the control group rises; the
//!   process is found by what was listed a moment before, else every step that fails while the
//!   counter rose is told that it did.
//! - **The kernel would end all processes of the container**, the agent included, because
//!   `memory.oom.group` is 1, as current kubelets set it on control groups of version 2. The agent
//!   then watches usage and pressure, and ends the largest process of the builds itself a little
//!   below the limit ([`guard`]).
//! - **The whole container was ended all the same.** The next agent with the same work directory
//!   finds the file of the running steps ([`ledger`]), writes into their logs what happened, and
//!   gives those that died an exit status, so that their builds end at once and not with a timeout.
//!
//! A thread of its own looks at the control group: it must not wait for anything else.

mod guard;
mod ledger;
mod margin;
mod report;
mod steps;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use pilotfish_exec::Record;
use pilotfish_process::ExitStatus;
use pilotfish_process::cgroup::{MemoryGroup, MemoryState};

pub use margin::{MARGIN_FORMATS, Margin};
pub(crate) use steps::{NewStep, append_to};

pub(crate) use ledger::give_status;

use guard::Guard;
use ledger::Ledger;
use report::Kill;
pub(crate) use steps::StepId;
use steps::Steps;

/// The exit status that Unix has for a process ended by SIGKILL.
pub(crate) const KILLED: i32 = 128 + 9;

/// Which log files may be written into at the start of the agent; see [`Memory::recover`].
pub type MayWrite<'a> = &'a dyn Fn(&Path) -> bool;

/// Whether processes with this cookie run in a sibling container; see [`Memory::recover`].
pub type RunsIn<'a> = &'a dyn Fn(&str, &str) -> Result<bool, String>;

/// The memory of the container and the steps that use it.
#[derive(Debug)]
pub struct Memory {
    group: Option<MemoryGroup>,
    guard: Option<Guard>,
    ledger: Option<Ledger>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    steps: Steps,
    /// The kernel's count when it was last looked at.
    oom_kills: u64,
    /// What was listed when memory was last short, largest first.
    listed: Vec<guard::Candidate>,
    /// The state that was last written to the file of the next life.
    written: MemoryState,
}

impl Memory {
    /// For an agent whose container has this group. `internal` is the directory for the file that
    /// the next life reads, if there is one.
    #[must_use]
    pub fn new(group: Option<MemoryGroup>, margin: Margin, internal: Option<&Path>) -> Arc<Self> {
        let guard = group.as_ref().filter(|_| margin != Margin::Off).map(|_| Guard::new(margin));
        let state = group.as_ref().map(MemoryGroup::state).unwrap_or_default();
        let inner =
            Inner { oom_kills: state.oom_kills.unwrap_or(0), written: state, ..Inner::default() };
        Arc::new(Self { group, guard, ledger: internal.map(Ledger::new), inner: Mutex::new(inner) })
    }

    /// One that knows of no group and keeps no file.
    #[must_use]
    pub fn unknown() -> Arc<Self> {
        Self::new(None, Margin::Off, None)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The facts of now.
    #[must_use]
    pub fn state(&self) -> MemoryState {
        self.group.as_ref().map(MemoryGroup::state).unwrap_or_default()
    }

    /// Starts the thread that looks at the control group. It ends once nobody else holds this.
    pub fn watch(self: &Arc<Self>) {
        let Some(group) = self.group.clone() else { return };
        if self.guards() {
            let limit = self.state().limit;
            tracing::info!(
                "the kernel would end the agent together with a build that uses too much memory \
                 (memory.oom.group is 1); the agent ends the build's largest process before that, {} \
                 below the limit",
                limit.map_or_else(String::new, |limit| report::size(self.margin(limit)))
            );
        }
        let weak = Arc::downgrade(self);
        let started = std::thread::Builder::new()
            .name("memory".to_owned())
            .spawn(move || look_until_gone(&weak, &group));
        if let Err(error) = started {
            tracing::warn!("memory is not watched, as no thread can be started: {error}");
        }
    }

    fn guards(&self) -> bool {
        self.guard.is_some() && self.group.as_ref().is_some_and(MemoryGroup::ends_as_one)
    }

    fn margin(&self, limit: u64) -> u64 {
        self.guard.as_ref().map_or(0, |guard| guard.margin.bytes(limit))
    }

    /// A step begins.
    pub(crate) fn begin(&self, step: NewStep) -> StepId {
        let mut inner = self.inner();
        self.catch_up(&mut inner);
        let oom_kills = inner.oom_kills;
        let id = inner.steps.add(step, oom_kills);
        self.write_ledger(&mut inner);
        id
    }

    /// The process of a step whose output goes to a stream has ended: what to add to the stream.
    pub(crate) fn stream_ended(&self, id: StepId, status: ExitStatus) -> Vec<String> {
        let mut inner = self.inner();
        self.catch_up(&mut inner);
        let Some(mut step) = inner.steps.remove(id) else { return Vec::new() };
        let failed = !matches!(status, ExitStatus::Exited(0));
        let missed = step.missed(inner.oom_kills);
        if failed && step.lines.is_empty() && missed > 0 {
            step.lines.push(report::unknown_process(missed, &self.state()));
        }
        step.lines
    }

    /// A durable step has an exit status: its log gets what it was not told yet, before anybody reads
    /// the rest of it. `directory` is its control directory. May block.
    pub(crate) fn task_ended(&self, directory: &Path, status: i32) {
        let mut inner = self.inner();
        self.catch_up(&mut inner);
        let Some(step) = inner.steps.take_task(directory) else { return };
        let missed = step.missed(inner.oom_kills);
        if status != 0 && !step.told && missed > 0 {
            steps::append(&step, &report::unknown_process(missed, &self.state()));
        }
        self.write_ledger(&mut inner);
    }

    /// The builds of which a step runs, by the label of the step; one may come several times. May block.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        let mut inner = self.inner();
        if inner.steps.prune() {
            self.write_ledger(&mut inner);
        }
        inner.steps.labels()
    }

    /// Writes a line into the log of every durable step that runs, and keeps it for the end of the others,
    /// whose output is a stream: their cookies. May block.
    pub fn tell_running(&self, line: &str) -> Vec<String> {
        self.inner().steps.tell_all(line)
    }

    /// Takes note of what the kernel ended since the last look.
    fn catch_up(&self, inner: &mut Inner) {
        let Some(group) = &self.group else { return };
        let state = group.state();
        let Some(count) = state.oom_kills.filter(|count| *count > inner.oom_kills) else { return };
        let more = usize::try_from(count - inner.oom_kills).unwrap_or(usize::MAX);
        inner.oom_kills = count;
        tracing::warn!("{}", report::unknown_process(more as u64, &state));
        let gone: Vec<guard::Candidate> = {
            let (gone, rest) = std::mem::take(&mut inner.listed)
                .into_iter()
                .partition(|one| !one.identity.is_alive());
            inner.listed = rest;
            gone
        };
        for process in gone.into_iter().take(more) {
            inner.steps.tell(&process, &report::killed(Kill::ByKernel, &process, &state));
        }
    }

    /// One look of the thread; how long to wait for the next.
    fn look(&self, group: &MemoryGroup, window: &mut guard::Window) -> Duration {
        let state = group.state();
        {
            let mut inner = self.inner();
            self.catch_up(&mut inner);
            if inner.steps.prune() {
                self.write_ledger(&mut inner);
            }
            if inner.steps.is_empty() {
                return guard::IDLE;
            }
        }
        let (Some(limit), Some(held)) = (state.limit, state.held) else { return guard::IDLE };
        let guard = self.guard.as_ref().filter(|_| group.ends_as_one());
        let reason =
            guard.and_then(|guard| window.must_act(guard, limit, held, || group.pressure()));
        if reason.is_some() || (guard::is_short(limit, held) && window.list_is_old()) {
            self.list(group, state);
        }
        if let Some(reason) = reason
            && let Some(process) = self.choose()
        {
            self.end(&process, reason, &state);
            return guard::SHORTEST;
        }
        match guard {
            Some(guard) => guard::until_next(limit, held, guard.margin.bytes(limit)),
            None => guard::until_next(limit, held, 0).max(guard::SHORTEST_WITHOUT_GUARD),
        }
    }

    /// Lists the processes of builds. Not while anybody waits for the lock: it takes long where there
    /// are many.
    fn list(&self, group: &MemoryGroup, state: MemoryState) {
        let known = self.inner().listed.clone();
        let listed = guard::list(group, &known);
        let now = group.state().oom_kills.unwrap_or(0);
        let mut inner = self.inner();
        // What the kernel ended meanwhile stays in the list until it is told.
        if now == inner.oom_kills {
            inner.listed = listed;
        }
        self.sample(&mut inner, state);
    }

    fn choose(&self) -> Option<guard::Candidate> {
        guard::choose(&self.inner().listed, &guard::spared()).cloned()
    }

    /// Ends a process before the kernel ends all.
    fn end(&self, process: &guard::Candidate, reason: guard::Reason, state: &MemoryState) {
        // Told first: what its parent writes about its end comes after.
        let line = report::killed(Kill::ByAgent(reason), process, state);
        let told = self.inner().steps.tell(process, &line);
        tracing::warn!(told, "{line}");
        match process.identity.kill() {
            Ok(true) => guard::wait_for_end(process.identity),
            Ok(false) => {}
            Err(error) => tracing::warn!(
                "process {} ({}) cannot be ended: {error}",
                process.identity.pid,
                process.name
            ),
        }
        self.inner().listed.retain(|one| one.identity != process.identity);
    }

    /// Keeps what the next life would say, where that has changed much since it was written.
    fn sample(&self, inner: &mut Inner, state: MemoryState) {
        let usage = |state: &MemoryState| state.usage.unwrap_or(0);
        let (now, then) = (usage(&state), usage(&inner.written));
        if now.abs_diff(then) > now / 20 {
            self.write_ledger(inner);
        }
    }

    fn write_ledger(&self, inner: &mut Inner) {
        let Some(ledger) = &self.ledger else { return };
        inner.written = self.state();
        ledger.write(inner.steps.tasks(), &inner.written, self.group.as_ref());
    }

    /// Reads what the last life left: tells the steps that died with it, and takes over those that
    /// still run. `may_write` says whether a log lies where the controller may write, `runs_in` what became of
    /// steps in other containers. The logs of those that still run in this container, and what of their
    /// stages is measured since when. May block.
    pub fn recover(&self, may_write: MayWrite<'_>, runs_in: RunsIn<'_>) -> Vec<(PathBuf, Record)> {
        let mut measured = Vec::new();
        let Some(ledger) = &self.ledger else { return measured };
        let Some(past) = ledger.read() else { return measured };
        let mut inner = self.inner();
        for task in
            past.steps.iter().filter(|task| ledger::is_log(&task.log) && may_write(&task.log))
        {
            match ledger::fate(task, runs_in) {
                ledger::Fate::Over => {}
                ledger::Fate::Running => {
                    tracing::info!("{} still runs and is served again", task.label);
                    let (step, oom_kills) = (task.clone(), inner.oom_kills);
                    let ledger::PastStep { label, cookie, log, container, measured: record } = step;
                    measured.extend(record.clone().map(|mut record| {
                        // Whatever ran beside it when this was written; what had come and gone by then is
                        // not known.
                        record.shared |= past.runs_beside(&record.stage);
                        (log.clone(), record)
                    }));
                    let (log, measured) = (Some(log), record);
                    let step = NewStep { label, cookie, log, container, measured };
                    inner.steps.add(step, oom_kills);
                }
                ledger::Fate::Died(reason) => {
                    let line = reason.unwrap_or_else(|| past.what_happened(self.group.as_ref()));
                    tracing::warn!("{}: {line}", task.label);
                    append_to(&task.log, &line);
                    give_status(&task.log, KILLED);
                }
            }
        }
        self.write_ledger(&mut inner);
        measured
    }
}

fn look_until_gone(memory: &Weak<Memory>, group: &MemoryGroup) {
    let mut window = guard::Window::new(Instant::now());
    while let Some(memory) = memory.upgrade() {
        let pause = memory.look(group, &mut window);
        drop(memory);
        std::thread::sleep(pause);
    }
}

/// The log of a durable task in a command that starts one (`BourneShellScript.launchWithCookie`), made such
/// that the agent can write into it as well.
///
/// The wrapper script opens the log, which is new, for writing from its beginning, and goes on from where it
/// has got to itself: it would overwrite a line of somebody else's that the controller has read already, and
/// as much of the build's output would be missing in the build log. So it is made to append. The plugin's own
/// wrapper program (`-log=`) cannot be told to, and its tasks have no log here.
pub(crate) fn task_log(arguments: &mut [String]) -> Option<PathBuf> {
    const LOG: &str = "/jenkins-log.txt";
    arguments.iter_mut().find_map(|argument| {
        let end = argument.find(LOG)? + LOG.len();
        let start = argument[..end].rfind('\'')? + 1;
        let path = PathBuf::from(&argument[start..end]);
        let (from, to) = (format!("> '{}'", path.display()), format!(">> '{}'", path.display()));
        let is_new = argument.matches(&from).count() == 1 && !argument.contains(&to);
        if !ledger::is_log(&path) || !is_new {
            return None;
        }
        *argument = argument.replace(&from, &to);
        Some(path)
    })
}

#[cfg(test)]
mod tests;
