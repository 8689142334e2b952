//! The pod profile: what a cluster and a namespace give to the pods of builds.

mod check;
mod parts;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::flavour::Flavour;
use super::security::PodSecurity;
use super::sizing::SizingSettings;
use crate::catalog::model::{Api, Identifier, Resources, Span};
use crate::catalog::read::{typed, yaml};
use crate::error::{BridgeError, Problem};
use parts::is_false;

pub use parts::{
    AgentSettings, ControllerSettings, Deadline, Defaults, DnsLabel, DnsName, ImageUser, Owner,
    RequestStyle, Spread, Storage, StorageType, TaintEffect, Tolerated,
};

/// User and group of the agent's image, and of the tools unless told otherwise.
const USER: u32 = 1000;
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
    /// Name of the cluster, as the file of clusters has it, else a context of the kubeconfig; the
    /// current context, or the cluster that the program runs in, unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Identifier>,
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
    /// Requests from what stages used in earlier builds.
    #[serde(default, skip_serializing_if = "SizingSettings::is_default")]
    pub sizing: SizingSettings,
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

fn yes() -> bool {
    true
}

fn default_user() -> u32 {
    USER
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
            cluster: None,
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
            sizing: SizingSettings::default(),
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
