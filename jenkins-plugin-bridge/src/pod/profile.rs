//! The pod profile: what a cluster and a namespace give to the pods of builds.

mod check;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::flavour::Flavour;
use super::security::PodSecurity;
use crate::catalog::model::{Api, Environment, Identifier, Quantity, Resources, Span};
use crate::catalog::read::{typed, yaml};
use crate::error::{BridgeError, Problem};

/// Image of the agent unless a profile names another: what the image recipe tags.
const AGENT_IMAGE: &str = concat!("pilotfish-agent:", env!("CARGO_PKG_VERSION"));
/// User and group of the agent's image, and of the tools unless told otherwise.
const USER: u32 = 1000;
/// Time for images and the agent, in seconds: a quarter of an hour.
const START: u64 = 15 * 60;
/// The longest time of a plan that has no bound, in seconds: six hours.
const OTHERWISE: u64 = 6 * 3600;
/// How long a pod may take to stop, in seconds: the agent tells the controller before it goes.
const GRACE: u64 = 60;

/// Marks a pod profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProfileKind {
    /// The only value.
    #[serde(rename = "pod-profile")]
    Kind,
}

/// What a cluster and a namespace give to the pods of builds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Version of the file format.
    pub api: Api,
    /// `pod-profile`.
    pub kind: ProfileKind,
    /// Name of the profile.
    pub name: Identifier,
    /// What it is for, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Namespace of the pods; that of the client that applies them unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<DnsLabel>,
    /// The Pod Security Standard that the namespace enforces. Plans that need more are refused.
    #[serde(default)]
    pub pod_security: PodSecurity,
    /// The kind of nodes. What it cannot do is refused when the pod is made.
    #[serde(default)]
    pub flavour: Flavour,
    /// The agent's container.
    #[serde(default)]
    pub agent: AgentSettings,
    /// User of all containers, unless `users` says otherwise.
    #[serde(default = "default_user")]
    pub user: u32,
    /// Group of all containers and of all files.
    #[serde(default = "default_user")]
    pub group: u32,
    /// Users of images that do not run as any user. The first that fits holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<ImageUser>,
    /// Service account of the pods. Its token is not mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<DnsName>,
    /// Secrets for pulling images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pull_secrets: Vec<DnsName>,
    /// Secret of type `kubernetes.io/dockerconfigjson` for pushing images. It is mounted as a
    /// file into the containers that build images, unless their stage brings credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_secret: Option<DnsName>,
    /// Where the workspace is kept.
    #[serde(default)]
    pub workspace: Storage,
    /// Where caches are kept, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub caches: BTreeMap<Identifier, Storage>,
    /// Where caches are kept that are not under `caches`.
    #[serde(default)]
    pub other_caches: Storage,
    /// Requests and limits of containers whose stage has none.
    #[serde(default, skip_serializing_if = "Defaults::is_empty")]
    pub defaults: Defaults,
    /// The most that a pod may ask for.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub most: Resources,
    /// How containers ask for what they need.
    #[serde(default)]
    pub requests: RequestStyle,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that the pods do not mind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Tolerated>,
    /// Over what the pods of builds are spread.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topology: Vec<Spread>,
    /// Labels of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Priority class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class: Option<DnsName>,
    /// Runtime class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_class: Option<DnsName>,
    /// The object with which the pods go: they are deleted when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// How long a pod may live.
    #[serde(default)]
    pub deadline: Deadline,
    /// How long a pod may take to stop; 60s unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<Span>,
    /// An autoscaler may move a pod in the middle of a build.
    #[serde(default, skip_serializing_if = "is_false")]
    pub safe_to_evict: bool,
    /// A drain of nodes waits for the build.
    #[serde(default = "yes")]
    pub disruption_budget: bool,
}

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

fn is_false(value: &bool) -> bool {
    !value
}

fn yes() -> bool {
    true
}

fn default_user() -> u32 {
    USER
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
    pub(super) fn start_seconds(&self) -> u64 {
        self.start.as_ref().map_or(START, Span::seconds)
    }

    /// The longest time of a plan that has no bound, in seconds.
    pub(super) fn otherwise_seconds(&self) -> u64 {
        self.otherwise.as_ref().map_or(OTHERWISE, Span::seconds)
    }
}

impl Defaults {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Storage {
    /// A kind of storage in words of the format.
    pub(super) fn word(&self) -> &'static str {
        match self.kind {
            StorageType::EmptyDir => "empty-dir",
            StorageType::Claim => "claim",
            StorageType::Ephemeral => "ephemeral",
            StorageType::HostPath => "host-path",
        }
    }
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// [`BridgeError::Profile`] with everything that is wrong with it.
    pub fn read(file: &str, text: &str) -> Result<Self, BridgeError> {
        let all = |problems: Vec<Problem>| {
            BridgeError::Profile(problems.into_iter().map(|one| one.in_file(file)).collect())
        };
        let value = yaml(text).map_err(|problem| all(vec![problem]))?;
        // What the schema can say and what it cannot are told together wherever the file is
        // readable at all.
        let profile: Self = typed("pod-profile", value).map_err(all)?;
        let problems = check::problems(&profile);
        if problems.is_empty() { Ok(profile) } else { Err(all(problems)) }
    }

    /// How long a pod may take to stop, in seconds.
    pub(super) fn grace_seconds(&self) -> u64 {
        self.grace.as_ref().map_or(GRACE, Span::seconds)
    }

    /// Where a cache is kept.
    pub(super) fn cache(&self, name: &str) -> &Storage {
        self.caches.get(name).unwrap_or(&self.other_caches)
    }

    /// The user that an image runs as.
    pub(super) fn user_of(&self, image: &str) -> u32 {
        let fits = |one: &&ImageUser| check::glob(&one.image).is_some_and(|it| it.is_match(image));
        self.users.iter().find(fits).map_or(self.user, |one| one.user)
    }
}

impl Default for Profile {
    /// Ordinary nodes, a namespace that enforces `restricted`, everything gone with the pod.
    fn default() -> Self {
        Self {
            api: Api::V1,
            kind: ProfileKind::Kind,
            name: Identifier::made("default".to_owned()),
            description: String::new(),
            namespace: None,
            pod_security: PodSecurity::default(),
            flavour: Flavour::default(),
            agent: AgentSettings::default(),
            user: USER,
            group: USER,
            users: Vec::new(),
            service_account: None,
            pull_secrets: Vec::new(),
            registry_secret: None,
            workspace: Storage::default(),
            caches: BTreeMap::new(),
            other_caches: Storage::default(),
            defaults: Defaults::default(),
            most: Resources::default(),
            requests: RequestStyle::default(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            topology: Vec::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            priority_class: None,
            runtime_class: None,
            owner: None,
            deadline: Deadline::default(),
            grace: None,
            safe_to_evict: false,
            disruption_budget: true,
        }
    }
}
