//! What a profile is made of: storage, users, tolerations, deadlines.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::model::{Environment, Quantity, Resources, Span};

/// Image of the agent unless a profile names another: what the image recipe tags.
const AGENT_IMAGE: &str = concat!("pilotfish-agent:", env!("CARGO_PKG_VERSION"));
/// Time for images and the agent, in seconds: a quarter of an hour.
const START: u64 = 15 * 60;
/// The longest time of a plan that has no bound, in seconds: six hours.
const OTHERWISE: u64 = 6 * 3600;

/// A DNS label: lower-case letters, digits and dashes, at most 63.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DnsLabel(
    #[schemars(regex(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))] pub String,
);

/// A DNS name: labels with dots between them, at most 253 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DnsName(
    #[schemars(
        length(max = 253),
        regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$")
    )]
    pub String,
);

/// The agent's container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentSettings {
    /// Image with the agent.
    #[serde(default = "default_image")]
    pub image: String,
    /// What a node must have free for it.
    #[serde(default = "default_agent_requests")]
    pub requests: Resources,
    /// What it may take at most.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub limits: Resources,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: Environment,
    /// The controller that it connects to. Without it, who applies the pod says so, as the
    /// kubernetes plugin does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<ControllerSettings>,
}

/// The controller of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControllerSettings {
    /// Its URL.
    #[schemars(regex(pattern = "^https?://[^\\s]+$"))]
    pub url: String,
    /// Secret of Kubernetes with one key for each agent: its name, with the secret that the
    /// controller has for it. It is mounted as a file.
    pub secret: DnsName,
}

/// The user of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageUser {
    /// Glob of image names, tag included: `postgres:*`, `**/mysql:8*`.
    pub image: String,
    /// Its user; 0 is root, which the `restricted` standard does not allow.
    pub user: u32,
}

/// Where a directory is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// What it is.
    #[serde(default, rename = "type")]
    pub kind: StorageType,
    /// Its size: the most for `empty-dir`, what is asked for with `ephemeral`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,
    /// Kept in memory, for `empty-dir`. It counts as memory of the containers that write it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub memory: bool,
    /// Name of the claim, for `claim`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<DnsName>,
    /// Storage class, for `ephemeral`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<DnsName>,
    /// Directory on the node for `host-path`; directory in the volume for `claim`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A kind of storage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StorageType {
    /// Empty at the start of the pod, gone at its end.
    #[default]
    EmptyDir,
    /// A persistent volume that is there.
    Claim,
    /// A persistent volume that is made with the pod and goes with it.
    Ephemeral,
    /// A directory of the node. Needs a namespace that enforces no standard.
    HostPath,
}

/// Requests and limits of containers that have none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// What a node must have free.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub requests: Resources,
    /// What may be taken at most.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub limits: Resources,
}

/// How containers ask for what they need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RequestStyle {
    /// Each container for itself. Works everywhere.
    #[default]
    PerContainer,
    /// The pod as a whole, for what is needed at any one moment: less, where stages with
    /// different images run one after the other. Needs Kubernetes 1.34.
    Pod,
}

/// A taint that the pods do not mind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tolerated {
    /// Key of the taint.
    pub key: String,
    /// Its value; any unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Its effect; any unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
}

/// The effect of a taint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// New pods are not put there.
    NoSchedule,
    /// New pods are put elsewhere if possible.
    PreferNoSchedule,
    /// Pods are taken away.
    NoExecute,
}

/// Spreads pods over nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Label of nodes, such as `topology.kubernetes.io/zone`.
    pub key: String,
    /// By how many the pods of two values may differ.
    #[schemars(range(min = 1, max = 1000))]
    pub max_skew: u16,
    /// The pod waits rather than break this.
    #[serde(default, skip_serializing_if = "is_false")]
    pub strict: bool,
}

/// An owner of objects of Kubernetes, in the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Version of its API: `v1`, `apps/v1`.
    #[schemars(regex(pattern = "^([a-z0-9.-]+/)?v[0-9][a-z0-9]*$"))]
    pub api_version: String,
    /// Its kind.
    #[schemars(regex(pattern = "^[A-Z][A-Za-z0-9]*$"))]
    pub kind: String,
    /// Its name.
    pub name: DnsName,
    /// Its uid.
    #[schemars(regex(pattern = "^[0-9A-Za-z-]{1,64}$"))]
    pub uid: String,
}

/// How long a pod may live.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deadline {
    /// Beside the longest time that the plan may take: for images and the agent. 15m unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Span>,
    /// For plans that have no bound: a lock, an approval or a stage without a timeout. 6h unless
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Span>,
    /// Never longer than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<Span>,
}

pub(super) fn is_false(value: &bool) -> bool {
    !value
}

fn default_image() -> String {
    AGENT_IMAGE.to_owned()
}

fn default_agent_requests() -> Resources {
    Resources {
        cpu: Quantity::new("100m").ok(),
        memory: Quantity::new("64Mi").ok(),
        ephemeral_storage: None,
    }
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            image: default_image(),
            requests: default_agent_requests(),
            limits: Resources::default(),
            environment: Environment::new(),
            controller: None,
        }
    }
}

impl Deadline {
    /// Time for images and the agent, in seconds.
    pub(in crate::pod) fn start_seconds(&self) -> u64 {
        self.start.as_ref().map_or(START, Span::seconds)
    }

    /// The longest time of a plan that has no bound, in seconds.
    pub(in crate::pod) fn otherwise_seconds(&self) -> u64 {
        self.otherwise.as_ref().map_or(OTHERWISE, Span::seconds)
    }
}

impl Defaults {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Storage {
    /// A kind of storage in words of the format.
    pub(in crate::pod) fn word(&self) -> &'static str {
        match self.kind {
            StorageType::EmptyDir => "empty-dir",
            StorageType::Claim => "claim",
            StorageType::Ephemeral => "ephemeral",
            StorageType::HostPath => "host-path",
        }
    }
}
