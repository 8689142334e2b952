//! Kinds of nodes: how a pod gets there, and what they cannot do.
//!
//! What each provider forbids is from its own documentation: "Limits" of Elastic Container
//! Instance (<https://www.alibabacloud.com/help/en/elastic-container-instance/latest/limits>: 64
//! processors, 20 containers, 20 volumes, no HostPath), "AWS Fargate considerations" and "Fargate
//! pod configuration" of EKS (<https://docs.aws.amazon.com/eks/latest/userguide/fargate.html>: no
//! privileged containers, no HostPath, no EBS; scratch space up to 175 GiB), the README of the ACI
//! provider of Virtual Kubelet (<https://github.com/virtual-kubelet/azure-aci>: among its
//! limitations are probes and host aliases).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelectorRequirement, NodeSelectorTerm, PreferredSchedulingTerm,
    Toleration,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::requests::Amounts;

/// Thousandths of a processor.
const CPU: u128 = 1000;
/// Thousandths of a byte in a gibibyte.
const GIBIBYTE: u128 = 1000 << 30;
/// What Fargate adds to the memory of each pod for the kubelet and its like: 256 MB.
const FARGATE_OWN: u128 = 256_000_000 * 1000;

/// A kind of nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Flavour {
    /// Machines with a kubelet.
    #[default]
    Ordinary,
    /// Machines that the provider may take away; ordinary ones where there are none.
    Spot,
    /// Elastic Container Instance of Alibaba Cloud.
    Eci,
    /// AWS Fargate in EKS.
    Fargate,
    /// Azure Container Instances behind the virtual node of AKS.
    Aci,
    /// Another provider of Virtual Kubelet.
    VirtualKubelet,
}

/// What a kind of nodes can do, and how a pod gets there.
#[derive(Debug)]
pub(super) struct Traits {
    /// In messages.
    pub title: &'static str,
    pub node_selector: &'static [(&'static str, &'static str)],
    pub labels: &'static [(&'static str, &'static str)],
    pub annotations: &'static [(&'static str, &'static str)],
    /// Key, value (any where empty), effect (any where empty).
    pub tolerations: &'static [(&'static str, &'static str, &'static str)],
    /// Labels of nodes that are taken first, with their values.
    pub preferred: &'static [(&'static str, &'static str)],
    /// Why directories of the node cannot be mounted.
    pub no_host_path: Option<&'static str>,
    /// Why claims of volumes cannot be mounted.
    pub no_claim: Option<&'static str>,
    /// Why volumes cannot be made with the pod.
    pub no_ephemeral: Option<&'static str>,
    /// Why no process can make a user namespace.
    pub no_user_namespace: Option<&'static str>,
    /// Names for addresses in `/etc/hosts`.
    pub host_aliases: bool,
    /// Startup and readiness probes.
    pub probes: bool,
    /// Parts of a volume mounted by `subPath`.
    pub sub_paths: bool,
    /// Init containers that go on running.
    pub native_sidecars: bool,
    pub max_containers: Option<usize>,
    pub max_volumes: Option<usize>,
    /// The most that a pod may ask for; nothing where there is no bound but that of a machine.
    pub most: Amounts,
    /// What the provider adds to the requests of a pod.
    pub own: Amounts,
    /// Ports that the provider needs itself.
    pub ports: &'static [u16],
    /// What the reader of the pod must know.
    pub note: Option<&'static str>,
}

const NOTHING: Amounts = Amounts { cpu: 0, memory: 0, storage: 0 };

const MACHINE: Traits = Traits {
    title: "an ordinary node",
    node_selector: &[],
    labels: &[],
    annotations: &[],
    tolerations: &[],
    preferred: &[],
    no_host_path: None,
    no_claim: None,
    no_ephemeral: None,
    no_user_namespace: None,
    host_aliases: true,
    probes: true,
    sub_paths: true,
    native_sidecars: true,
    max_containers: None,
    max_volumes: None,
    most: NOTHING,
    own: NOTHING,
    ports: &[],
    note: None,
};

const SPOT: Traits = Traits {
    title: "a spot node",
    // The taints of GKE and AKS; Karpenter and EKS taint nothing by themselves.
    tolerations: &[
        ("cloud.google.com/gke-spot", "true", "NoSchedule"),
        ("kubernetes.azure.com/scalesetpriority", "spot", "NoSchedule"),
    ],
    preferred: &[
        ("cloud.google.com/gke-spot", "true"),
        ("eks.amazonaws.com/capacityType", "SPOT"),
        ("karpenter.sh/capacity-type", "spot"),
        ("kubernetes.azure.com/scalesetpriority", "spot"),
    ],
    note: Some("a spot node may be taken away: stages that cannot run twice belong elsewhere"),
    ..MACHINE
};

const NO_NAMESPACE: &str = "processes may not make user namespaces there";

const VIRTUAL: Traits = Traits {
    title: "a node of Virtual Kubelet",
    node_selector: &[("type", "virtual-kubelet")],
    tolerations: &[("virtual-kubelet.io/provider", "", "")],
    no_host_path: Some("there is no machine behind the node whose directories could be mounted"),
    no_user_namespace: Some(NO_NAMESPACE),
    native_sidecars: false,
    ..MACHINE
};

const ECI: Traits = Traits {
    title: "Elastic Container Instance",
    labels: &[("alibabacloud.com/eci", "true")],
    // The ImageCache that fits best, by the name of today and by the one that versions of the
    // virtual node before it know, where nothing is matched unless asked for ("Use an ImageCache to
    // accelerate pod creation").
    annotations: &[
        ("k8s.aliyun.com/eci-auto-imc", "true"),
        ("k8s.aliyun.com/eci-image-cache", "true"),
    ],
    tolerations: &[("virtual-kubelet.io/provider", "alibabacloud", "NoSchedule")],
    no_host_path: Some("ECI has no HostPath; use an empty directory, a disk or NAS"),
    max_containers: Some(20),
    max_volumes: Some(20),
    most: Amounts { cpu: 64 * CPU, memory: 0, storage: 0 },
    ports: &[111, 10_250, 10_255],
    ..VIRTUAL
};

const FARGATE: Traits = Traits {
    title: "AWS Fargate",
    no_host_path: Some("Fargate gives a pod no directory of a machine"),
    no_ephemeral: Some(
        "Fargate mounts no EBS volume and makes none: use an empty directory or a claim of EFS",
    ),
    no_user_namespace: Some(NO_NAMESPACE),
    most: Amounts { cpu: 16 * CPU, memory: 120 * GIBIBYTE, storage: 175 * GIBIBYTE },
    own: Amounts { cpu: 0, memory: FARGATE_OWN, storage: 0 },
    note: Some(
        "the pod runs on Fargate only where a Fargate profile of the cluster selects its namespace and labels",
    ),
    ..MACHINE
};

const ACI: Traits = Traits {
    title: "Azure Container Instances",
    node_selector: &[("kubernetes.io/role", "agent"), ("type", "virtual-kubelet")],
    tolerations: &[("virtual-kubelet.io/provider", "", ""), ("azure.com/aci", "", "NoSchedule")],
    no_host_path: Some("ACI has no HostPath"),
    no_claim: Some("the virtual node of AKS mounts no claims; use an empty directory"),
    no_ephemeral: Some("the virtual node of AKS makes no volumes; use an empty directory"),
    host_aliases: false,
    probes: false,
    sub_paths: false,
    note: Some(
        "ACI takes no user from the pod: containers run as the user of their image, and services have no name in /etc/hosts",
    ),
    ..VIRTUAL
};

impl Flavour {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Ordinary, Self::Spot, Self::Eci, Self::Fargate, Self::Aci, Self::VirtualKubelet];

    /// What it can do.
    pub(super) fn traits(self) -> &'static Traits {
        match self {
            Self::Ordinary => &MACHINE,
            Self::Spot => &SPOT,
            Self::Eci => &ECI,
            Self::Fargate => &FARGATE,
            Self::Aci => &ACI,
            Self::VirtualKubelet => &VIRTUAL,
        }
    }
}

impl Traits {
    /// The selector of nodes, with what the profile asks for.
    pub fn selector(&self, more: &BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
        let mut all = owned(self.node_selector);
        all.extend(more.clone());
        (!all.is_empty()).then_some(all)
    }

    /// Labels of the pod.
    pub fn labels(&self) -> BTreeMap<String, String> {
        owned(self.labels)
    }

    /// Annotations of the pod.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        owned(self.annotations)
    }

    /// The taints that the pod does not mind.
    pub fn tolerations(&self) -> Vec<Toleration> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.tolerations
            .iter()
            .map(|(key, value, effect)| Toleration {
                key: some(key),
                operator: Some(if value.is_empty() { "Exists" } else { "Equal" }.to_owned()),
                value: some(value),
                effect: some(effect),
                toleration_seconds: None,
            })
            .collect()
    }

    /// The nodes that are taken first.
    pub fn affinity(&self) -> Option<Affinity> {
        let terms: Vec<PreferredSchedulingTerm> = self
            .preferred
            .iter()
            .map(|(key, value)| PreferredSchedulingTerm {
                weight: 100,
                preference: NodeSelectorTerm {
                    match_expressions: Some(vec![NodeSelectorRequirement {
                        key: (*key).to_owned(),
                        operator: "In".to_owned(),
                        values: Some(vec![(*value).to_owned()]),
                    }]),
                    match_fields: None,
                },
            })
            .collect();
        (!terms.is_empty()).then(|| Affinity {
            node_affinity: Some(NodeAffinity {
                preferred_during_scheduling_ignored_during_execution: Some(terms),
                ..NodeAffinity::default()
            }),
            ..Affinity::default()
        })
    }
}

fn owned(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
