//! The file of agents: which labels get agents on demand, of which pod profile, and how many wait.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pods::Pods;
use crate::catalog::model::{Api, Identifier, Span};
use crate::declared;
use crate::error::{BridgeError, Problem};
use crate::masters::file::Label;
use crate::masters::window::Window;
use crate::masters::{Permission, Registry};
use crate::text::nearest_hint;

/// Agents of a pool at once, unless it says otherwise.
const MOST: u32 = 20;
/// Seconds that a pod may take until its agent is there, and an agent until its node is online.
const START_WITHIN: u64 = 300;
/// Seconds that an agent stays without a build.
const UNUSED_FOR: u64 = 120;
/// Seconds over which demand is looked back at.
const FOLLOW: u64 = 600;
/// Seconds that a pod lives at most.
const LIFE: u64 = 24 * 3600;

/// Marks a file of agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AgentsKind {
    /// The only value.
    #[serde(rename = "agents")]
    Kind,
}

/// Which labels get agents on demand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentsFile {
    /// Version of the file format.
    pub api: Api,
    /// `agents`.
    pub kind: AgentsKind,
    /// Whose nodes and pods these are. Bridges that share a master or a cluster have different ones:
    /// each removes what carries its own mark and what its ledger does not know. `pilotfish` unless
    /// given.
    #[serde(default = "owner")]
    pub owner: Identifier,
    /// Address of this bridge as pods reach it: `https`, as the secrets of nodes come from there.
    #[schemars(regex(pattern = "^https?://[^\\s]+$"))]
    pub bridge: String,
    /// Pools of agents by name.
    pub pools: BTreeMap<Identifier, Pool>,
}

/// Agents that are alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// The labels of its nodes. A build that asks for one of them gets an agent.
    pub labels: BTreeSet<Label>,
    /// The masters that it serves; all where the bridge has the permission `full` unless given.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub masters: BTreeSet<Identifier>,
    /// Name of the pod profile, as the file of clusters has it.
    pub profile: Identifier,
    /// Agents at once, those that wait included; 20 unless given.
    #[serde(default = "most")]
    #[schemars(range(min = 1, max = 10_000))]
    pub most: u32,
    /// How many wait before anybody asks.
    #[serde(default, skip_serializing_if = "Warm::is_default")]
    pub warm: Warm,
    /// How a pod proves to the bridge who it is.
    #[serde(default)]
    pub identity: Identity,
    /// Builds with the library step on its masters get an agent of their own here, by a label that only it
    /// has. One pool of a master may say so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub builds: bool,
    /// An agent runs one build after the other, until none has come for `unused_for`. Unless given it
    /// runs one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reuse: bool,
    /// How long a pod may take to be there, and its node to be online; 5m unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_within: Option<Span>,
    /// How long an agent stays that no build has come to; 2m unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unused_for: Option<Span>,
    /// The longest that a pod lives; 24h unless given. One that has waited for half of it is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<Span>,
}

/// How a pod proves to the bridge who it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// By a token of its own, in a Secret that goes with the pod. Works everywhere.
    #[default]
    Secret,
    /// By the token of its service account, which the cluster checks and which names the pod
    /// (`TokenReview`). Nothing secret is written; needs `create` on `tokenreviews`.
    TokenReview,
}

/// How many agents wait.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Warm {
    /// The fewest that wait.
    #[serde(default)]
    #[schemars(range(max = 10_000))]
    pub min: u32,
    /// The most that wait: between the two as many as builds have come for during `follow`.
    #[serde(default)]
    #[schemars(range(max = 10_000))]
    pub max: u32,
    /// How far back demand is looked at; 10m unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<Span>,
    /// Other numbers at other times. The first that holds counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<Hours>,
}

/// Numbers of a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// When they hold.
    pub during: Window,
    /// The fewest that wait.
    #[schemars(range(max = 10_000))]
    pub min: u32,
    /// The most that wait.
    #[schemars(range(max = 10_000))]
    pub max: u32,
}

fn owner() -> Identifier {
    Identifier::made("pilotfish".to_owned())
}

fn most() -> u32 {
    MOST
}

fn milliseconds(span: Option<&Span>, otherwise: u64) -> i64 {
    let seconds = span.map_or(otherwise, Span::seconds);
    i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
}

impl Warm {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The fewest and the most that wait at a time in seconds since 1970.
    #[must_use]
    pub fn limits(&self, now: i64) -> (u32, u32) {
        let hours = self.hours.iter().find(|one| one.during.is_open(now));
        let (min, max) = hours.map_or((self.min, self.max), |one| (one.min, one.max));
        (min, max.max(min))
    }

    /// How far back demand is looked at, in milliseconds.
    #[must_use]
    pub fn follow_ms(&self) -> i64 {
        milliseconds(self.follow.as_ref(), FOLLOW)
    }
}

impl Pool {
    /// How long a pod may take to be there, and a node to be online, in milliseconds.
    #[must_use]
    pub fn start_within_ms(&self) -> i64 {
        milliseconds(self.start_within.as_ref(), START_WITHIN)
    }

    /// How long an agent stays without a build, in milliseconds.
    #[must_use]
    pub fn unused_for_ms(&self) -> i64 {
        milliseconds(self.unused_for.as_ref(), UNUSED_FOR)
    }

    /// The longest that a pod lives, in seconds.
    #[must_use]
    pub fn life_seconds(&self) -> u64 {
        self.life.as_ref().map_or(LIFE, Span::seconds)
    }

    /// How long a pod may be that still waits, in milliseconds.
    #[must_use]
    pub fn half_life_ms(&self) -> i64 {
        i64::try_from(self.life_seconds().saturating_mul(500)).unwrap_or(i64::MAX)
    }

    /// Whether it serves a master.
    #[must_use]
    pub fn serves(&self, master: &str) -> bool {
        self.masters.is_empty() || self.masters.iter().any(|one| one.as_str() == master)
    }
}

impl AgentsFile {
    /// Reads a file of agents.
    ///
    /// # Errors
    /// [`BridgeError::Agents`] with everything that is wrong, or [`BridgeError::Input`] where it cannot be
    /// read at all.
    pub fn load(file: &Path) -> Result<Self, BridgeError> {
        Self::read(&file.display().to_string(), &declared::text_of(file)?)
    }

    /// Reads the text of a file of agents; `file` is its name in messages.
    ///
    /// # Errors
    /// [`BridgeError::Agents`] with everything that is wrong.
    pub fn read(file: &str, text: &str) -> Result<Self, BridgeError> {
        declared::read("agents", file, text, problems, BridgeError::Agents)
    }
}

impl AgentsFile {
    /// What is wrong beside what else there is: masters and pod profiles that it names and that are not
    /// there, and masters where no nodes may be made. Where the service `takes_more` masters than it knows when it
    /// starts, one that is not there may come.
    #[must_use]
    pub fn problems_beside(
        &self,
        masters: &Registry,
        takes_more: bool,
        pods: &dyn Pods,
    ) -> Vec<Problem> {
        let mut found = Vec::new();
        let all = masters.all();
        for (name, pool) in &self.pools {
            if let Err(message) = pods.check(pool) {
                found.push(Problem::new(format!("pools.{name}.profile"), message));
            }
            for wanted in &pool.masters {
                let message = match all.iter().find(|one| one.name == wanted.as_str()) {
                    None if takes_more => continue,
                    None => {
                        let known = all.iter().map(|one| one.name.as_str());
                        format!(
                            "there is no master {wanted}{}",
                            nearest_hint(wanted.as_str(), known)
                        )
                    }
                    Some(master) if master.spec.permission != Permission::Full => {
                        format!("nodes are made on {wanted}, which needs the permission full there")
                    }
                    Some(_) => continue,
                };
                found.push(Problem::new(format!("pools.{name}.masters"), message));
            }
        }
        found
    }
}

/// Whether nobody can read along: TLS, or this machine.
fn is_private(bridge: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(bridge) else { return false };
    let is_local = || {
        let host = url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    };
    url.scheme() == "https" || is_local()
}

/// What a schema cannot say.
fn problems(file: &AgentsFile) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut add = |path: String, message: String| found.push(Problem::new(path, message));
    let mut offered: BTreeMap<&str, &Identifier> = BTreeMap::new();
    for (name, pool) in &file.pools {
        let path = |field: &str| format!("pools.{name}.{field}");
        if pool.labels.is_empty() {
            add(path("labels"), "is empty: name the labels that builds ask for".to_owned());
        }
        for label in &pool.labels {
            // Two pools would both start an agent for the same build.
            if let Some(other) = offered.insert(&label.0, name) {
                add(path("labels"), format!("{} is a label of the pool {other}, too", label.0));
            }
        }
        let limits = std::iter::once(("warm".to_owned(), pool.warm.min, pool.warm.max)).chain(
            pool.warm
                .hours
                .iter()
                .enumerate()
                .map(|(index, one)| (format!("warm.hours.{index}"), one.min, one.max)),
        );
        for (field, min, max) in limits {
            if max != 0 && max < min {
                add(path(&field), format!("max is {max}, less than min, which is {min}"));
            }
            if min.max(max) > pool.most {
                let message = format!("{} may wait, but `most` is {}", min.max(max), pool.most);
                add(path(&field), message);
            }
        }
        for (index, hours) in pool.warm.hours.iter().enumerate() {
            if let Err(message) = hours.during.check() {
                add(path(&format!("warm.hours.{index}.during")), message);
            }
        }
    }
    let for_builds: Vec<(&Identifier, &Pool)> =
        file.pools.iter().filter(|(_, pool)| pool.builds).collect();
    for (at, (name, pool)) in for_builds.iter().enumerate() {
        let both = for_builds[..at].iter().find(|(_, other)| {
            pool.masters.is_empty()
                || other.masters.is_empty()
                || !pool.masters.is_disjoint(&other.masters)
        });
        if let Some((other, _)) = both {
            let message = format!("the pool {other} has the builds of the same masters already");
            add(format!("pools.{name}.builds"), message);
        }
    }
    if !is_private(&file.bridge) {
        let message =
            "begins with http://, and secrets of nodes come from there: give an https:// address";
        add("bridge".to_owned(), message.to_owned());
    }
    if file.pools.is_empty() {
        add("pools".to_owned(), "is empty: name at least one".to_owned());
    }
    found
}
