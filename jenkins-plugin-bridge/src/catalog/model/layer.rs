//! Layers: what an organisation, a team or a job changes in a pipeline, where it may.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Api, Identifier, JobMatch, LayerKind};

/// How near to a job a layer is. A lower one sees what the upper ones left open.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The whole organisation.
    Organisation,
    /// One team.
    Team,
    /// One job, or some.
    Job,
}

/// A layer: changes to pipelines for an organisation, a team or a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Version of the file format.
    pub api: Api,
    /// `layer`.
    pub kind: LayerKind,
    /// Name. A binding rule names its team by the name of a layer of level `team`.
    pub name: Identifier,
    /// How near to a job it is.
    pub level: Level,
    /// What it is for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Pipelines that it changes; all unless told otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pipelines: Vec<Identifier>,
    /// Jobs for which it holds. Needed for level `job`.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<JobMatch>,
    /// Values in place of others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
    /// Values at the end of lists, stages or steps at extension points.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub appends: Vec<Append>,
    /// What lower layers may not change any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub close: Vec<Closing>,
}

/// A value in place of another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// What is replaced: `stages.unit-tests.timeout`, `parameters.php_version.default`.
    pub path: String,
    /// The value.
    pub value: Value,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Values at the end of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Append {
    /// The list: `extensions.before-deploy`, `stages.unit-tests.extensions.after-install`.
    pub path: String,
    /// The values.
    #[schemars(length(min = 1))]
    pub values: Vec<Value>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something that lower layers may change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// What is open, with all inside; `*` is any name: `stages.*.timeout`.
    pub path: String,
    /// What may be done.
    #[schemars(length(min = 1))]
    pub allow: Vec<Permission>,
    /// Who may do it; all lower layers unless told otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<Level>,
}

/// Something that lower layers may not change any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// What is closed, with all inside; `*` is any name.
    pub path: String,
    /// Why, printed when a change is refused.
    pub reason: String,
}

/// What may be done to something open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Replace the value.
    Override,
    /// Add to the end.
    Append,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Organisation => "organisation",
            Self::Team => "team",
            Self::Job => "job",
        })
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Override => "override",
            Self::Append => "append",
        })
    }
}
