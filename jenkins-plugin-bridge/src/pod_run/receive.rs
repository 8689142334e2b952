//! The other side of the lines: the tree, the logs, the files, the result.
//!
//! What a build wrote may stand in any line, and a step without a container runs beside the
//! runner: nothing here writes outside of the output directory, and everything has a bound.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;

use super::wire::{Line, MAX_FILES, Message, PROTOCOL, SUITES};
use crate::error::BridgeError;
use crate::plan::{Outcome, Plan};
use crate::run::{
    Event, Progress, RunResult, StageResult, StageSuites, TestTotals, file_name, write_reports,
};

/// The most bytes of the log of a stage, as in a local run with some room for its last words.
const MAX_LOG: u64 = 257 << 20;
/// The most bytes of a file that is brought back, unpacked.
const MAX_FILE: u64 = 4 << 30;
/// The most bytes of the results of tests, unpacked.
const MAX_SUITES: u64 = 256 << 20;
/// How many lines that are no message are kept, for people.
const LAST_WORDS: usize = 20;

/// Takes the lines of a run.
pub(super) struct Receiver {
    progress: Arc<dyn Progress>,
    output: PathBuf,
    /// Ids of what is in the plan: there are no other logs.
    ids: BTreeSet<String>,
    /// Number of the last line.
    last: u64,
    /// How many lines never came.
    missing: u64,
    logs: BTreeMap<String, (BufWriter<File>, u64)>,
    file: Option<(String, Vec<u8>)>,
    /// Bytes of files so far, compressed.
    packed: usize,
    kept: BTreeSet<String>,
    suites: StageSuites,
    ended: Vec<StageResult>,
    words: VecDeque<String>,
    notes: Vec<String>,
    end: Option<End>,
}

/// How a run ended.
#[derive(Debug)]
pub(super) enum End {
    /// As a run does.
    Result(Box<RunResult>),
    /// Nothing was run.
    Problem(String),
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> BridgeError {
    let action = format!("write {}", path.display());
    move |error| BridgeError::io(action, error)
}

/// A path that is below the directory of artefacts.
fn is_artifact(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    parts.next() == Some(Component::Normal("artifacts".as_ref()))
        && parts.clone().next().is_some()
        && parts.all(|one| matches!(one, Component::Normal(_)))
}

impl Receiver {
    /// Takes the lines of a run of this plan.
    pub(super) fn new(
        plan: &Plan,
        output: &Path,
        progress: Arc<dyn Progress>,
    ) -> Result<Self, BridgeError> {
        let logs = output.join("logs");
        std::fs::create_dir_all(&logs).map_err(write_error(&logs))?;
        Ok(Self {
            progress,
            output: output.to_owned(),
            ids: plan.nodes().into_iter().map(|node| node.id().to_owned()).collect(),
            last: 0,
            missing: 0,
            logs: BTreeMap::new(),
            file: None,
            packed: 0,
            kept: BTreeSet::new(),
            suites: Vec::new(),
            ended: Vec::new(),
            words: VecDeque::new(),
            notes: Vec::new(),
            end: None,
        })
    }

    /// Whether the last line has come.
    pub(super) fn is_done(&self) -> bool {
        self.end.is_some()
    }

    /// Whether the runner has spoken.
    pub(super) fn has_begun(&self) -> bool {
        self.last > 0
    }

    /// The last lines that were no messages: what a program says that dies.
    pub(super) fn last_words(&self) -> String {
        self.words.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
    }

    /// Tells people something, now and in the report.
    pub(super) fn note(&mut self, text: String) {
        self.progress.event(&Event::Note(&text));
        self.notes.push(text);
    }

    /// Takes a line.
    ///
    /// # Errors
    /// This machine cannot keep the results.
    pub(super) fn line(&mut self, text: &str) -> Result<(), BridgeError> {
        let Ok(Line { n, message }) = serde_json::from_str::<Line>(text) else {
            if self.words.len() >= LAST_WORDS {
                self.words.pop_front();
            }
            self.words.push_back(text.chars().take(500).collect());
            return Ok(());
        };
        if n <= self.last {
            return Ok(());
        }
        self.missing = self.missing.saturating_add(n - self.last - 1);
        self.last = n;
        self.message(message)
    }

    fn message(&mut self, message: Message) -> Result<(), BridgeError> {
        match &message {
            Message::Output { id, line } | Message::Said { id, line } => self.log(id, line)?,
            Message::Hello { protocol, version } if *protocol != PROTOCOL => {
                self.note(format!(
                    "the image of the pod has version {version} of this program, which speaks \
                     protocol {protocol}, not {PROTOCOL}: take the image of this version"
                ));
            }
            Message::Ended { id, .. } if self.ids.contains(id) && !self.has_ended(id) => {
                let one = self.stage(&message);
                self.ended.extend(one);
            }
            _ => {}
        }
        if let Some(event) = message.event() {
            self.progress.event(&event);
        }
        match message {
            Message::File { path, size, data, last } => self.piece(&path, size, &data, last)?,
            Message::Result { result } => self.end = Some(End::Result(result)),
            Message::Problem { text } => self.end = Some(End::Problem(text)),
            _ => {}
        }
        Ok(())
    }

    fn has_ended(&self, id: &str) -> bool {
        self.ended.iter().any(|one| one.id == id)
    }

    /// What is known of a stage without the result of the run.
    fn stage(&self, message: &Message) -> Option<StageResult> {
        let Message::Ended { id, title, group, outcome, reason, milliseconds, rehearsed } = message
        else {
            return None;
        };
        Some(StageResult {
            id: id.clone(),
            title: title.clone(),
            depth: 0,
            group: *group,
            outcome: *outcome,
            reason: reason.clone(),
            rehearsed: *rehearsed,
            start: 0,
            milliseconds: *milliseconds,
            attempts: 0,
            log: None,
            tests: TestTotals::default(),
            artifacts: Vec::new(),
            outputs: BTreeMap::new(),
        })
    }

    fn log(&mut self, id: &str, line: &str) -> Result<(), BridgeError> {
        if !self.ids.contains(id) {
            return Ok(());
        }
        let path = self.output.join(log_path(id));
        let (file, size) = match self.logs.entry(id.to_owned()) {
            std::collections::btree_map::Entry::Occupied(one) => one.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                let file = File::create(&path).map_err(write_error(&path))?;
                place.insert((BufWriter::new(file), 0))
            }
        };
        *size = size.saturating_add(line.len() as u64 + 1);
        if *size > MAX_LOG {
            return Ok(());
        }
        writeln!(file, "{line}").map_err(write_error(&path))
    }

    fn piece(&mut self, path: &str, size: u64, data: &str, last: bool) -> Result<(), BridgeError> {
        let (open, mut packed) = self.file.take().unwrap_or_else(|| (path.to_owned(), Vec::new()));
        // A piece of another file: some of the first were lost.
        if open != path {
            packed = Vec::new();
        }
        let Ok(bytes) = STANDARD.decode(data) else { return Ok(()) };
        self.packed = self.packed.saturating_add(bytes.len());
        // The pod keeps to the same bound.
        if self.packed > MAX_FILES {
            return Ok(());
        }
        packed.extend(bytes);
        if !last {
            self.file = Some((path.to_owned(), packed));
            return Ok(());
        }
        let mut content = GzDecoder::new(packed.as_slice());
        if path == SUITES {
            let suites = serde_json::from_reader(content.take(MAX_SUITES));
            match suites {
                Ok(suites) => self.suites = suites,
                Err(error) => self.note(format!("the results of tests cannot be read: {error}")),
            }
            return Ok(());
        }
        if !is_artifact(path) {
            return Ok(());
        }
        let target = self.output.join(path);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(write_error(parent))?;
        }
        let mut file = File::create(&target).map_err(write_error(&target))?;
        match io::copy(&mut content.by_ref().take(MAX_FILE), &mut file) {
            Ok(written) if written == size => {
                self.kept.insert(path.to_owned());
            }
            Ok(_) => self.note(format!("{path} came back in part")),
            Err(error) => self.note(format!("{path} came back in part: {error}")),
        }
        Ok(())
    }

    /// Writes the reports. `without` is how a run ended of which no result came, and why.
    ///
    /// # Errors
    /// Those of the reports; [`BridgeError::Input`] where nothing was run.
    pub(super) fn finish(
        mut self,
        mut result: RunResult,
        without: Option<(Outcome, String)>,
    ) -> Result<Finished, BridgeError> {
        for (id, (log, _)) in &mut self.logs {
            log.flush().map_err(write_error(&self.output.join(log_path(id))))?;
        }
        if self.missing > 0 {
            self.note(format!(
                "{} lines of the pod's log never came: the node had thrown them away",
                self.missing
            ));
        }
        match self.end.take() {
            Some(End::Problem(text)) => return Ok(Finished::Refused(text)),
            Some(End::Result(told)) => {
                let runtime = result.runtime;
                result = RunResult { runtime, ..*told };
            }
            None => {
                let (outcome, why) = without.unwrap_or((Outcome::Failure, String::new()));
                result.outcome = outcome;
                result.stages = std::mem::take(&mut self.ended);
                result.notes.push(why);
            }
        }
        for stage in &mut result.stages {
            // Only what is here.
            stage.log = self.logs.contains_key(&stage.id).then(|| log_path(&stage.id));
            stage.artifacts.retain(|path| self.kept.contains(path));
        }
        result.notes.append(&mut self.notes);
        write_reports(&result, &self.suites, &self.output)?;
        Ok(Finished::Run(Box::new(result)))
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Finished {
    /// It was run.
    Run(Box<RunResult>),
    /// Nothing was run, and why.
    Refused(String),
}

fn log_path(id: &str) -> String {
    format!("logs/{}.log", file_name(id))
}

/// The result of a run of which nothing is known yet.
pub(super) fn nothing_yet(
    pipeline: &str,
    digest: &str,
    runtime: String,
    started: String,
    took: Duration,
) -> RunResult {
    RunResult {
        digest: digest.to_owned(),
        pipeline: pipeline.to_owned(),
        outcome: Outcome::Pending,
        started,
        milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        runtime,
        stages: Vec::new(),
        tests: TestTotals::default(),
        notes: Vec::new(),
    }
}
