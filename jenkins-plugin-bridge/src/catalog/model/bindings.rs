//! Which pipeline a job gets, and the small files beside the templates.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Api, BindingsKind, CatalogKind, ExampleKind, Identifier, Version};

/// The description of a catalog, in `catalog.yaml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogInfo {
    /// Version of the file format.
    pub api: Api,
    /// `catalog`.
    pub kind: CatalogKind,
    /// Name of the catalog.
    pub name: Identifier,
    /// Version of the catalog.
    pub version: Version,
    /// What it is for, for people.
    pub description: String,
}

/// Ordered rules: the first that matches a job gives it its pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bindings {
    /// Version of the file format.
    pub api: Api,
    /// `bindings`.
    pub kind: BindingsKind,
    /// The rules, first match wins.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Name, shown by `--explain`.
    pub name: Identifier,
    /// The jobs it is for. All that is given must match; nothing given matches every job.
    #[serde(default, rename = "match")]
    pub matches: JobMatch,
    /// The pipeline they get.
    pub pipeline: Identifier,
    /// The team whose layer holds for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Identifier>,
    /// Parameter of the pipeline from the parameter of the job of another name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Parameters of the pipeline with a fixed value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Value>,
    /// Parameters of the job that are not needed: they are not reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// Paths that the Jenkinsfile may override, within what the pipeline leaves open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<String>,
}

/// Which jobs. All that is given must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobMatch {
    /// Glob on the name of the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// Glob on the folder: `php/**`. A job at the top has the empty folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Glob on the name of the job in its folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Glob on one of the labels of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Globs on parameters by name; `*` asks only that the job has it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

/// Parameters that show what a pipeline does: tried by `lint`, compared by `diff`, shown in `docs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// Version of the file format.
    pub api: Api,
    /// `example`.
    pub kind: ExampleKind,
    /// Name.
    pub name: Identifier,
    /// What it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The pipeline.
    pub pipeline: Identifier,
    /// The team whose layer holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Identifier>,
    /// The parameters.
    #[serde(default)]
    pub parameters: BTreeMap<String, Value>,
    /// What is known about the build.
    #[serde(default)]
    pub facts: PlanFacts,
}

/// A job of a controller as it was read: who it is and the values of its parameters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobRecord {
    /// Name of the controller.
    pub controller: String,
    /// Full name, folders first: `php/shop/build`.
    pub job: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Parameters by name. Text is read as the type that the pipeline asks for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Value>,
    /// What is known about the build.
    #[serde(default)]
    pub facts: PlanFacts,
}

/// What is known about a build when its plan is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanFacts {
    /// The branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The target branch of a pull request; not given for other builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<String>,
    /// What started the build: `push`, `timer`, `user`, `upstream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Changed files, where they are known before the checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_files: Option<Vec<String>>,
}

impl JobRecord {
    /// The folder and the name in it.
    #[must_use]
    pub fn split(&self) -> (&str, &str) {
        self.job.rsplit_once('/').unwrap_or(("", &self.job))
    }
}
