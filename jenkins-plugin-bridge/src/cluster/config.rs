//! The file of clusters: how each is reached, the pod profiles, and which controller's builds get
//! which of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::images::ImageSettings;
use crate::catalog::model::{Api, Identifier};
use crate::catalog::read::{typed, yaml};
use crate::declared::text_of;
use crate::error::{BridgeError, Problem};
use crate::pod::Profile;
use crate::text::nearest_hint;

/// Marks a file of clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClustersKind {
    /// The only value.
    #[serde(rename = "clusters")]
    Kind,
}

/// Clusters, profiles, and whose builds go where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClustersFile {
    /// Version of the file format.
    pub api: Api,
    /// `clusters`.
    pub kind: ClustersKind,
    /// How clusters are reached, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clusters: BTreeMap<Identifier, ClusterSettings>,
    /// Files with pod profiles, seen from the directory of this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<PathBuf>,
    /// Names of profiles by names of controllers: the builds of those run in pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub controllers: BTreeMap<String, Identifier>,
}

/// How a cluster is reached. With nothing given: the current context of the kubeconfig, or the
/// cluster that the program runs in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterSettings {
    /// The kubeconfig; that of `KUBECONFIG`, else `~/.kube/config`, unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The cluster that the program runs in, by the service account of its pod.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_cluster: bool,
    /// Keeps the images of builds on its nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<ImageSettings>,
}

/// What a file of clusters says, checked, with the profiles that it names.
#[derive(Debug, Clone, Default)]
pub struct Clusters {
    clusters: BTreeMap<String, ClusterSettings>,
    profiles: BTreeMap<String, Arc<Profile>>,
    controllers: BTreeMap<String, Arc<Profile>>,
}

impl Clusters {
    /// Reads a file of clusters and the profiles that it names.
    ///
    /// # Errors
    /// [`BridgeError::Profile`] with everything that is wrong, [`BridgeError::Input`] for a file
    /// that cannot be read.
    pub fn read(path: &Path) -> Result<Self, BridgeError> {
        let shown = path.display().to_string();
        let told = |problems: Vec<Problem>| {
            BridgeError::Profile(problems.into_iter().map(|one| one.in_file(&*shown)).collect())
        };
        let value = yaml(&text_of(path)?).map_err(|problem| told(vec![problem]))?;
        let file: ClustersFile = typed("clusters", value).map_err(told)?;
        let directory = path.parent().unwrap_or_else(|| Path::new("."));
        let mut problems = Vec::new();
        let mut profiles = BTreeMap::new();
        for (index, one) in file.profiles.iter().enumerate() {
            let place = directory.join(one);
            match Profile::read(&place.display().to_string(), &text_of(&place)?) {
                Ok(profile) => {
                    let name = profile.name.to_string();
                    if profiles.insert(name.clone(), Arc::new(profile)).is_some() {
                        let message = format!("a profile named {name} is there already");
                        problems.push(Problem::new(format!("profiles.{index}"), message));
                    }
                }
                Err(BridgeError::Profile(all)) => problems.extend(all),
                Err(other) => return Err(other),
            }
        }
        let mut all = Self::default();
        for (name, mut settings) in file.clusters {
            check(&name, &settings, &mut problems);
            settings.kubeconfig = settings.kubeconfig.map(|one| directory.join(one));
            all.clusters.insert(name.to_string(), settings);
        }
        for (name, profile) in &profiles {
            if let Some(cluster) = &profile.cluster
                && !all.clusters.contains_key(cluster.as_str())
            {
                let hint = nearest_hint(cluster.as_str(), all.clusters.keys().map(String::as_str));
                let message = format!(
                    "the profile {name} names the cluster {cluster}, which is not there{hint}"
                );
                problems.push(Problem::new("clusters", message));
            }
        }
        for (controller, name) in file.controllers {
            match profiles.get(name.as_str()) {
                Some(profile) => {
                    all.controllers.insert(controller, Arc::clone(profile));
                }
                None => {
                    let hint = nearest_hint(name.as_str(), profiles.keys().map(String::as_str));
                    let message = format!("there is no profile {name}{hint}");
                    problems.push(Problem::new(format!("controllers.{controller}"), message));
                }
            }
        }
        all.profiles = profiles;
        problems.sort();
        problems.dedup();
        let own = |one: Problem| if one.file.is_empty() { one.in_file(&*shown) } else { one };
        match problems.is_empty() {
            true => Ok(all),
            false => Err(BridgeError::Profile(problems.into_iter().map(own).collect())),
        }
    }

    /// The profile of the builds of a controller, where they run in pods.
    #[must_use]
    pub fn of_controller(&self, name: &str) -> Option<&Arc<Profile>> {
        self.controllers.get(name)
    }

    /// A profile by its name.
    #[must_use]
    pub fn profile(&self, name: &str) -> Option<&Arc<Profile>> {
        self.profiles.get(name)
    }

    /// Names of all profiles.
    pub fn profile_names(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(String::as_str)
    }

    /// The clusters of the profiles that controllers have, each once, with the namespaces of their
    /// pods.
    #[must_use]
    pub fn in_use(&self) -> Vec<(String, ClusterSettings, Vec<Option<String>>)> {
        let mut all: BTreeMap<String, (ClusterSettings, Vec<Option<String>>)> = BTreeMap::new();
        for profile in self.controllers.values() {
            let name = profile.cluster.as_ref().map_or_else(String::new, ToString::to_string);
            let entry = all.entry(name).or_insert_with(|| (self.settings_of(profile), Vec::new()));
            let namespace = profile.namespace.as_ref().map(|one| one.0.clone());
            if !entry.1.contains(&namespace) {
                entry.1.push(namespace);
            }
        }
        all.into_iter().map(|(name, (settings, spaces))| (name, settings, spaces)).collect()
    }

    /// The clusters that keep images, and how they are reached.
    pub fn that_keep_images(&self) -> impl Iterator<Item = (&str, &ClusterSettings)> {
        let all = self.clusters.iter().filter(|(_, one)| one.images.is_some());
        all.map(|(name, one)| (name.as_str(), one))
    }

    /// The profile of a cluster, the first by name; without a name of a cluster, the first that
    /// names none.
    #[must_use]
    pub fn profile_of(&self, cluster: &str) -> Option<&Profile> {
        let there =
            |one: &&Arc<Profile>| one.cluster.as_ref().map_or("", |it| it.as_str()) == cluster;
        self.profiles.values().find(there).map(|one| &**one)
    }

    /// The image of the agent in a cluster: that of its first profile.
    #[must_use]
    pub fn agent_of(&self, cluster: &str) -> String {
        let there =
            |one: &&Arc<Profile>| one.cluster.as_ref().is_some_and(|it| it.as_str() == cluster);
        let known = self.profiles.values().find(there);
        known.map_or_else(|| Profile::default().agent.image, |one| one.agent.image.clone())
    }

    /// How the cluster of a profile is reached. A name that the file does not have is one of a
    /// context.
    #[must_use]
    pub fn settings_of(&self, profile: &Profile) -> ClusterSettings {
        let Some(name) = &profile.cluster else { return ClusterSettings::default() };
        let known = self.clusters.get(name.as_str()).cloned();
        known.unwrap_or_else(|| ClusterSettings {
            context: Some(name.to_string()),
            ..ClusterSettings::default()
        })
    }
}

fn check(name: &Identifier, one: &ClusterSettings, problems: &mut Vec<Problem>) {
    if one.in_cluster && (one.kubeconfig.is_some() || one.context.is_some()) {
        let message = "`in_cluster` takes no kubeconfig and no context: give one or the other";
        problems.push(Problem::new(format!("clusters.{name}"), message));
    }
    if let Some(images) = &one.images {
        images.check(&format!("clusters.{name}.images"), problems);
    }
}
