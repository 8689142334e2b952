//! Walking a plan: sequences, branches, conditions, results.

mod record;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use time::OffsetDateTime;

use super::cancel::Cancel;
use super::junit::TestSuite;
use super::limit::within;
use super::progress::{Event, Progress};
use super::runtime::Runtime;
use super::{RunOptions, RunResult, StageResult, StageSuites, preflight};
use crate::error::{BridgeError, Problem};
use crate::plan::evaluate::decide;
use crate::plan::{DecisionState, Outcome, Plan, PlanDocument, PlanGroup, PlanNode, RunFacts};

/// The most changed files that a checkout may tell.
const MAX_CHANGED: usize = 100_000;

pub(crate) use record::write_reports;

pub(super) struct Executor<'a> {
    pub plan: &'a Plan,
    pub digest: String,
    pub options: &'a RunOptions,
    pub runtime: Runtime,
    pub workspace: PathBuf,
    pub output: PathBuf,
    /// Directory in which stages leave facts about the build.
    pub facts: PathBuf,
    pub progress: Arc<dyn Progress>,
    started: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    results: BTreeMap<String, Outcome>,
    /// Outputs by name of the stage.
    outputs: BTreeMap<String, BTreeMap<String, String>>,
    stages: BTreeMap<String, StageResult>,
    suites: Vec<(String, Vec<TestSuite>)>,
    changed_files: Option<Vec<String>>,
    locks: BTreeMap<String, Arc<tokio::sync::Mutex<()>>>,
}

type Work<'b> = Pin<Box<dyn Future<Output = Result<Outcome, BridgeError>> + 'b>>;

fn absolute(path: &std::path::Path) -> Result<PathBuf, BridgeError> {
    std::fs::create_dir_all(path)
        .and_then(|()| path.canonicalize())
        .map_err(|e| BridgeError::io(format!("make {}", path.display()), e))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) async fn execute(
    document: &PlanDocument,
    options: &RunOptions,
    progress: Arc<dyn Progress>,
    cancel: Cancel,
) -> Result<(RunResult, StageSuites), BridgeError> {
    if !document.is_intact() {
        let message = "the plan is not the one of its digest: make it again";
        return Err(BridgeError::Plan(vec![Problem::new("digest", message)]));
    }
    let plan = &document.plan;
    let runtime = Runtime::find(options.runtime, options.pod.is_some())
        .await
        .map_err(|message| BridgeError::Plan(vec![Problem::new("runtime", message)]))?;
    let (problems, mut notes) = preflight::check(plan, options, runtime);
    if !problems.is_empty() {
        return Err(BridgeError::Plan(problems));
    }
    if runtime == Runtime::Local && plan.all_stages().any(|one| !one.containers.is_empty()) {
        notes.push(
            "no podman or docker in use: the steps run as processes of this machine, with its tools"
                .into(),
        );
    }
    let output = absolute(&options.output)?;
    let workspace = absolute(&options.workspace)?;
    for name in ["logs", "facts"] {
        absolute(&output.join(name))?;
    }
    for note in &notes {
        progress.event(&Event::Note(note));
    }
    let executor = Executor {
        plan,
        digest: document.digest.clone(),
        options,
        runtime,
        facts: output.join("facts"),
        workspace,
        output,
        progress: progress.clone(),
        started: Instant::now(),
        state: Mutex::new(State {
            changed_files: options.changed_files.clone(),
            ..State::default()
        }),
    };
    // Whole seconds are what people read.
    let now = OffsetDateTime::now_utc();
    let started = now.replace_nanosecond(0).unwrap_or(now);
    let outcome = executor.whole(cancel).await;
    progress.finish();
    executor.result(outcome?, started, notes)
}

impl Executor<'_> {
    async fn whole(&self, cancel: Cancel) -> Result<Outcome, BridgeError> {
        let seconds = self.plan.timeout_seconds;
        let ended = within(seconds.map(Duration::from_secs), &cancel, async |inner: &Cancel| {
            self.sequence(&self.plan.stages, false, inner, 0).await
        });
        let mut outcome = match ended.await? {
            Some(outcome) => outcome,
            None => {
                let seconds = seconds.unwrap_or_default();
                let text = format!("the time of the pipeline, {seconds} s, is over");
                self.progress.event(&Event::Note(&text));
                Outcome::Failure
            }
        };
        if cancel.is_cancelled() && outcome != Outcome::Failure {
            outcome = Outcome::Aborted;
        }
        let post = &self.plan.post;
        let by_outcome = match outcome {
            Outcome::Success | Outcome::Unstable | Outcome::Skipped => &post.success,
            Outcome::Aborted => &post.aborted,
            _ => &post.failure,
        };
        for nodes in [by_outcome, &post.always] {
            // What follows a failure is no failure of its own, and a stop does not stop it.
            let (_keep, own) = Cancel::new();
            let ended = self.sequence(nodes, false, &own, 0).await?;
            if ended == Outcome::Failure && outcome != Outcome::Aborted {
                outcome = Outcome::Failure;
            }
        }
        for (name, nodes) in post.lists() {
            let ran = name == "always" || std::ptr::eq(nodes, by_outcome.as_slice());
            if !ran {
                self.skip_all(nodes, &format!("only runs after {name}"), 0);
            }
        }
        Ok(outcome)
    }

    fn sequence<'b>(
        &'b self,
        nodes: &'b [PlanNode],
        failed: bool,
        cancel: &'b Cancel,
        depth: usize,
    ) -> Work<'b> {
        Box::pin(async move {
            let mut failed = failed;
            let mut all = Vec::new();
            for node in nodes {
                let outcome = self.node(node, failed, cancel, depth).await?;
                failed |= matches!(outcome, Outcome::Failure | Outcome::Aborted);
                all.push(outcome);
            }
            Ok(worst(all))
        })
    }

    fn parallel<'b>(
        &'b self,
        group: &'b PlanGroup,
        failed: bool,
        cancel: &'b Cancel,
        depth: usize,
    ) -> Work<'b> {
        Box::pin(async move {
            let (stop, inner) = cancel.child();
            let most = group.max_parallel.map_or(group.nodes.len(), usize::from).max(1);
            let mut waiting = group.nodes.iter();
            let mut running = FuturesUnordered::new();
            let mut all = Vec::new();
            let inner = &inner;
            loop {
                while running.len() < most
                    && let Some(node) = waiting.next()
                {
                    running.push(self.node(node, failed, inner, depth));
                }
                let Some(outcome) = running.next().await else { break };
                let outcome = outcome?;
                if group.fail_fast && outcome == Outcome::Failure {
                    stop.cancel();
                }
                all.push(outcome);
            }
            Ok(worst(all))
        })
    }

    fn node<'b>(
        &'b self,
        node: &'b PlanNode,
        failed: bool,
        cancel: &'b Cancel,
        depth: usize,
    ) -> Work<'b> {
        Box::pin(async move {
            let after_failure = match node {
                PlanNode::Stage(stage) => stage.after_failure,
                PlanNode::Parallel(group) | PlanNode::Sequence(group) => group.after_failure,
            };
            let decision = match node.decision().state {
                DecisionState::Skipped => {
                    self.skip(node, &node.decision().reason, depth);
                    return Ok(Outcome::Skipped);
                }
                _ if cancel.is_cancelled() => {
                    self.skip(node, "not started: the run was stopped", depth);
                    return Ok(Outcome::Skipped);
                }
                _ if failed && !after_failure => {
                    self.skip(node, "not started: an earlier stage failed", depth);
                    return Ok(Outcome::Skipped);
                }
                _ => decide(self.plan, node, &self.run_facts())?,
            };
            match decision.state {
                DecisionState::Skipped => {
                    self.skip(node, &decision.reason, depth);
                    return Ok(Outcome::Skipped);
                }
                DecisionState::Deferred => {
                    let reason = format!(
                        "cannot be decided, as no stage before told {}: give --changed-files",
                        decision.needs.join(", ")
                    );
                    self.ended(node, depth, Instant::now(), Outcome::Failure, reason, None);
                    return Ok(Outcome::Failure);
                }
                DecisionState::Active => {}
            }
            let began = Instant::now();
            let group = !matches!(node, PlanNode::Stage(_));
            let (id, title) = (node.id(), node.title());
            self.progress.event(&Event::Started { id, title, group });
            let outcome = match node {
                PlanNode::Stage(stage) => {
                    let end = self.run_stage(stage, cancel).await?;
                    let outcome = end.outcome.unwrap_or(Outcome::Failure);
                    self.read_changed_files();
                    // Why it ran is for the report; while it runs, only trouble is told.
                    let reason = match end.reason.as_str() {
                        "" => decision.reason,
                        reason => reason.to_owned(),
                    };
                    self.ended(node, depth, began, outcome, reason, Some(end));
                    outcome
                }
                PlanNode::Parallel(group) => {
                    // An earlier failure was weighed for the group already.
                    let outcome = self.parallel(group, false, cancel, depth + 1).await?;
                    self.group_ended(node, group, depth, began, outcome)
                }
                PlanNode::Sequence(group) => {
                    let outcome = self.sequence(&group.nodes, false, cancel, depth + 1).await?;
                    self.group_ended(node, group, depth, began, outcome)
                }
            };
            Ok(outcome)
        })
    }

    fn group_ended(
        &self,
        node: &PlanNode,
        group: &PlanGroup,
        depth: usize,
        began: Instant,
        outcome: Outcome,
    ) -> Outcome {
        let outcome = match outcome {
            Outcome::Failure if group.allow_failure => Outcome::Unstable,
            other => other,
        };
        self.ended(node, depth, began, outcome, String::new(), None);
        outcome
    }

    fn run_facts(&self) -> RunFacts {
        let Ok(state) = self.state.lock() else { return RunFacts::default() };
        let mut results: BTreeMap<String, Outcome> = self
            .plan
            .nodes()
            .into_iter()
            .map(|node| (result_name(node).to_owned(), Outcome::Pending))
            .collect();
        results.extend(state.results.clone());
        RunFacts {
            changed_files: state.changed_files.clone(),
            results: Some(results),
            outputs: Some(state.outputs.clone()),
        }
    }

    /// An output of a stage that has ended.
    pub(super) fn output_of(&self, stage: &str, name: &str) -> Option<String> {
        self.state.lock().ok()?.outputs.get(stage)?.get(name).cloned()
    }

    /// How a stage ended.
    pub(super) fn result_of(&self, stage: &str) -> Option<Outcome> {
        self.state.lock().ok()?.results.get(stage).copied()
    }

    /// The worst result so far, for stages that tell somebody.
    pub(super) fn result_so_far(&self) -> Outcome {
        match self.state.lock() {
            Ok(state) => match worst(state.results.values().copied().collect()) {
                Outcome::Skipped | Outcome::Pending => Outcome::Success,
                other => other,
            },
            Err(_) => Outcome::Failure,
        }
    }

    /// A checkout leaves the changed files as a fact, one on a line.
    fn read_changed_files(&self) {
        if self.options.changed_files.is_some() {
            return;
        }
        let Ok(text) = std::fs::read_to_string(self.facts.join("changed-files")) else { return };
        let files = text.lines().filter(|line| !line.is_empty()).take(MAX_CHANGED);
        let files = files.map(str::to_owned).collect();
        if let Ok(mut state) = self.state.lock() {
            state.changed_files = Some(files);
        }
    }

    pub(super) fn lock(&self, resource: &str) -> Arc<tokio::sync::Mutex<()>> {
        match self.state.lock() {
            Ok(mut state) => state.locks.entry(resource.to_owned()).or_default().clone(),
            Err(_) => Arc::default(),
        }
    }

    fn skip(&self, node: &PlanNode, reason: &str, depth: usize) {
        self.ended(node, depth, Instant::now(), Outcome::Skipped, reason.to_owned(), None);
        self.skip_all(node.children(), &format!("`{}` was skipped", node.title()), depth + 1);
    }

    fn skip_all(&self, nodes: &[PlanNode], reason: &str, depth: usize) {
        for node in nodes {
            self.skip(node, reason, depth);
        }
    }
}

fn result_name(node: &PlanNode) -> &str {
    match node {
        PlanNode::Stage(stage) => &stage.name,
        PlanNode::Parallel(group) | PlanNode::Sequence(group) => &group.name,
    }
}

/// The outcome of several together. What was skipped does not count, unless all was.
fn worst(all: Vec<Outcome>) -> Outcome {
    let rank = |one: &Outcome| match one {
        Outcome::Failure => 4,
        Outcome::Aborted => 3,
        Outcome::Unstable => 2,
        Outcome::Success => 1,
        Outcome::Skipped | Outcome::Pending => 0,
    };
    all.into_iter().max_by_key(rank).unwrap_or(Outcome::Success)
}
