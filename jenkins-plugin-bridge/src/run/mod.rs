//! Executing a plan on this machine, with no Jenkins at all.
//!
//! Steps run in containers where podman or docker is present, else as processes of this machine,
//! or in the sibling containers where this process runs in the pod of the plan.
//! Stages with effects outside the workspace are rehearsed unless the user asks for the effects.

mod artifacts;
mod cancel;
mod executor;
mod in_pod;
mod junit;
mod limit;
mod log;
mod outputs;
mod preflight;
mod progress;
mod report;
mod runtime;
mod services;
mod stage;
mod step;
mod surroundings;
mod tree_view;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use cancel::{Cancel, Canceller};
pub(crate) use executor::write_reports;
pub use in_pod::PodContainers;
pub use junit::{TestCase, TestStatus, TestSuite, TestTotals};
pub use progress::{Event, PlainProgress, Progress, Silent};
pub use runtime::{Runtime, RuntimeChoice};
pub(crate) use stage::file_name;
pub(crate) use step::unique;
pub use tree_view::TreeProgress;

use crate::error::BridgeError;
use crate::plan::{Outcome, PlanDocument};

/// How a plan is executed.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Where the steps work. Made if it is not there.
    pub workspace: PathBuf,
    /// Where logs, reports and artefacts go. Made if it is not there.
    pub output: PathBuf,
    /// Where the user is: relative repositories are taken from here.
    pub start: PathBuf,
    /// What runs the steps.
    pub runtime: RuntimeChoice,
    /// Stages with effects outside do what they do in earnest.
    pub with_effects: bool,
    /// Approvals count as given.
    pub approve: bool,
    /// Stages whose tools are missing are tried all the same.
    pub ignore_missing_tools: bool,
    /// Files with the secrets of credentials, by id.
    pub credentials: BTreeMap<String, PathBuf>,
    /// Changed files, where the user knows better than the checkout.
    pub changed_files: Option<Vec<String>>,
    /// The containers of the pod, where this process runs in the pod of the plan.
    pub pod: Option<Arc<PodContainers>>,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Digest of the plan.
    pub digest: String,
    /// Name of the pipeline.
    pub pipeline: String,
    /// How it ended.
    pub outcome: Outcome,
    /// When it started, RFC 3339.
    pub started: String,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
    /// What ran the steps.
    pub runtime: String,
    /// Stages and groups, in the order of the plan.
    pub stages: Vec<StageResult>,
    /// Tests of all stages together.
    pub tests: TestTotals,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// What became of a stage or a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageResult {
    /// Its id in the plan.
    pub id: String,
    /// Its title.
    pub title: String,
    /// How deep it lies in groups.
    pub depth: usize,
    /// It is a group, not a stage.
    pub group: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, for people.
    pub reason: String,
    /// It was rehearsed.
    pub rehearsed: bool,
    /// When it started, in milliseconds after the start of the run.
    pub start: u64,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
    /// How often it was tried.
    pub attempts: u8,
    /// Its log, relative to the output directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Its tests.
    pub tests: TestTotals,
    /// Files that were kept, relative to the output directory.
    pub artifacts: Vec<String>,
    /// What it gave to later stages.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
}

impl RunResult {
    /// The exit code: 0 for passed, 1 for failed or stopped.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.outcome {
            Outcome::Success | Outcome::Unstable | Outcome::Skipped => 0,
            Outcome::Failure | Outcome::Aborted | Outcome::Pending => 1,
        }
    }
}

/// Executes a plan.
///
/// A failed stage is no error but a [`RunResult`]; an error means that nothing was run, or that
/// this machine cannot keep the results.
///
/// # Errors
/// Missing tools or credentials ([`BridgeError::Plan`]), a plan that is not the one of its
/// digest, files that cannot be written.
pub async fn run(
    document: &PlanDocument,
    options: &RunOptions,
    progress: Arc<dyn Progress>,
    cancel: Cancel,
) -> Result<RunResult, BridgeError> {
    executor::execute(document, options, progress, cancel).await.map(|(result, _)| result)
}

/// The test results of stages, by their ids.
pub(crate) type StageSuites = Vec<(String, Vec<TestSuite>)>;

/// The same, and the test results that the reports were made of.
///
/// # Errors
/// Those of [`run`].
pub(crate) async fn run_with_suites(
    document: &PlanDocument,
    options: &RunOptions,
    progress: Arc<dyn Progress>,
    cancel: Cancel,
) -> Result<(RunResult, StageSuites), BridgeError> {
    executor::execute(document, options, progress, cancel).await
}
