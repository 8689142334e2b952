//! The masters file: which controllers there are and what may be done with them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::window::Window;
use crate::catalog::model::{Api, Identifier, Span};
use crate::declared;
use crate::error::{BridgeError, Problem};
use crate::route::Limits;

/// Builds of the bridge that one master has at once, where nothing is said and its executors are not
/// known.
pub const CAPACITY: u32 = 50;

/// Marks a masters file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MastersKind {
    /// The only value.
    #[serde(rename = "masters")]
    Kind,
}

/// Which controllers there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MastersFile {
    /// Version of the file format.
    pub api: Api,
    /// `masters`.
    pub kind: MastersKind,
    /// The masters by name. The name is the one of `PILOTFISH_CONTROLLER` there.
    pub masters: BTreeMap<Identifier, MasterSpec>,
    /// Builds of the bridge at the same time, by label, team and cluster.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
}

/// What is declared about a master.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MasterSpec {
    /// Address, with its context path.
    #[schemars(regex(pattern = "^https?://[^\\s]+$"))]
    pub url: String,
    /// User of the API.
    pub user: String,
    /// File with the API token of that user.
    pub token_file: PathBuf,
    /// PEM files with authorities to trust besides the system's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ca_files: Vec<PathBuf>,
    /// Proxy, as `http://host:port`; `none` for none; what the environment says unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Labels that builds may ask for.
    pub labels: Labels,
    /// Builds of the bridge at once, waiting there included. Its executors unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub capacity: Option<u32>,
    /// What the bridge may do there.
    #[serde(default)]
    pub permission: Permission,
    /// Place of the master. Builds go to a master of their own zone where one is as good as another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Identifier>,
    /// The cluster that its builds run on, for limits that hold for a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Identifier>,
    /// When it gets no new builds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maintenance: Vec<Window>,
    /// Time between two looks at it; 5s unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look_every: Option<Span>,
}

/// Where the labels of a master come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Labels {
    /// From its nodes that are online.
    FromNodes(FromNodes),
    /// These.
    Named(BTreeSet<Label>),
}

/// `from-nodes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FromNodes {
    /// The only value.
    #[serde(rename = "from-nodes")]
    FromNodes,
}

/// A label, as nodes have it (`hudson.model.labels.LabelAtom`): no blanks and no operators.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Label(#[schemars(regex(pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"))] pub String);

/// What the bridge may do with a master. Each includes the ones before it.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Look at it.
    Read,
    /// Start and stop builds there.
    Trigger,
    /// Make jobs and nodes there.
    #[default]
    Full,
}

impl Permission {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Trigger => "trigger",
            Self::Full => "full",
        }
    }
}

impl MasterSpec {
    /// Where it is, in one spelling.
    #[must_use]
    pub fn address(&self) -> &str {
        self.url.trim_end_matches('/')
    }
}

impl MastersFile {
    /// Reads a masters file.
    ///
    /// # Errors
    /// [`BridgeError::Masters`] with everything that is wrong, or [`BridgeError::Input`] where it cannot be
    /// read at all.
    pub fn load(file: &Path) -> Result<Self, BridgeError> {
        Self::read(&file.display().to_string(), &declared::text_of(file)?)
    }

    /// Reads the text of a masters file; `file` is its name in messages.
    ///
    /// # Errors
    /// [`BridgeError::Masters`] with everything that is wrong.
    pub fn read(file: &str, text: &str) -> Result<Self, BridgeError> {
        declared::read("masters", file, text, problems, BridgeError::Masters)
    }
}

/// What a schema cannot say.
fn problems(file: &MastersFile) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut addresses: BTreeMap<&str, &Identifier> = BTreeMap::new();
    for (name, master) in &file.masters {
        let path = |field: &str| format!("masters.{name}.{field}");
        // Two names for one master would hide that a label has only one.
        if let Some(other) = addresses.insert(master.address(), name) {
            let message = format!("is that of {other}, too: one master has one name");
            found.push(Problem::new(path("url"), message));
        }
        let own = problems_of(master).into_iter();
        found.extend(own.map(|one| Problem::new(path(&one.path), one.message)));
    }
    for name in file.limits.clusters.keys() {
        let known = || file.masters.values().filter_map(|one| one.cluster.as_ref());
        if !known().any(|one| one.as_str() == name) {
            let hint = crate::text::nearest_hint(name, known().map(Identifier::as_str));
            let message = format!("no master has this cluster{hint}");
            found.push(Problem::new(format!("limits.clusters.{name}"), message));
        }
    }
    if file.masters.is_empty() {
        found.push(Problem::new("masters", "is empty: name at least one, better two"));
    }
    found
}

/// What a schema cannot say of one master; paths begin in it.
pub(super) fn problems_of(master: &MasterSpec) -> Vec<Problem> {
    let mut found = Vec::new();
    if master.user.is_empty() || master.user.contains(':') {
        found.push(Problem::new("user", "expected a user name without a colon"));
    }
    if matches!(&master.labels, Labels::Named(labels) if labels.is_empty()) {
        let message = "is empty, so that no build comes here: name some, or say from-nodes";
        found.push(Problem::new("labels", message));
    }
    for (index, window) in master.maintenance.iter().enumerate() {
        if let Err(message) = window.check() {
            found.push(Problem::new(format!("maintenance.{index}"), message));
        }
    }
    found
}
