//! Limits and how full they are.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decide::Limits;
use super::model::Build;

/// What a limit is for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum LimitKind {
    /// Builds that ask for a label.
    Label,
    /// Builds of a team.
    Team,
    /// Builds at the masters of a cluster.
    Cluster,
}

impl LimitKind {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Team => "team",
            Self::Cluster => "cluster",
        }
    }
}

/// A limit, and how full it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LimitFill {
    /// What it is for.
    pub kind: LimitKind,
    /// Name of the label, the team or the cluster.
    pub name: String,
    /// Builds at the same time.
    pub limit: u32,
    /// Builds that are at masters now.
    pub used: u32,
    /// Builds of the label or the team that wait, for whatever reason. Those of a cluster are not known before they
    /// have a master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u32>,
}

impl LimitFill {
    /// Whether nothing more of it is given to a master.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.used >= self.limit
    }
}

/// All limits, and how full builds that have not ended make them. `clusters` has the cluster of each master that has
/// one. The limit of each other team is one for each team with such builds.
#[must_use]
pub fn fill(
    limits: &Limits,
    builds: &[Build],
    clusters: &BTreeMap<String, String>,
) -> Vec<LimitFill> {
    let counted = |fits: &dyn Fn(&Build) -> bool| {
        let (placed, waiting): (Vec<&Build>, Vec<&Build>) =
            builds.iter().filter(|build| fits(build)).partition(|build| build.state.is_placed());
        let count = |of: Vec<&Build>| u32::try_from(of.len()).unwrap_or(u32::MAX);
        (count(placed), count(waiting))
    };
    let mut all = Vec::new();
    for (label, &limit) in &limits.labels {
        let (used, waiting) = counted(&|build| build.request.labels.contains(label));
        let (kind, name) = (LimitKind::Label, label.clone());
        all.push(LimitFill { kind, name, limit, used, waiting: Some(waiting) });
    }
    let mut teams: BTreeSet<&str> = limits.teams.keys().map(String::as_str).collect();
    if limits.any_team.is_some() {
        let of_builds = builds.iter().map(|build| build.request.team.as_str());
        teams.extend(of_builds.filter(|team| !team.is_empty()));
    }
    for team in teams {
        let Some(limit) = limits.teams.get(team).copied().or(limits.any_team) else { continue };
        let (used, waiting) = counted(&|build| build.request.team == team);
        let (kind, name) = (LimitKind::Team, team.to_owned());
        all.push(LimitFill { kind, name, limit, used, waiting: Some(waiting) });
    }
    for (cluster, &limit) in &limits.clusters {
        let (used, _) = counted(&|build| {
            let master = build.master.as_ref().filter(|_| build.state.is_placed());
            master.and_then(|master| clusters.get(master)) == Some(cluster)
        });
        let (kind, name) = (LimitKind::Cluster, cluster.clone());
        all.push(LimitFill { kind, name, limit, used, waiting: None });
    }
    all
}
