//! The file that tells the next life which durable steps ran, and how memory was.
//!
//! One line a fact, words separated by tabs, with `%XX` for bytes that would break that. It is
//! replaced as a whole, and not synced to the disk: it must outlive the container, not the machine.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pilotfish_exec::{MAX_STAGE_NAME, Record, Stage};
use pilotfish_process::cgroup::{MemoryGroup, MemoryState};
use pilotfish_process::{ProcessIdentity, ProcessState, processes};

use super::steps::Step;
use super::{RunsIn, report};

const FILE: &str = "running-steps";
const HEADER: &str = "pilotfish running steps 1";

/// The most read of it, in bytes, and the most steps.
const MAX_BYTES: u64 = 4 << 20;
const MAX_STEPS: usize = 10_000;

/// A durable task's files.
const LOG: &str = "jenkins-log.txt";
const RESULT: &str = "jenkins-result.txt";

/// Where the file is.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
}

/// A step of the last life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PastStep {
    pub(super) label: String,
    pub(super) cookie: String,
    pub(super) log: PathBuf,
    /// The sibling container that it ran in.
    pub(super) container: Option<String>,
    /// The stage that was measured.
    pub(super) measured: Option<Record>,
}

/// What the last life left.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Past {
    boot: String,
    agent: Option<ProcessIdentity>,
    group: String,
    state: MemoryState,
    pub(super) steps: Vec<PastStep>,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has an exit status, or the controller removed it.
    Over,
    /// Processes of it are there.
    Running,
    /// None of them is, and there is no exit status: why, where that is not the end of this container.
    Died(Option<String>),
}

impl Ledger {
    pub(super) fn new(internal: &Path) -> Self {
        Self { path: internal.join(FILE) }
    }

    pub(super) fn write<'a>(
        &self,
        tasks: impl Iterator<Item = &'a Step>,
        state: &MemoryState,
        group: Option<&MemoryGroup>,
    ) {
        let mut past =
            Past { boot: boot(), agent: own_identity(), state: *state, ..Past::default() };
        past.group = group.map(|group| group.directory().display().to_string()).unwrap_or_default();
        past.steps = tasks
            .filter_map(|step| {
                let log = step.log.clone()?;
                let Step { label, cookie, container, measured, .. } = step.clone();
                Some(PastStep { label, cookie, log, container, measured })
            })
            .collect();
        let result = if past.steps.is_empty() {
            fs::remove_file(&self.path)
        } else {
            let new = self.path.with_extension("new");
            fs::write(&new, past.to_text()).and_then(|()| fs::rename(&new, &self.path))
        };
        match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => tracing::warn!(
                "the running steps cannot be noted in {}: {error}; if the container is killed now, the next agent \
                 cannot tell its builds",
                self.path.display()
            ),
            _ => {}
        }
    }

    /// What the last life left; `None` if nothing, or if that life has not ended.
    pub(super) fn read(&self) -> Option<Past> {
        let metadata = fs::symlink_metadata(&self.path).ok()?;
        if !metadata.is_file() || metadata.len() > MAX_BYTES {
            tracing::warn!("{} is no list of running steps and is ignored", self.path.display());
            return None;
        }
        let text = fs::read_to_string(&self.path).ok()?;
        let Some(past) = Past::parse(&text) else {
            tracing::warn!("{} is no list of running steps and is ignored", self.path.display());
            return None;
        };
        if let Some(agent) = past.agent
            && past.boot == boot()
            && agent.pid != std::process::id()
            && agent.is_alive()
        {
            tracing::warn!(
                "another agent, process {}, uses this work directory: give each agent its own",
                agent.pid
            );
            return None;
        }
        Some(past)
    }
}

impl Past {
    fn to_text(&self) -> String {
        let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let (pid, start) = self.agent.map_or((0, 0), |agent| (agent.pid, agent.start_time));
        let MemoryState { limit, usage, held, peak, oom_kills } = self.state;
        let mut text = format!(
            "{HEADER}\nagent\t{}\t{pid}\t{start}\nmemory\t{}\t{}\t{}\t{}\t{}\t{}\n",
            escape(&self.boot),
            escape(&self.group),
            number(limit),
            number(usage),
            number(held),
            number(peak),
            number(oom_kills)
        );
        for PastStep { label, cookie, log, container, measured } in &self.steps {
            let log = log.to_string_lossy();
            let _ = write!(text, "step\t{}\t{}\t{}", escape(label), escape(cookie), escape(&log));
            if let Some(container) = container {
                let _ = write!(text, "\t{}", escape(container));
            } else if let Some(Record { stage, at_ms, cpu_ms, peak_before, shared }) = measured {
                let (build, stage) = (escape(&stage.build), escape(&stage.stage));
                let peak = number(*peak_before);
                let shared = u8::from(*shared);
                let _ = write!(text, "\t{build}\t{stage}\t{at_ms}\t{cpu_ms}\t{peak}\t{shared}");
            }
            text.push('\n');
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return None;
        }
        let mut past = Self::default();
        for line in lines.take(MAX_STEPS) {
            let words: Vec<String> = line.split('\t').map(unescape).collect();
            let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
            match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["agent", boot, pid, start] => {
                    past.boot = (*boot).to_owned();
                    past.agent = pid
                        .parse()
                        .ok()
                        .zip(start.parse().ok())
                        .map(|(pid, start_time)| ProcessIdentity { pid, start_time });
                }
                ["memory", group, ..] => {
                    past.group = (*group).to_owned();
                    past.state = MemoryState {
                        limit: number(2),
                        usage: number(3),
                        held: number(4),
                        peak: number(5),
                        oom_kills: number(6),
                    };
                }
                ["step", label, cookie, log, rest @ ..] => {
                    let (container, measured) = match rest {
                        [] => (None, None),
                        [container] => (Some((*container).to_owned()), None),
                        measured => (None, Some(record(measured)?)),
                    };
                    past.steps.push(PastStep {
                        label: (*label).to_owned(),
                        cookie: (*cookie).to_owned(),
                        log: PathBuf::from(log),
                        container,
                        measured,
                    });
                }
                _ => return None,
            }
        }
        Some(past)
    }

    /// Whether something else than this stage ran in the agent's container.
    pub(super) fn runs_beside(&self, stage: &Stage) -> bool {
        let here = self.steps.iter().filter(|step| step.container.is_none());
        let mut stages = here.map(|step| step.measured.as_ref().map(|record| &record.stage));
        stages.any(|other| other != Some(stage))
    }

    /// The line for the steps that died.
    pub(super) fn what_happened(&self, group: Option<&MemoryGroup>) -> String {
        // The same group still counts what happened in the last life.
        let same = group.is_some_and(|group| {
            self.boot == boot() && group.directory().to_string_lossy() == self.group.as_str()
        });
        let counted = group.and_then(|group| group.state().oom_kills);
        let certain =
            same && counted.zip(self.state.oom_kills).is_some_and(|(now, then)| now > then);
        // A container that restarts has a new group: what was last seen is all there is.
        let likely = self
            .state
            .limit
            .zip(self.state.held)
            .is_some_and(|(limit, held)| held > limit / 10 * 8);
        report::container_killed(&self.state, certain, likely)
    }
}

/// Whether a path is the log of a durable task, which is all that is ever written to.
pub(super) fn is_log(path: &Path) -> bool {
    let directory = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    path.is_absolute()
        && path.file_name().is_some_and(|name| name == LOG)
        && directory.is_some_and(|name| name.starts_with("durable-"))
        && !path.components().any(|part| part.as_os_str() == "..")
}

/// What became of a step of the last life.
pub(super) fn fate(step: &PastStep, runs_in: RunsIn<'_>) -> Fate {
    let Some(directory) = step.log.parent().filter(|directory| directory.is_dir()) else {
        return Fate::Over;
    };
    if directory.join(RESULT).exists() {
        return Fate::Over;
    }
    if let Some(container) = &step.container {
        return match runs_in(container, &step.cookie) {
            Ok(true) => Fate::Running,
            Ok(false) => Fate::Died(Some(report::gone_with_agent(container))),
            Err(problem) => Fate::Died(Some(format!("[pilotfish] {problem}"))),
        };
    }
    // Without a list of processes nothing is known: better to wait for its own sign of life.
    let Ok(table) = processes() else { return Fate::Running };
    let runs = table.iter().any(|process| {
        process.state == ProcessState::Alive
            && process
                .environment()
                .is_ok_and(|environment| environment.get("HUDSON_COOKIE") == Some(&step.cookie))
    });
    if runs { Fate::Running } else { Fate::Died(None) }
}

/// Gives a step the status that its wrapper script could not write any more.
pub(crate) fn give_status(log: &Path, status: i32) {
    let result = log.with_file_name(RESULT);
    let new = log.with_file_name("jenkins-result.txt.tmp");
    let written = fs::write(&new, format!("{status}\n")).and_then(|()| fs::rename(&new, &result));
    if let Err(error) = written {
        tracing::warn!("{} cannot be written: {error}", result.display());
    }
}

fn own_identity() -> Option<ProcessIdentity> {
    let own = std::process::id();
    processes().ok()?.into_iter().map(|one| one.identity).find(|one| one.pid == own)
}

/// Names the run of the machine: process numbers and start times mean nothing in another.
fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// The words of a stage that was measured.
fn record(words: &[&str]) -> Option<Record> {
    let [build, stage, at, cpu, peak, shared] = words else { return None };
    if build.len().max(stage.len()) > MAX_STAGE_NAME {
        return None;
    }
    Some(Record {
        stage: Stage { build: (*build).to_owned(), stage: (*stage).to_owned() },
        at_ms: at.parse().ok()?,
        cpu_ms: cpu.parse().ok()?,
        peak_before: peak.parse().ok(),
        shared: *shared != "0",
    })
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || character == '%' {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                let _ = write!(escaped, "%{byte:02X}");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = tail
            .get(..2)
            .filter(|_| byte == b'%')
            .and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
