//! Pods of agents in clusters of Kubernetes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::file::{Identity, Pool};
use super::pods::{PodOrder, Pods, Reviewed, SeenPod, StartedPod, TOKEN_AUDIENCE};
use crate::cluster::{Cluster, Clusters};
use crate::pod::{AgentPod, Profile, TokenSource};

/// Pods in the clusters of a file of clusters.
#[derive(Debug)]
pub struct KubePods {
    clusters: Clusters,
    /// Names of profiles by names of pools.
    pools: BTreeMap<String, String>,
    /// Connections by names of clusters, made when they are needed.
    connections: Mutex<BTreeMap<String, Cluster>>,
}

impl KubePods {
    /// Pods of these pools.
    #[must_use]
    pub fn new(clusters: Clusters, pools: &BTreeMap<String, Pool>) -> Self {
        let pools = pools.iter().map(|(name, one)| (name.clone(), one.profile.to_string()));
        Self { clusters, pools: pools.collect(), connections: Mutex::default() }
    }

    fn profile(&self, pool: &str) -> Result<&Arc<Profile>, String> {
        let name = self.pools.get(pool).ok_or_else(|| format!("there is no pool {pool}"))?;
        self.clusters.profile(name).ok_or_else(|| format!("there is no pod profile {name}"))
    }

    async fn cluster(&self, profile: &Profile) -> Result<Cluster, String> {
        let name = profile.cluster.as_ref().map_or_else(String::new, ToString::to_string);
        let mut all = self.connections.lock().await;
        if let Some(known) = all.get(&name) {
            return Ok(known.clone());
        }
        let settings = self.clusters.settings_of(profile);
        let made = Cluster::connect(&name, &settings).await.map_err(|error| error.to_string())?;
        all.insert(name, made.clone());
        Ok(made)
    }
}

/// The cluster and the namespace of a profile.
fn place(profile: &Profile) -> (Option<String>, Option<&str>) {
    (profile.cluster.as_ref().map(ToString::to_string), namespace(profile))
}

fn namespace(profile: &Profile) -> Option<&str> {
    profile.namespace.as_ref().map(|one| one.0.as_str())
}

#[async_trait]
impl Pods for KubePods {
    async fn start(&self, order: &PodOrder<'_>) -> Result<StartedPod, String> {
        let profile = self.profile(order.pool_name)?;
        let token = match order.pool.identity {
            Identity::Secret => TokenSource::Secret(order.name),
            Identity::TokenReview => TokenSource::ServiceAccount(TOKEN_AUDIENCE),
        };
        let rendered = AgentPod {
            profile,
            name: order.name,
            id: order.id,
            owner: order.owner,
            pool: order.pool_name,
            bridge: order.bridge,
            life_seconds: order.pool.life_seconds(),
            token,
        };
        let rendered = rendered.render().map_err(|error| error.to_string())?;
        let cluster = self.cluster(profile).await?;
        let token = order.token.map(|token| token.0.as_str());
        let pod =
            cluster.create_agent(&rendered, token).await.map_err(|error| error.to_string())?;
        Ok(StartedPod { uid: pod.metadata.uid.unwrap_or_default() })
    }

    async fn delete(&self, pool: &str, name: &str) -> Result<(), String> {
        // That of a pool that is there no more is where those of the others are: no other pod has its name.
        let known = self.pools.get_key_value(pool);
        let (one, all) = (known.into_iter(), self.pools.iter().filter(|_| known.is_none()));
        let mut places = BTreeSet::new();
        for (pool, _) in one.chain(all) {
            let profile = self.profile(pool)?;
            if places.insert(place(profile)) {
                let cluster = self.cluster(profile).await?;
                let deleted = cluster.delete_agent(namespace(profile), name).await;
                deleted.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    async fn list(&self, owner: &str) -> Result<BTreeMap<String, SeenPod>, String> {
        let mut places = BTreeSet::new();
        let mut all = BTreeMap::new();
        for pool in self.pools.keys() {
            let profile = self.profile(pool)?;
            // Pools share namespaces.
            if !places.insert(place(profile)) {
                continue;
            }
            let cluster = self.cluster(profile).await?;
            let found = cluster.agents_of(namespace(profile), owner).await;
            for mut pod in found.map_err(|error| error.to_string())? {
                // One of a pool that is there no more is deleted by way of one in the same place.
                if !self.pools.contains_key(&pod.pool) {
                    pod.pool.clone_from(pool);
                }
                all.insert(pod.name.clone(), pod);
            }
        }
        Ok(all)
    }

    async fn review(&self, pool: &str, token: &str) -> Result<Option<Reviewed>, String> {
        let profile = self.profile(pool)?;
        let cluster = self.cluster(profile).await?;
        let reviewed = cluster.review(token, TOKEN_AUDIENCE, namespace(profile)).await;
        reviewed.map_err(|error| error.to_string())
    }

    fn check(&self, pool: &Pool) -> Result<(), String> {
        let name = pool.profile.as_str();
        match self.clusters.profile(name) {
            Some(_) => Ok(()),
            None => {
                let hint = crate::text::nearest_hint(name, self.clusters.profile_names());
                Err(format!("the file of clusters has no profile {name}{hint}"))
            }
        }
    }
}
