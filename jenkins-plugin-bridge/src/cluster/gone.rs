//! Pods of a build are deleted and seen gone: after that nothing of them runs any more.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use tokio::time::Instant;

use super::connect::Cluster;
use super::error::ClusterError;
use super::start::{StartState, state};
use crate::pod::BUILD_ID;

/// Pods of one answer.
const PAGE: u32 = 500;
/// Between two looks at a pod that is being deleted.
const LOOK: Duration = Duration::from_secs(1);

impl Cluster {
    /// The pods of builds with one of these ids, in a namespace.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn pods_of(
        &self,
        namespace: Option<&str>,
        builds: &[String],
    ) -> Result<Vec<Pod>, ClusterError> {
        let selector = "app.kubernetes.io/name=pilotfish-build";
        let mut found = self.pods_with(namespace, selector, "list the pods of builds").await?;
        found.retain(|pod| {
            let annotations = pod.metadata.annotations.as_ref();
            annotations.and_then(|all| all.get(BUILD_ID)).is_some_and(|id| builds.contains(id))
        });
        Ok(found)
    }

    /// All pods with these labels, in a namespace; `action` says in an error what that was for.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn pods_with(
        &self,
        namespace: Option<&str>,
        selector: &str,
        action: &str,
    ) -> Result<Vec<Pod>, ClusterError> {
        let mut found = Vec::new();
        let mut asked = ListParams::default().labels(selector).limit(PAGE);
        loop {
            let page = self.pods(namespace).list(&asked).await;
            let page = page.map_err(|error| ClusterError::of(action, error))?;
            found.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => asked = asked.continue_token(&token),
                None => return Ok(found),
            }
        }
    }

    /// Deletes a pod, with the time that it has to end, and sees it gone: the node has said so. False where
    /// it is still there after so long, as on a node that is lost itself.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn delete_and_see_gone(
        &self,
        pod: &Pod,
        patience: Duration,
    ) -> Result<bool, ClusterError> {
        self.delete(pod).await?;
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let namespace = self.namespace_of(pod).to_owned();
        let until = Instant::now() + patience;
        loop {
            let seen = self.pods(Some(&namespace)).get_opt(name).await;
            let seen = seen.map_err(|error| ClusterError::of("show the pod", error))?;
            if seen.is_none_or(|seen| seen.metadata.uid != pod.metadata.uid) {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Whether the agent of a pod was connected: whoever asked for the pod has it, and makes no other one.
#[must_use]
pub fn was_in_use(pod: &Pod) -> bool {
    state(pod, &[], Duration::ZERO) == StartState::Connected
}
