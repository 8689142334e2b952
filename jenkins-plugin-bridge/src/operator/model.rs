//! `JenkinsController`: a master that is made and kept on Kubernetes.

#![expect(clippy::duplicated_attributes, reason = "columns have the same types")]

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::JenkinsControllerStatus;
use crate::masters::Permission;

/// The group of all resources here.
pub const GROUP: &str = "pilotfish.io";

/// What a master is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "pilotfish.io",
    version = "v1alpha1",
    kind = "JenkinsController",
    doc = "A Jenkins controller: made, upgraded one at a time, backed up before, and put back when an upgrade fails",
    namespaced,
    status = "JenkinsControllerStatus",
    shortname = "jc",
    category = "pilotfish",
    derive = "PartialEq",
    printcolumn(json_path = ".status.phase", name = "Phase", type_ = "string"),
    printcolumn(json_path = ".status.ready", name = "Ready", type_ = "boolean"),
    printcolumn(json_path = ".spec.image", name = "Image", type_ = "string"),
    printcolumn(json_path = ".status.message", name = "Message", type_ = "string", priority = 1),
    printcolumn(json_path = ".metadata.creationTimestamp", name = "Age", type_ = "date")
)]
#[serde(rename_all = "camelCase")]
pub struct JenkinsControllerSpec {
    /// Image with Jenkins, with a tag other than `latest` or with a digest.
    pub image: String,
    /// Secrets for pulling the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<String>,
    /// Labels that builds may ask for and that this master serves.
    #[x_kube(validation = ("size(self) > 0", "name at least one label, or no build comes here"))]
    pub labels: Vec<String>,
    /// All plugins with their versions, those that others need included.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<String, String>,
    /// Files of the configuration-as-code plugin by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub configuration: BTreeMap<String, String>,
    /// Secrets whose keys are variables of the master; the configuration takes them as `${NAME}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Options of Java, such as `-Xmx2g`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub java_options: Option<String>,
    /// Path below which it answers, as `/jenkins`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Address that people and agents use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where its home is kept.
    pub storage: Storage,
    /// What it asks for and may take.
    #[serde(default)]
    pub resources: Resources,
    /// Service account of its pod. Without one the pod has no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// Labels of the nodes that it may run on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Keys of taints that it does not mind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<String>,
    /// Way in from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressSettings>,
    /// When it counts as healthy.
    #[serde(default)]
    pub health: HealthGate,
    /// How it is changed.
    #[serde(default)]
    pub upgrade: Upgrade,
    /// What is kept before a change.
    #[serde(default)]
    pub backup: BackupSettings,
    /// How the bridge logs in. Without it the bridge does not send builds here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<BridgeAccess>,
    /// Leave the master as it is, whatever else is said.
    #[serde(default)]
    pub paused: bool,
    /// What becomes of its home and its backups when this resource is deleted.
    #[serde(default)]
    pub deletion: Deletion,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Size, as `50Gi`.
    pub size: String,
    /// Storage class; the cluster's own choice unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
}

/// Amounts by their names, as `cpu: 500m`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What is asked for; 1 processor and 2 GiB unless given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, String>,
    /// The most that it may take.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, String>,
}

/// Way in from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressSettings {
    /// Host name.
    pub host: String,
    /// Class of the ingress; the cluster's own choice unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Secret with certificate and key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_secret: Option<String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// When a master counts as healthy: its login page answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthGate {
    /// Seconds between two looks.
    #[schemars(range(min = 1, max = 60))]
    pub period_seconds: u32,
    /// Seconds that it may take to start, plugins included.
    #[schemars(range(min = 10, max = 7200))]
    pub start_seconds: u32,
}

impl Default for HealthGate {
    fn default() -> Self {
        Self { period_seconds: 5, start_seconds: 900 }
    }
}

/// How a master is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Upgrade {
    /// Other healthy masters that there have to be for each of its labels before it is stopped.
    #[schemars(range(min = 0, max = 100))]
    pub min_others: u32,
    /// The most seconds to wait for running builds to end.
    #[schemars(range(min = 0, max = 86_400))]
    pub drain_seconds: u32,
}

impl Default for Upgrade {
    fn default() -> Self {
        Self { min_others: 2, drain_seconds: 1800 }
    }
}

/// What is kept before a change. The master is stopped meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BackupSettings {
    /// How.
    pub method: BackupMethod,
    /// Class of snapshots; the cluster's own choice unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_class: Option<String>,
    /// Volume for archives; as the home unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Backups that are kept.
    #[schemars(range(min = 1, max = 100))]
    pub keep: u32,
    /// The most seconds that one may take.
    #[schemars(range(min = 10, max = 86_400))]
    pub seconds: u32,
}

impl Default for BackupSettings {
    fn default() -> Self {
        Self {
            method: BackupMethod::default(),
            snapshot_class: None,
            storage: None,
            keep: 3,
            seconds: 3600,
        }
    }
}

/// How a home is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BackupMethod {
    /// A snapshot of the volume where a snapshot class is given and the cluster has snapshots, else an
    /// archive.
    #[default]
    Auto,
    /// A VolumeSnapshot.
    Snapshot,
    /// A tar archive on a volume of its own.
    Archive,
    /// Not at all: a failed upgrade is put back on the home as it is then.
    None,
}

/// How the bridge logs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BridgeAccess {
    /// User of the API.
    pub user: String,
    /// Secret with its API token in the key `token`.
    pub token_secret: String,
    /// What the bridge may do there.
    #[serde(default)]
    pub permission: Permission,
    /// Builds of the bridge at once; its executors unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub capacity: Option<u32>,
    /// Place of the master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// What becomes of volumes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Deletion {
    /// They stay.
    #[default]
    Retain,
    /// They are deleted, too.
    Delete,
}
