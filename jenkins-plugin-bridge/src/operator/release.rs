//! Lets resources go that nobody works on any more: without an operator nobody would take its mark away when they
//! are deleted, and they would stay for ever, and their namespace with them.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::builds::model::BuildCluster;
use super::lease::KubernetesLeases;
use super::model::JenkinsController;
use super::objects::gone;
use super::peers::Scope;
use super::run::{FINALIZER, LEASE};
use crate::cluster::ClusterError;
use crate::service::{LeaseTimes, Leases as _};

/// How long the pods of an operator may take to be gone: longer than the time that they have to end.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// How often a resource is tried that others change at the same time.
const TRIES: u32 = 5;

/// The operator whose resources are let go.
pub(super) struct Leaving<'a> {
    pub client: Client,
    pub scope: &'a Scope,
    /// The namespace of its lease, and of its Deployment.
    pub namespace: &'a str,
    /// Its Deployment, which is deleted first.
    pub deployment: Option<&'a str>,
}

impl Leaving<'_> {
    /// Takes the mark of the operator away from all of its resources: how many those were. What they made stays as
    /// it is.
    ///
    /// # Errors
    /// What the API server says; [`ClusterError::Waiting`] while an operator works, which would mark them again.
    pub async fn release(&self) -> Result<usize, ClusterError> {
        if let Some(name) = self.deployment {
            self.remove_operator(name).await?;
        }
        self.wait_for_rest().await?;
        let masters = self.release_all::<JenkinsController>().await?;
        Ok(masters + self.release_all::<BuildCluster>().await?)
    }

    /// Deletes the Deployment, and sees it and its pods gone.
    async fn remove_operator(&self, name: &str) -> Result<(), ClusterError> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), self.namespace);
        gone(api.delete(name, &DeleteParams::foreground()).await, "delete the operator")?;
        let until = Instant::now() + PATIENCE;
        loop {
            let seen = api.get_opt(name).await;
            if seen.map_err(|error| ClusterError::of("show the operator", error))?.is_none() {
                return Ok(());
            }
            if Instant::now() >= until {
                let what = format!("the pods of the Deployment {name} have to end");
                return Err(ClusterError::Waiting { what });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the lease is free, or stands still.
    async fn wait_for_rest(&self) -> Result<(), ClusterError> {
        let leases = KubernetesLeases::of(self.client.clone(), self.namespace);
        let first = leases.read(LEASE).await?;
        let begun = Instant::now();
        while begun.elapsed() < LeaseTimes::default().still {
            let now = leases.read(LEASE).await?;
            let holder = KubernetesLeases::holder(&now);
            if holder.is_empty() {
                return Ok(());
            }
            if now != first {
                let what = format!(
                    "the operator {holder} is at work and would mark them again: stop it first"
                );
                return Err(ClusterError::Waiting { what });
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn release_all<K>(&self) -> Result<usize, ClusterError>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        let all = self.scope.api::<K>(&self.client).list(&ListParams::default()).await;
        let all = all.map_err(|error| ClusterError::of("list the resources", error))?;
        let mut released = 0;
        for one in all.items {
            released += usize::from(self.release_one(one).await?);
        }
        Ok(released)
    }

    /// Whether it had the mark.
    async fn release_one<K>(&self, mut one: K) -> Result<bool, ClusterError>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        let (namespace, name) = (one.namespace().unwrap_or_default(), one.name_any());
        let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
        let mut tries = 0;
        loop {
            let Some(kept) = without_mark(one.finalizers()) else { return Ok(false) };
            // Of one that somebody else changes meanwhile nothing is taken back.
            let patch = json!({"metadata":
                {"resourceVersion": one.resource_version(), "finalizers": kept}});
            match api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                Ok(_) => break,
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(true),
                Err(kube::Error::Api(status)) if status.code == 409 && tries < TRIES => tries += 1,
                Err(error) => return Err(ClusterError::of("let a resource go", error)),
            }
            let again = api.get_opt(&name).await;
            let again = again.map_err(|error| ClusterError::of("show a resource", error))?;
            let Some(again) = again else { return Ok(true) };
            one = again;
        }
        if one.meta().deletion_timestamp.is_some() {
            tracing::warn!(namespace, name, "it was being deleted; not all of it may be removed");
        } else {
            tracing::info!(namespace, name, "let go; what it made stays");
        }
        Ok(true)
    }
}

/// The finalizers without that of the operator; nothing where it is not among them.
fn without_mark(finalizers: &[String]) -> Option<Vec<&String>> {
    let kept: Vec<&String> = finalizers.iter().filter(|one| *one != FINALIZER).collect();
    (kept.len() < finalizers.len()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_others_stay() {
        let all = |names: &[&str]| names.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let others = all(&["example.com/other"]);
        assert_eq!(without_mark(&others), None);
        assert_eq!(without_mark(&[]), None);
        let both = all(&["example.com/other", FINALIZER]);
        assert_eq!(without_mark(&both).unwrap(), [&both[0]]);
    }
}
