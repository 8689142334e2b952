//! The definitions of the resources, as Kubernetes takes them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::Value;

use super::builds::model::BuildCluster;
use super::model::JenkinsController;

/// All definitions.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![JenkinsController::crd(), BuildCluster::crd()]
}

/// Their text: YAML, each after a line `---`.
#[must_use]
pub fn text() -> String {
    let all = definitions();
    let values = all.iter().filter_map(|one| serde_json::to_value(one).ok());
    values.map(|one: Value| format!("---\n{}", crate::pod::to_yaml(&one))).collect()
}
