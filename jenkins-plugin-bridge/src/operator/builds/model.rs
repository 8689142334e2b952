//! `BuildCluster`: a namespace that builds run in, in this cluster or in one that Cluster API or Crossplane
//! has made.

#![expect(clippy::duplicated_attributes, reason = "columns have the same types")]

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::operator::model::Deletion;
use crate::operator::status::Condition;
use crate::pod::{Flavour, PodSecurity};

/// What a place for builds is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "pilotfish.io",
    version = "v1alpha1",
    kind = "BuildCluster",
    doc = "A place for builds: a namespace with quotas, roles, network policy and images, in this cluster or in one that Cluster API or Crossplane made",
    namespaced,
    status = "BuildClusterStatus",
    shortname = "bc",
    category = "pilotfish",
    derive = "PartialEq",
    printcolumn(json_path = ".spec.namespace", name = "Namespace", type_ = "string"),
    printcolumn(
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        name = "Ready",
        type_ = "string"
    ),
    printcolumn(json_path = ".status.nodes", name = "Nodes", type_ = "integer"),
    printcolumn(json_path = ".status.message", name = "Message", type_ = "string", priority = 1),
    printcolumn(json_path = ".metadata.creationTimestamp", name = "Age", type_ = "date")
)]
#[serde(rename_all = "camelCase")]
pub struct BuildClusterSpec {
    /// The object of Cluster API or Crossplane that is the cluster, in the namespace of this resource. The
    /// cluster of the operator itself unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_ref: Option<ClusterRef>,
    /// Secret with the kubeconfig, in the namespace of this resource. Where `clusterRef` is given it is found
    /// as Cluster API and Crossplane name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<KubeconfigSecret>,
    /// The namespace of builds. One that is there already has to carry the label
    /// `pilotfish.io/build-cluster`.
    #[x_kube(validation = ("self == oldSelf", "make another BuildCluster for another namespace"))]
    pub namespace: String,
    /// Pod Security Standard that the namespace enforces.
    #[serde(default)]
    pub pod_security: PodSecurity,
    /// Most of everything there together, as `pods: '50'`, `requests.cpu: '40'`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quota: BTreeMap<String, String>,
    /// For containers that say nothing themselves.
    #[serde(default)]
    pub limits: LimitSettings,
    /// Who makes pods there: the bridge, masters with a cloud plugin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access: Vec<Access>,
    /// Where builds may connect to.
    #[serde(default)]
    pub network: NetworkSettings,
    /// Images that its nodes keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<KeptImages>,
    /// Nodes that builds run on, such as those of Virtual Kubelet.
    #[serde(default)]
    pub nodes: NodeSettings,
    /// What becomes of the namespace when this resource is deleted.
    #[serde(default)]
    pub deletion: Deletion,
}

/// An object that is a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRef {
    /// Such as `cluster.x-k8s.io/v1beta1`.
    pub api_version: String,
    /// Such as `Cluster`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// A Secret with a kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubeconfigSecret {
    /// Its name.
    pub secret: String,
    /// Its key.
    #[serde(default = "value")]
    pub key: String,
}

/// The key of Cluster API.
fn value() -> String {
    "value".to_owned()
}

/// For containers that say nothing themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LimitSettings {
    /// Requests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub default_requests: BTreeMap<String, String>,
    /// Limits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub default_limits: BTreeMap<String, String>,
    /// The most that one may ask for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub most: BTreeMap<String, String>,
}

/// Somebody who makes pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// What it is.
    pub kind: AccessKind,
    /// Its name.
    pub name: String,
    /// Namespace of a service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// What somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessKind {
    /// A service account.
    ServiceAccount,
    /// A user.
    User,
    /// A group.
    Group,
}

/// Where builds may connect to. Nobody connects to builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkSettings {
    /// Networks that builds may connect to; all unless given, none where the list is empty.
    pub egress: Vec<String>,
    /// Networks that they may not: those with the credentials of nodes, unless others are given.
    pub except: Vec<String>,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        // Where clouds tell a machine its own credentials.
        Self { egress: vec!["0.0.0.0/0".into()], except: vec!["169.254.0.0/16".into()] }
    }
}

/// Images that nodes keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeptImages {
    /// What keeps them.
    pub keeper: Keeper,
    /// Image of the agent, which is kept, too.
    pub agent: String,
    /// The images.
    pub images: Vec<String>,
    /// Size of an ImageCache in GB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_gb: Option<u32>,
    /// Secrets for pulling: in the namespace of builds, or `namespace:name` for an ImageCache.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}

/// What keeps images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Keeper {
    /// A DaemonSet on the nodes of builds.
    Prepull,
    /// An ImageCache of Elastic Container Instance.
    ImageCache,
}

/// Nodes that builds run on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeSettings {
    /// Kind of nodes, as in a pod profile.
    #[serde(default)]
    pub flavour: Flavour,
    /// Their labels. With none, all nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub selector: BTreeMap<String, String>,
    /// Keys of their taints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<String>,
}

/// How a place for builds stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildClusterStatus {
    /// Generation of the resource that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What it waits for, or what went wrong.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Nodes for builds that are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
    /// What keeps images there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Keeper>,
    /// ConfigMap with the pod profile of this place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Conditions `Ready`, `Progressing` and `Degraded`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
