//! Fencing in clusters: the pods of a lost build are deleted and seen gone.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::state::Service;
use crate::cluster::start::PodStart;
use crate::cluster::{Cluster, was_in_use};
use crate::error::BridgeError;
use crate::rest::build_of;
use crate::route::{Fence, Fenced, Lost};

/// Deletes the pods of lost builds in the clusters that profiles name.
#[derive(Debug)]
pub struct PodFence {
    service: Arc<Service>,
    patience: Duration,
}

impl PodFence {
    /// How long a pod may take to be gone: longer than the time that it has to end.
    pub const PATIENCE: Duration = Duration::from_secs(120);

    /// A fence for the builds of a service.
    #[must_use]
    pub fn new(service: Arc<Service>) -> Self {
        Self { service, patience: Self::PATIENCE }
    }

    /// One that waits so long for a pod to be gone.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    async fn try_fence(&self, lost: &Lost) -> Result<Fenced, BridgeError> {
        let unknown = |why: &str| Ok(Fenced::Unknown(why.to_owned()));
        if self.service.clusters.of_controller(&lost.master).is_none() {
            return unknown("its builds run in no pods that this bridge knows");
        }
        let Some((job, number)) = build_of(&lost.url) else {
            return unknown("its address is not that of a build");
        };
        let failed = |error: super::StoreError| {
            BridgeError::io("read the database", std::io::Error::other(error.to_string()))
        };
        let store = &self.service.store;
        let builds = store.builds_of(&lost.master, job.as_str(), number).await.map_err(failed)?;
        let Some(newest) = builds.last() else {
            return unknown("it has asked for no plan yet, and may still do so");
        };
        let ids: Vec<String> = builds.iter().map(|build| build.id.clone()).collect();
        let start = store.start_of(&newest.id).await.map_err(failed)?;
        let start = start.and_then(|body| serde_json::from_str::<PodStart>(&body).ok());
        let (mut used, mut unused) = (start.is_some_and(|start| start.failure.is_none()), false);
        for (name, settings, namespaces) in self.service.clusters.in_use() {
            let cluster = Cluster::connect(&name, &settings).await?;
            for namespace in namespaces {
                for pod in cluster.pods_of(namespace.as_deref(), &ids).await? {
                    let name = pod.metadata.name.clone().unwrap_or_default();
                    if !cluster.delete_and_see_gone(&pod, self.patience).await? {
                        let why = format!("its pod {name} is deleted and not gone: see its node");
                        return Ok(Fenced::Unknown(why));
                    }
                    tracing::warn!(build = lost.build, pod = name, "a pod was fenced");
                    if was_in_use(&pod) { used = true } else { unused = true }
                }
            }
        }
        // A pod that its master had not got yet is asked for again by a master that still lives.
        if unused && !used {
            return unknown(
                "its pod was deleted before its agent was connected: another one may come",
            );
        }
        if used { Ok(Fenced::Gone) } else { unknown("no pod of it was seen yet, and one may come") }
    }
}

#[async_trait]
impl Fence for PodFence {
    async fn fence(&self, lost: &Lost) -> Fenced {
        match self.try_fence(lost).await {
            Ok(fenced) => fenced,
            Err(error) => Fenced::Unknown(error.to_string()),
        }
    }
}
