//! What is asked and answered about plans.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::model::PlanFacts;
use crate::plan::Plan;
use crate::service::sign::Envelope;

/// Asks for a plan: for a build of a job (`controller`, `job`, `build`), for a job without a build,
/// or for a pipeline by name.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanQuery {
    /// Name of the controller, as the bindings have it.
    #[serde(default)]
    pub controller: Option<String>,
    /// Full name of the job.
    #[serde(default)]
    pub job: Option<String>,
    /// Number of the build. Without it the plan is a preview: unsigned, for no build.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub build: Option<u32>,
    /// Digest of the plan that the build was started for, where that plan was made before: the
    /// build gets that one, and no new one is made.
    #[serde(default)]
    pub digest: Option<String>,
    /// When the build started, in milliseconds since 1970. It tells a build from one of the same
    /// number of a job that was removed and made anew.
    #[serde(default)]
    pub started_ms: Option<u64>,
    /// Labels of the job.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Name of a pipeline, in place of a job.
    #[serde(default)]
    pub pipeline: Option<String>,
    /// Team whose layers hold for the pipeline.
    #[serde(default)]
    pub team: Option<String>,
    /// Values of parameters. For a build they may be left out where the service may read the
    /// controller.
    #[serde(default)]
    pub parameters: Option<BTreeMap<String, Value>>,
    /// What is known about the build.
    #[serde(default)]
    pub facts: PlanFacts,
    /// What the Jenkinsfile overrides: values by path.
    #[serde(default)]
    pub overrides: BTreeMap<String, Value>,
}

/// A plan.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanAnswer {
    /// Digest of the plan.
    pub digest: String,
    /// How it came about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingReport>,
    /// The build that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildGrant>,
    /// The plan, signed for this build. The payload is a `SignedPlan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<Envelope>,
    /// The plan of a preview.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
}

/// How a job got its pipeline.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct BindingReport {
    /// The rule that won.
    pub rule: String,
    /// Parameters of the job that nothing uses.
    pub unmapped: Vec<String>,
    /// Where each parameter came from.
    pub origins: BTreeMap<String, String>,
}

/// What a build may do from now on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BuildGrant {
    /// Id of the build, for its events.
    pub id: String,
    /// Token for its events and evaluations, and for nothing else.
    pub token: String,
    /// When the token and the signature end, in seconds since 1970.
    pub expires_at: u64,
    /// The build had its plan already. It keeps that one, whatever has changed since.
    pub is_known: bool,
}

/// What is signed. The keys of the JSON are sorted.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub struct SignedPlan {
    /// Id of the build.
    pub build: String,
    /// Name of the controller.
    pub controller: String,
    /// Digest of the plan.
    pub digest: String,
    /// When it ends, in seconds since 1970.
    pub expires_at: u64,
    /// `pilotfish/signed-plan/v1`.
    pub format: String,
    /// When it was signed, in seconds since 1970.
    pub issued_at: u64,
    /// Full name of the job.
    pub job: String,
    /// Number of the build.
    pub number: i64,
    /// The plan.
    pub plan: Plan,
    /// The label that only the agent of this build has, where it gets one on demand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The pod in which its stages run, where the builds of the controller run in pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<BuildPod>,
}

/// The pod of a build.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct BuildPod {
    /// The Pod as Kubernetes and the kubernetes plugin take it.
    pub manifest: Value,
    /// Where the steps of each stage run: `stage/container` to the container of the pod.
    pub routes: BTreeMap<String, String>,
}
