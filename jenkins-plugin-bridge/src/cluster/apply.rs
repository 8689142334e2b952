//! A pod goes into a cluster with its budget, and out of it.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Api;
use kube::api::{DeleteParams, PostParams};

use super::connect::Cluster;
use super::error::ClusterError;
use super::tidy::MADE_HERE;
use crate::pod::RenderedPod;

/// Who is said to have changed an object.
pub(super) const MANAGER: &str = "pilotfish-bridge";

impl Cluster {
    /// Creates the pod, and its budget with the pod as the owner: it goes when the pod does. The
    /// pod is marked as made here, so that it is removed once its work is over.
    ///
    /// # Errors
    /// What the API server says. A pod whose budget was refused is deleted again.
    pub async fn create(&self, rendered: &RenderedPod) -> Result<Pod, ClusterError> {
        let parameters =
            PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let namespace = self.namespace_of(&rendered.pod).to_owned();
        let pods = self.pods(Some(&namespace));
        let mut pod = rendered.pod.clone();
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.insert(MADE_HERE.0.to_owned(), MADE_HERE.1.to_owned());
        let pod = pods
            .create(&parameters, &pod)
            .await
            .map_err(|error| ClusterError::of("create the pod", error))?;
        if let Some(budget) = &rendered.disruption_budget {
            let budget = owned(budget.clone(), &pod);
            let budgets: Api<PodDisruptionBudget> =
                Api::namespaced(self.client.clone(), &namespace);
            if let Err(error) = budgets.create(&parameters, &budget).await {
                let error = ClusterError::of("create the budget of the pod", error);
                // The first answer is the one that counts.
                let _ = self.delete(&pod).await;
                return Err(error);
            }
        }
        Ok(pod)
    }

    /// Creates the Secret that a pod waits for, of the pod's name and with the pod as the owner.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn create_secret(
        &self,
        pod: &Pod,
        data: BTreeMap<String, Vec<u8>>,
    ) -> Result<(), ClusterError> {
        let secret = Secret {
            data: Some(data.into_iter().map(|(key, value)| (key, ByteString(value))).collect()),
            immutable: Some(true),
            metadata: ObjectMeta {
                labels: pod.metadata.labels.clone(),
                name: pod.metadata.name.clone(),
                owner_references: Some(vec![owner(pod)]),
                ..ObjectMeta::default()
            },
            ..Secret::default()
        };
        let parameters =
            PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), self.namespace_of(pod));
        let made = secrets.create(&parameters, &secret).await;
        made.map(drop).map_err(|error| ClusterError::of("create the secret of the pod", error))
    }

    /// Deletes a pod. One that is gone is no error.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn delete(&self, pod: &Pod) -> Result<(), ClusterError> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        // Not another one of the same name.
        let mut parameters = DeleteParams::default();
        if let Some(uid) = &pod.metadata.uid {
            let own = kube::api::Preconditions { uid: Some(uid.clone()), resource_version: None };
            parameters = parameters.preconditions(own);
        }
        let namespace = self.namespace_of(pod).to_owned();
        match self.pods(Some(&namespace)).delete(name, &parameters).await {
            Ok(_) => Ok(()),
            Err(error) => match ClusterError::of("delete the pod", error) {
                error if error.is_missing() => Ok(()),
                error => Err(error),
            },
        }
    }
}

fn owned(mut budget: PodDisruptionBudget, pod: &Pod) -> PodDisruptionBudget {
    budget.metadata.namespace.clone_from(&pod.metadata.namespace);
    budget.metadata.owner_references = Some(vec![owner(pod)]);
    budget
}

fn owner(pod: &Pod) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        ..OwnerReference::default()
    }
}
