//! Images are there before the build: which, and the objects that keep them on nodes.
//!
//! Fields and bounds of ImageCache are those of its provider's reference, "Kubernetes ImageCache
//! API" (<https://www.alibabacloud.com/help/doc-detail/268706.htm>).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec};
use k8s_openapi::api::core::v1::{
    Container, LocalObjectReference, PodSpec, PodTemplateSpec, ResourceRequirements, Toleration,
    Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Problem;
use crate::plan::{DecisionState, Plan, PlanNode};
use crate::pod::{Identity, PROGRAM_SOURCE, label, of_container, of_pod};

/// The label of everything that is kept in step here: what has it and is not wanted is removed.
pub const OWNED: (&str, &str) = ("app.kubernetes.io/managed-by", "pilotfish-bridge-images");
/// Size of an ImageCache in GB (`imageCacheSize`: 20 to 32768, 20 unless given).
const SIZE: std::ops::RangeInclusive<u32> = 20..=32_768;
/// Days after which an ImageCache goes (`retentionDays`: 1 to 65536).
const RETENTION: std::ops::RangeInclusive<u32> = 1..=65_536;
/// The most images of one pod that pulls: each is an init container.
const PULLED: usize = 100;
/// The name of the pods that pull.
const PREPULL: &str = "pilotfish-prepull";

/// How the images of builds are kept on the nodes of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ImageSettings {
    /// ImageCache objects of Elastic Container Instance, one for each pipeline.
    ImageCache {
        /// Size of each, in GB; 20 unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size_gb: Option<u32>,
        /// Days after which one goes that is no longer kept in step; never unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retention_days: Option<u32>,
        /// Secrets for pulling, as `namespace:name`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        secrets: Vec<String>,
    },
    /// A DaemonSet that pulls them on every node that builds run on.
    Prepull {
        /// Its namespace.
        namespace: String,
        /// Secrets for pulling, in that namespace.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        secrets: Vec<String>,
        /// Labels of the nodes.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        node_selector: BTreeMap<String, String>,
        /// Keys of taints that it does not mind.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tolerations: Vec<String>,
    },
}

/// Images by pipeline.
pub type Images = BTreeMap<String, BTreeSet<String>>;

/// Adds the images that a plan needs.
pub fn add_plan(images: &mut Images, plan: &Plan, agent: &str) {
    let own = images.entry(plan.pipeline.clone()).or_default();
    own.insert(agent.to_owned());
    for node in plan.nodes() {
        if node.decision().state == DecisionState::Skipped {
            continue;
        }
        if let PlanNode::Stage(stage) = node {
            own.extend(stage.containers.iter().map(|one| one.image.clone()));
            own.extend(stage.services.iter().map(|one| one.image.clone()));
        }
    }
}

impl ImageSettings {
    /// What is wrong with the settings.
    pub(crate) fn check(&self, place: &str, problems: &mut Vec<Problem>) {
        let mut add = |field: &str, message: String| {
            problems.push(Problem::new(format!("{place}.{field}"), message));
        };
        match self {
            Self::ImageCache { size_gb, retention_days, secrets } => {
                for (field, value, range) in
                    [("size_gb", size_gb, SIZE), ("retention_days", retention_days, RETENTION)]
                {
                    if let Some(value) = value.filter(|value| !range.contains(value)) {
                        let (start, end) = (range.start(), range.end());
                        add(field, format!("{value} is refused: expected {start} to {end}"));
                    }
                }
                for secret in secrets.iter().filter(|one| one.split(':').count() != 2) {
                    add("secrets", format!("{secret:?} is refused: expected namespace:name"));
                }
            }
            Self::Prepull { namespace, .. } => {
                if label(namespace, 63) != *namespace {
                    add("namespace", format!("{namespace:?} is no name of a namespace"));
                }
            }
        }
    }

    /// The objects that keep these images, and where objects of their kind are.
    #[must_use]
    pub fn objects(&self, images: &Images, agent: &str) -> Vec<Value> {
        match self {
            Self::ImageCache { size_gb, retention_days, secrets } => images
                .iter()
                .map(|(pipeline, images)| {
                    let mut spec = json!({"images": images});
                    let secrets = (!secrets.is_empty()).then(|| json!(secrets));
                    for (key, value) in [
                        ("imageCacheSize", size_gb.map(Value::from)),
                        ("imagePullSecrets", secrets),
                        ("retentionDays", retention_days.map(Value::from)),
                    ] {
                        if let Some(value) = value {
                            spec[key] = value;
                        }
                    }
                    json!({
                        "apiVersion": "eci.alibabacloud.com/v1",
                        "kind": "ImageCache",
                        "metadata": {
                            "name": format!("pilotfish-{}", label(pipeline, 50)),
                            "labels": {OWNED.0: OWNED.1},
                            "annotations": {"pilotfish.io/pipeline": pipeline},
                        },
                        "spec": spec,
                    })
                })
                .collect(),
            Self::Prepull { namespace, secrets, node_selector, tolerations } => {
                let all: BTreeSet<&String> = images.values().flatten().collect();
                if all.is_empty() {
                    return Vec::new();
                }
                let labels = BTreeMap::from([
                    (OWNED.0.to_owned(), OWNED.1.to_owned()),
                    ("app.kubernetes.io/name".to_owned(), PREPULL.to_owned()),
                ]);
                let mut init = vec![copies(agent)];
                init.extend(
                    all.into_iter().take(PULLED).enumerate().map(|(at, one)| pulls(at, one)),
                );
                let spec = PodSpec {
                    automount_service_account_token: Some(false),
                    // What keeps the pod, and with it the images from being cleared away.
                    containers: vec![Container {
                        command: Some(vec!["sleep".into(), "2147483647".into()]),
                        ..container("keeps", agent)
                    }],
                    image_pull_secrets: Some(
                        secrets
                            .iter()
                            .map(|one| LocalObjectReference { name: one.clone() })
                            .collect(),
                    ),
                    init_containers: Some(init),
                    node_selector: Some(node_selector.clone()),
                    security_context: Some(of_pod(USER)),
                    termination_grace_period_seconds: Some(0),
                    tolerations: Some(tolerations.iter().map(|key| tolerates(key)).collect()),
                    volumes: Some(vec![Volume {
                        name: "program".into(),
                        empty_dir: Some(Default::default()),
                        ..Volume::default()
                    }]),
                    ..PodSpec::default()
                };
                let set = DaemonSet {
                    metadata: ObjectMeta {
                        name: Some(PREPULL.into()),
                        namespace: Some(namespace.clone()),
                        labels: Some(labels.clone()),
                        ..ObjectMeta::default()
                    },
                    spec: Some(DaemonSetSpec {
                        selector: LabelSelector {
                            match_labels: Some(labels.clone()),
                            ..LabelSelector::default()
                        },
                        template: PodTemplateSpec {
                            metadata: Some(ObjectMeta {
                                labels: Some(labels),
                                ..ObjectMeta::default()
                            }),
                            spec: Some(spec),
                        },
                        ..DaemonSetSpec::default()
                    }),
                    status: None,
                };
                serde_json::to_value(set).into_iter().collect()
            }
        }
    }
}

/// The user of the pods that pull.
const USER: Identity = Identity { user: 1000, group: 1000 };

fn container(name: &str, image: &str) -> Container {
    let amounts = |cpu: &str, memory: &str| {
        let pair = |name: &str, value: &str| (name.to_owned(), Quantity(value.to_owned()));
        BTreeMap::from([pair("cpu", cpu), pair("memory", memory)])
    };
    Container {
        name: name.to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".into()),
        resources: Some(ResourceRequirements {
            requests: Some(amounts("10m", "16Mi")),
            ..ResourceRequirements::default()
        }),
        security_context: Some(of_container(USER, None)),
        ..Container::default()
    }
}

/// An image may have no program that ends well, so the agent's is brought along.
fn copies(agent: &str) -> Container {
    Container {
        command: Some(vec!["cp".into(), PROGRAM_SOURCE.into(), "/pilotfish/program".into()]),
        volume_mounts: Some(vec![mounted(false)]),
        ..container("copies", agent)
    }
}

fn pulls(at: usize, image: &str) -> Container {
    Container {
        command: Some(vec!["/pilotfish/program".into(), "-version".into()]),
        volume_mounts: Some(vec![mounted(true)]),
        ..container(&format!("image-{at}"), image)
    }
}

fn mounted(read_only: bool) -> VolumeMount {
    VolumeMount {
        name: "program".into(),
        mount_path: "/pilotfish".into(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    }
}

fn tolerates(key: &str) -> Toleration {
    Toleration {
        key: Some(key.to_owned()),
        operator: Some("Exists".into()),
        ..Toleration::default()
    }
}
