//! Fencing in clusters: the pods of a lost build, and the agents on demand that alone are for it, are deleted and seen
//! gone.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::state::Service;
use crate::agents::{Agent, AgentState, Setup};
use crate::cluster::start::PodStart;
use crate::cluster::{Cluster, was_in_use};
use crate::error::BridgeError;
use crate::rest::build_of;
use crate::route::{Fence, Fenced, Lost};

/// Between two looks at pods of agents that are about to go.
const SEEN_EVERY: Duration = Duration::from_secs(1);

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
        let own_agents = self.service.agents.setup();
        let own_agents =
            own_agents.filter(|setup| setup.own_agent(&lost.master, &lost.build).is_some());
        if self.service.clusters.of_controller(&lost.master).is_none() && own_agents.is_none() {
            return unknown("its builds run in no pods that this bridge knows");
        }
        let Some((job, number)) = build_of(&lost.url) else {
            return unknown("its address is not that of a build");
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
                        return unknown(&not_gone(&name));
                    }
                    tracing::warn!(build = lost.build, pod = name, "a pod was fenced");
                    if was_in_use(&pod) { used = true } else { unused = true }
                }
            }
        }
        if let Some(setup) = own_agents {
            match self.end_agents(setup, &ids).await? {
                Ended::NotGone(why) => return Ok(Fenced::Unknown(why)),
                Ended::Used => used = true,
                Ended::Unused => unused = true,
                Ended::None => {}
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

/// What became of the agents on demand of a build.
enum Ended {
    /// It had none.
    None,
    /// None had the secret of its node.
    Unused,
    /// They are gone, and had connected or were about to.
    Used,
    /// One cannot be seen gone.
    NotGone(String),
}

impl PodFence {
    /// Deletes the agents that alone are for these builds, and sees their pods gone. No other one is made for them. Their
    /// nodes go once their master is there again.
    async fn end_agents(&self, setup: &Setup, builds: &[String]) -> Result<Ended, BridgeError> {
        let store = &self.service.store;
        for build in builds {
            store.forget_agent_wish(build).await.map_err(failed)?;
        }
        let agents = store.agents(0).await.map_err(failed)?;
        let is_own = |agent: &Agent| agent.build.as_ref().is_some_and(|one| builds.contains(one));
        let (mut used, mut any) = (false, false);
        for agent in agents.into_iter().filter(is_own) {
            any = true;
            let now = self.service.now_ms();
            let leaves = |agent: &mut Agent| {
                let stays = agent.state < AgentState::Leaving;
                if stays {
                    agent.state = AgentState::Leaving;
                    agent.left_ms = Some(now);
                    "its build was lost with its master".clone_into(&mut agent.reason);
                }
                stays
            };
            // From then on it is given no secret, if it had none.
            let changed = store.change_agent(&agent.id, now, leaves).await.map_err(failed)?;
            let agent = changed.unwrap_or(agent);
            used |= agent.taken_ms.is_some();
            if agent.state == AgentState::Gone {
                continue;
            }
            if let Err(why) = self.see_gone(setup, &agent).await {
                return Ok(Ended::NotGone(why));
            }
            tracing::warn!(build = agent.build, pod = agent.pod, "an agent on demand was fenced");
        }
        Ok(match (any, used) {
            (false, _) => Ended::None,
            (true, false) => Ended::Unused,
            (true, true) => Ended::Used,
        })
    }

    async fn see_gone(&self, setup: &Setup, agent: &Agent) -> Result<(), String> {
        setup.pods.delete(&agent.pool, &agent.pod).await?;
        let until = tokio::time::Instant::now() + self.patience;
        while setup.pods.list(&setup.owner).await?.contains_key(&agent.pod) {
            if tokio::time::Instant::now() >= until {
                return Err(not_gone(&agent.pod));
            }
            tokio::time::sleep(SEEN_EVERY.min(self.patience)).await;
        }
        Ok(())
    }
}

fn failed(error: super::StoreError) -> BridgeError {
    BridgeError::io("read the database", std::io::Error::other(error.to_string()))
}

fn not_gone(pod: &str) -> String {
    format!("its pod {pod} is deleted and not gone: see its node")
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
