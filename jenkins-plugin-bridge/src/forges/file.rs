//! The file of forges.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::folded;
use crate::catalog::model::{Api, Identifier};
use crate::declared;
use crate::error::{BridgeError, Problem};
use crate::triggers::matching::globs;

/// Marks a file of forges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ForgesKind {
    /// The only value.
    #[serde(rename = "forges")]
    Kind,
}

/// Where repositories live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForgesFile {
    /// Version of the file format.
    pub api: Api,
    /// `forges`.
    pub kind: ForgesKind,
    /// The forges by name. The name is in the address of their webhooks: `/v1/hooks/NAME`.
    #[serde(default)]
    pub forges: BTreeMap<Identifier, ForgeSpec>,
    /// Address of this bridge for people: what statuses and webhooks link to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^https?://[^\\s]+$"))]
    pub public_url: Option<String>,
    /// Others that are told what becomes of builds, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub webhooks: BTreeMap<Identifier, WebhookSpec>,
}

/// Somebody who is told what becomes of builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSpec {
    /// Where to.
    #[schemars(regex(pattern = "^https?://[^\\s]+$"))]
    pub url: String,
    /// File with the secret that they are signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// Of what; of builds that have finished unless given.
    #[serde(default = "finished")]
    pub events: BTreeSet<BuildEvent>,
    /// Of which jobs, as globs; of all unless given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<String>,
    /// PEM files with authorities to trust besides the system's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ca_files: Vec<PathBuf>,
}

/// What becomes of a build.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum BuildEvent {
    /// It was asked for.
    Waiting,
    /// It runs.
    Running,
    /// Its master is lost while it ran.
    Unknown,
    /// It has ended.
    Finished,
}

fn finished() -> BTreeSet<BuildEvent> {
    BTreeSet::from([BuildEvent::Finished])
}

/// A forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForgeSpec {
    /// What it is.
    pub kind: ForgeKind,
    /// Address of its pages. Those of its repositories begin so.
    #[schemars(regex(pattern = "^(https?|ssh|file)://[^\\s]*$"))]
    pub url: String,
    /// Files with the secret of its webhooks: two while it is being changed. None are taken without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhook_secret_files: Vec<PathBuf>,
    /// File with the token that statuses of commits are set with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Address of its API, where it is not the usual one of its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^https?://[^\\s]+$"))]
    pub api_url: Option<String>,
    /// PEM files with authorities to trust besides the system's, for its API.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ca_files: Vec<PathBuf>,
    /// What repositories are looked at by begins so, where it is not the address of its pages:
    /// `ssh://git@github.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^(https?|ssh|file)://[^\\s]*$"))]
    pub git_url: Option<String>,
    /// File of `git credential-store` for looking at repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_credentials_file: Option<PathBuf>,
    /// Private key for looking at repositories by ssh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key_file: Option<PathBuf>,
    /// Host keys that are trusted by ssh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_known_hosts_file: Option<PathBuf>,
}

/// A kind of forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ForgeKind {
    /// GitHub, also of one's own.
    Github,
    /// GitLab.
    Gitlab,
    /// Gitea and Forgejo.
    Gitea,
    /// Any git server. It sends no webhooks.
    Git,
}

impl ForgesFile {
    /// Reads a file of forges.
    ///
    /// # Errors
    /// [`BridgeError::Forges`] with everything that is wrong, or [`BridgeError::Input`] where it cannot be
    /// read at all.
    pub fn load(file: &Path) -> Result<Self, BridgeError> {
        Self::read(&file.display().to_string(), &declared::text_of(file)?)
    }

    /// Reads the text of a file of forges; `file` is its name in messages.
    ///
    /// # Errors
    /// [`BridgeError::Forges`] with everything that is wrong.
    pub fn read(file: &str, text: &str) -> Result<Self, BridgeError> {
        declared::read("forges", file, text, problems, BridgeError::Forges)
    }
}

/// What a schema cannot say.
fn problems(file: &ForgesFile) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut addresses: BTreeMap<String, &Identifier> = BTreeMap::new();
    for (name, forge) in &file.forges {
        let path = |field: &str| format!("forges.{name}.{field}");
        if let Some(other) = addresses.insert(folded(&forge.url), name) {
            found.push(Problem::new(path("url"), format!("is that of {other}, too")));
        }
        let is_web = forge.url.starts_with("http://") || forge.url.starts_with("https://");
        if forge.kind != ForgeKind::Git && !is_web {
            found.push(Problem::new(path("url"), "expected https://…"));
        }
        let address = forge.url.split_once("://").map_or("", |(_, rest)| rest);
        if is_web && address.contains('@') {
            found.push(Problem::new(path("url"), "has a user in it: name a file in place of that"));
        }
        // It would stand in the arguments of git, and in its messages.
        let git = forge.git_url.as_deref().unwrap_or_default();
        let has_password = git.split_once("://").is_some_and(|(scheme, rest)| {
            let user = rest.split('/').next().and_then(|host| host.rsplit_once('@'));
            user.is_some_and(|(user, _)| scheme != "ssh" || user.contains(':'))
        });
        if has_password {
            let message = "has a user in it: name a git_credentials_file in place of that";
            found.push(Problem::new(path("git_url"), message));
        }
        if forge.kind == ForgeKind::Git && forge.token_file.is_some() {
            let message = "a plain git server has no statuses; is it github, gitlab or gitea?";
            found.push(Problem::new(path("token_file"), message));
        }
        if forge.kind == ForgeKind::Git && !forge.webhook_secret_files.is_empty() {
            let message = "a plain git server sends no webhooks; is it github, gitlab or gitea?";
            found.push(Problem::new(path("webhook_secret_files"), message));
        }
    }
    for (name, hook) in &file.webhooks {
        if let Err(message) = globs(&hook.jobs) {
            found.push(Problem::new(format!("webhooks.{name}.jobs"), message));
        }
        if hook.events.is_empty() {
            let message = "is empty: name some, or leave it out for finished builds";
            found.push(Problem::new(format!("webhooks.{name}.events"), message));
        }
    }
    if file.forges.is_empty() && file.webhooks.is_empty() {
        found.push(Problem::new("forges", "is empty: name at least one"));
    }
    found
}
