//! One stage: tries, services, steps, post steps, reports.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::artifacts::{Found, collect};
use super::cancel::Cancel;
use super::executor::Executor;
use super::limit::within;
use super::log::{Log, SharedLog};
use super::preflight::is_rehearsed;
use super::progress::Event;
use super::services::Services;
use super::step::{StepContext, StepEnd};
use crate::catalog::model::RetryOn;
use crate::error::BridgeError;
use crate::plan::{Outcome, PlanStage, PlanStep};

/// The most time that post steps of a stage may take: they run also when the run is stopped.
const POST_TIMEOUT: Duration = Duration::from_secs(600);
/// The longest wait between two tries.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// What became of a stage.
#[derive(Debug, Default)]
pub(super) struct StageEnd {
    pub outcome: Option<Outcome>,
    pub reason: String,
    pub attempts: u8,
    pub rehearsed: bool,
    pub log: String,
    pub found: Found,
    pub outputs: BTreeMap<String, String>,
}

/// Removes a directory, if it is there, with all that is in it.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A name that is safe as the name of a file.
pub(crate) fn file_name(id: &str) -> String {
    id.chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.=".contains(c) { c } else { '_' })
        .take(120)
        .collect()
}

pub(super) fn make(directory: &Path) -> Result<(), BridgeError> {
    std::fs::create_dir_all(directory)
        .map_err(|e| BridgeError::io(format!("make {}", directory.display()), e))
}

impl Executor<'_> {
    /// Runs a stage that is active.
    pub(super) async fn run_stage(
        &self,
        stage: &PlanStage,
        cancel: &Cancel,
    ) -> Result<StageEnd, BridgeError> {
        let name = file_name(&stage.id);
        let rehearsed = is_rehearsed(stage, self.options);
        let scripts = self.output.join("scripts").join(&name);
        make(&scripts)?;
        let log_path = format!("logs/{name}.log");
        let log = Log::create(&self.output.join(&log_path), &stage.id, self.progress.clone())
            .map_err(|e| BridgeError::io(format!("write {log_path}"), e))?;
        let mut end = StageEnd { rehearsed, log: log_path, ..StageEnd::default() };
        if let Some(approval) = &stage.approval
            && !rehearsed
            && !self.options.approve
        {
            end.outcome = Some(Outcome::Aborted);
            end.reason = format!("it needs an approval ({}): run with --approve", approval.message);
            return Ok(end);
        }
        let _guard = match (&stage.lock, rehearsed) {
            (Some(resource), false) => {
                let lock = self.lock(resource);
                tokio::select! {
                    guard = lock.lock_owned() => Some(guard),
                    () = cancel.cancelled() => {
                        end.outcome = Some(Outcome::Aborted);
                        end.reason = "stopped while it waited for its lock".into();
                        return Ok(end);
                    }
                }
            }
            _ => None,
        };
        let _secrets = Removed(self.secrets_of(stage));
        let mut environment = self.environment(stage, &scripts, rehearsed, &log)?;
        match self.inputs(stage) {
            Ok(inputs) => environment.extend(inputs),
            Err(why) => return Ok(ended(stage, end, (Outcome::Failure, why), &log)),
        }
        let started = SystemTime::now();
        let mut context = StepContext {
            runtime: self.runtime,
            pod: self.options.pod.as_deref(),
            stage: &stage.id,
            containers: &stage.containers,
            workspace: &self.workspace,
            scripts,
            caches: self.output.join("caches"),
            mounts: self.mounts(stage, rehearsed)?,
            environment,
            network: None,
            log: log.clone(),
        };
        let attempts = match (&stage.retry, rehearsed) {
            (Some(retry), false) => retry.attempts.max(1),
            _ => 1,
        };
        let mut outcome = Outcome::Success;
        for attempt in 1..=attempts {
            end.attempts = attempt;
            if !stage.outputs.is_empty() {
                self.forget_outputs(stage)?;
                end.outputs.clear();
            }
            let (result, mut cause) = self.attempt(stage, rehearsed, &mut context, cancel).await?;
            (outcome, end.reason) = result;
            if !stage.outputs.is_empty() {
                let must_be_complete = outcome == Outcome::Success && !rehearsed;
                match self.read_outputs(stage, must_be_complete, &log) {
                    Ok(outputs) => end.outputs = outputs,
                    Err(why) if outcome == Outcome::Success => {
                        (outcome, end.reason) = (Outcome::Failure, why);
                        cause = Some(RetryOn::Failure);
                    }
                    Err(why) => say(&log, &format!("note: {why}")),
                }
            }
            let again = outcome == Outcome::Failure
                && attempt < attempts
                && !cancel.is_cancelled()
                && stage.retry.as_ref().is_some_and(|retry| {
                    retry.on.is_empty() || cause.is_some_and(|one| retry.on.contains(&one))
                });
            if !again {
                break;
            }
            say(&log, &format!("--- {}; try {} comes ---", end.reason, attempt + 1));
            let reason = end.reason.as_str();
            self.progress.event(&Event::Again { id: &stage.id, attempt: attempt + 1, reason });
            let delay = stage.retry.as_ref().and_then(|retry| retry.delay.as_ref());
            if let Some(delay) = delay {
                let factor = 1u64 << (attempt - 1).min(16);
                let wait = Duration::from_secs(delay.seconds().saturating_mul(factor));
                tokio::select! {
                    () = tokio::time::sleep(wait.min(LONGEST_DELAY)) => {}
                    () = cancel.cancelled() => {}
                }
            }
        }
        if !rehearsed {
            end.found = collect(&stage.reports, &self.workspace, started, &self.output, &name);
            let failed = super::TestTotals::of(&end.found.suites).failed;
            if failed > 0 && outcome == Outcome::Success {
                outcome = Outcome::Unstable;
                end.reason = format!("{failed} test(s) failed");
            }
            for note in &end.found.notes {
                say(&log, &format!("note: {note}"));
            }
        }
        let reason = std::mem::take(&mut end.reason);
        Ok(ended(stage, end, (outcome, reason), &log))
    }

    /// One try: services, steps within the time, post steps.
    async fn attempt(
        &self,
        stage: &PlanStage,
        rehearsed: bool,
        context: &mut StepContext<'_>,
        cancel: &Cancel,
    ) -> Result<((Outcome, String), Option<RetryOn>), BridgeError> {
        let steps = if rehearsed { &stage.rehearsal } else { &stage.steps };
        if rehearsed && steps.is_empty() {
            let text = format!("not run: it has effects outside ({} steps)", stage.steps.len());
            return Ok(((Outcome::Success, text), None));
        }
        let services = match rehearsed {
            true => Services::default(),
            false => Services::start(self.runtime, stage, &context.log, cancel).await,
        };
        if let Some((outcome, reason)) = services.trouble.clone() {
            services.stop(outcome == Outcome::Failure, &context.log).await;
            return Ok(((outcome, reason), Some(RetryOn::Failure)));
        }
        context.network.clone_from(&services.network);
        let context = &*context;
        let mut number = 0usize;
        let mut cause = None;
        let seconds = stage.timeout_seconds;
        let ended = within(seconds.map(Duration::from_secs), cancel, async |inner: &Cancel| {
            self.steps(stage, steps, &mut number, context, inner).await
        });
        let (mut outcome, mut reason) = match ended.await? {
            Some(ended) => ended,
            None => {
                cause = Some(RetryOn::Timeout);
                let seconds = seconds.unwrap_or_default();
                (Outcome::Failure, format!("its time of {seconds} s is over"))
            }
        };
        if outcome == Outcome::Failure {
            cause = cause.or(Some(RetryOn::Failure));
        }
        if !rehearsed {
            let by_outcome = match outcome {
                Outcome::Success => &stage.post.success,
                Outcome::Aborted => &stage.post.aborted,
                _ => &stage.post.failure,
            };
            for steps in [by_outcome, &stage.post.always] {
                // Post steps clean up, so they run although the run is stopped, within a time.
                let (_keep, own) = Cancel::new();
                let ended = within(Some(POST_TIMEOUT), &own, async |inner: &Cancel| {
                    self.steps(stage, steps, &mut number, context, inner).await
                });
                let over = || (Outcome::Failure, "the time of post steps is over".to_owned());
                let (ended, why) = ended.await?.unwrap_or_else(over);
                if ended != Outcome::Success && outcome == Outcome::Success {
                    outcome = Outcome::Failure;
                    reason = format!("after the steps, {why}");
                }
            }
        }
        services.stop(outcome == Outcome::Failure, &context.log).await;
        Ok(((outcome, reason), cause))
    }

    async fn steps(
        &self,
        stage: &PlanStage,
        steps: &[Arc<PlanStep>],
        number: &mut usize,
        context: &StepContext<'_>,
        cancel: &Cancel,
    ) -> Result<(Outcome, String), BridgeError> {
        for step in steps {
            if cancel.is_cancelled() {
                return Ok((Outcome::Aborted, "stopped".into()));
            }
            *number += 1;
            say(&context.log, &format!("--- {} ---", step.name));
            self.progress.event(&Event::Step { id: &stage.id, name: &step.name });
            let ended = context.run(step, *number, cancel).await;
            let failed = |why: &str| (Outcome::Failure, format!("{}: {why}", step.name));
            match ended {
                Ok(StepEnd::Passed) => {}
                Ok(StepEnd::Failed(why)) => return Ok(failed(&why)),
                Ok(StepEnd::TimedOut(seconds)) => {
                    return Ok(failed(&format!("its time of {seconds} s is over")));
                }
                Ok(StepEnd::Cancelled) => return Ok((Outcome::Aborted, "stopped".into())),
                // A shell that is not there is a failure of the stage, not of the run.
                Err(BridgeError::Process(error)) => {
                    say(&context.log, &error.to_string());
                    return Ok(failed(&error.to_string()));
                }
                Err(other) => return Err(other),
            }
        }
        Ok((Outcome::Success, String::new()))
    }
}

/// The end of a stage, told in its log.
fn ended(
    stage: &PlanStage,
    end: StageEnd,
    (mut outcome, mut reason): (Outcome, String),
    log: &SharedLog,
) -> StageEnd {
    if outcome == Outcome::Failure && stage.allow_failure {
        outcome = Outcome::Unstable;
        reason = format!("{reason} (allowed to fail)");
    }
    say(log, &format!("--- {} {reason} ---", outcome.word()));
    StageEnd { outcome: Some(outcome), reason, ..end }
}

fn say(log: &SharedLog, text: &str) {
    if let Ok(mut log) = log.lock() {
        log.say(text);
    }
}
