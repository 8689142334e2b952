//! The pipeline template: which stages run in which order.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Api, Environment, Identifier, Opening, OutputReference, ParameterSchema, PipelineKind,
    Resources, Retry, Span, Step, Version,
};

fn is_false(value: &bool) -> bool {
    !value
}

/// A pipeline template: a sequence of stages with typed parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Version of the file format.
    pub api: Api,
    /// `pipeline`.
    pub kind: PipelineKind,
    /// Name by which bindings use it.
    pub name: Identifier,
    /// Version of this template.
    pub version: Version,
    /// What the pipeline is for, for people.
    pub description: String,
    /// Whom to ask, shown when an override is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owners: Option<String>,
    /// The parameters it takes.
    #[serde(default)]
    pub parameters: ParameterSchema,
    /// The stages, in order.
    pub stages: Vec<StageEntry>,
    /// Stages after the others.
    #[serde(default, skip_serializing_if = "PipelinePost::is_empty")]
    pub post: PipelinePost,
    /// The most time the whole pipeline may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// What lower layers may change. Everything else is closed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<Opening>,
}

/// Stages that run after the others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelinePost {
    /// In any case, last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub always: Vec<StageEntry>,
    /// After success.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub success: Vec<StageEntry>,
    /// After a failure or a timeout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure: Vec<StageEntry>,
    /// After somebody stopped it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aborted: Vec<StageEntry>,
}

/// One place in a pipeline: a stage (`uses`), a group (`parallel` or `stages`), or a place where
/// layers may put stages (`extension`). Exactly one of these four is given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageEntry {
    /// Name, unique in the pipeline. Conditions find results under it, layers find the stage by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Identifier>,
    /// Title for people; the name unless told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Stage template, `unit-test-php` or with the version wanted, `unit-test-php@1.4`. May be
    /// chosen by a parameter that is an enum: `unit-test-${{ params.language }}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<StageReference>,
    /// Parameters of the template. Parameters of the same name and type are passed by themselves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<String, Value>,
    /// Parameters of the template that take outputs of earlier stages: `image.digest` is the output
    /// `digest` of the stage `image`. Where that stage is skipped, or gives none, the parameter has
    /// the value that it has without.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub with_outputs: BTreeMap<String, OutputReference>,
    /// Branches that run at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<Vec<StageEntry>>,
    /// Stages that run one after the other: a branch of more than one stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<Vec<StageEntry>>,
    /// Name of an extension point: layers may put stages here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<Identifier>,
    /// A branch that fails stops the others. For `parallel` and `matrix`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fail_fast: bool,
    /// CEL condition, beside that of the template; the stage is skipped when it is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Runs the stage once for every combination of values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix: Option<Matrix>,
    /// In place of the template's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// In place of the template's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Only one build at a time has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,
    /// A build that comes here stops the older ones of its job that have not, and is stopped where a newer one has
    /// come here before. Its name is that of the stage.
    #[serde(default, skip_serializing_if = "is_false")]
    pub milestone: bool,
    /// Waits for a person before it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// Environment variables, beside those of the template.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: Environment,
    /// Changes to the containers of the template, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub containers: BTreeMap<Identifier, ContainerPatch>,
    /// Steps at the extension points of the template, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<Identifier, Vec<Step>>,
    /// A failure makes the build unstable and the next stages run all the same.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_failure: bool,
    /// Also runs after an earlier stage failed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub after_failure: bool,
}

/// The name of a stage template with the version wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct StageReference(
    #[schemars(regex(
        pattern = "^([a-z]|\\$\\{\\{ *params\\.[A-Za-z0-9_-]+ *\\}\\})([a-z0-9-]|\\$\\{\\{ *params\\.[A-Za-z0-9_-]+ *\\}\\})*(@[0-9]+(\\.[0-9]+){0,2})?$"
    ))]
    pub String,
);

/// Combinations of values for which a stage runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// Values by axis, or `${{ params.… }}` of a list.
    pub axes: BTreeMap<Identifier, Value>,
    /// Combinations left out: those that have all of these values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<BTreeMap<Identifier, Value>>,
    /// How many run at the same time; all unless told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_parallel: Option<u16>,
}

/// A resource that only one build has at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Its name. May use `${{ params.… }}`.
    pub resource: String,
}

/// A person's consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The question.
    pub message: String,
    /// Users or groups who may answer; everybody who may build unless told otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// How long to wait. The build is aborted afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// Changes to a container of a template.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerPatch {
    /// Another image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Other requests; amounts that are not given stay.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub requests: Resources,
    /// Other limits; amounts that are not given stay.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub limits: Resources,
    /// More environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: Environment,
}

impl PipelinePost {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All lists with their names.
    pub fn lists(&self) -> [(&'static str, &[StageEntry]); 4] {
        [
            ("always", &self.always),
            ("success", &self.success),
            ("failure", &self.failure),
            ("aborted", &self.aborted),
        ]
    }
}

impl StageReference {
    /// The name and, if one is wanted, the version.
    #[must_use]
    pub fn parts(&self) -> (&str, Option<&str>) {
        match self.0.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (&self.0, None),
        }
    }
}

impl StageEntry {
    /// The name by which layers and conditions know it. An extension point is known by its own.
    #[must_use]
    pub fn id(&self) -> &str {
        self.name.as_ref().or(self.extension.as_ref()).map_or("", Identifier::as_str)
    }

    /// The entries inside: of a group, or those that layers put at an extension point.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        self.parallel.iter().flatten().chain(self.stages.iter().flatten())
    }

    /// This entry and all inside, depth first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }
}

impl Pipeline {
    /// All entries, depth first, those of `post` last.
    #[must_use]
    pub fn entries(&self) -> Vec<&StageEntry> {
        let mut all = Vec::new();
        for entry in &self.stages {
            entry.walk(&mut |one| all.push(one));
        }
        for (_, entries) in self.post.lists() {
            for entry in entries {
                entry.walk(&mut |one| all.push(one));
            }
        }
        all
    }
}
