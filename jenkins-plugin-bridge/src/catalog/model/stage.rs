//! The stage template: what one stage needs and does.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Api, Identifier, Outputs, ParameterSchema, Quantity, Span, StageKind, Version};

/// Environment variables by name.
pub type Environment = BTreeMap<String, String>;

fn is_false(value: &bool) -> bool {
    !value
}

/// A stage template: containers, script and reports of one kind of stage, with typed parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageTemplate {
    /// Version of the file format.
    pub api: Api,
    /// `stage`.
    pub kind: StageKind,
    /// Name by which pipelines use it.
    pub name: Identifier,
    /// Version of this template. Several versions of a name may stand side by side.
    pub version: Version,
    /// What the stage does, for people.
    pub description: String,
    /// The parameters it takes.
    #[serde(default)]
    pub parameters: ParameterSchema,
    /// Whether it changes something outside the workspace (a registry, a server, a chat). A local
    /// run rehearses such a stage unless told to have effects.
    #[serde(default)]
    pub effects: Effects,
    /// The containers its steps run in. The first is the default.
    #[serde(default)]
    pub containers: Vec<Container>,
    /// Containers that run beside the steps, such as a database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// Environment variables of all its steps.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: Environment,
    /// CEL condition; the stage is skipped when it is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// What it does, in order.
    pub steps: Vec<Step>,
    /// What a local run does in place of the steps of a stage with effects: check, print, touch
    /// nothing outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rehearsal: Vec<Step>,
    /// What it leaves behind for people to see.
    #[serde(default, skip_serializing_if = "Reports::is_empty")]
    pub reports: Reports,
    /// What it gives to later stages: its steps write lines `name=value` to the file
    /// `"$PILOTFISH_OUTPUTS"`. Values are no secrets: builds and reports show them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = super::MAX_OUTPUTS))]
    pub outputs: Outputs,
    /// Credentials that its steps get, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Credential>,
    /// Tries again after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The most time one try may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Steps after the others.
    #[serde(default, skip_serializing_if = "Post::is_empty")]
    pub post: Post,
}

/// Where the results of a stage go.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Effects {
    /// Only the workspace is changed.
    #[default]
    Workspace,
    /// Something outside is changed.
    External,
}

/// A container of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// Name by which steps use it.
    pub name: Identifier,
    /// Image with a tag or a digest. May use `${{ params.… }}` of an enum or a pattern.
    pub image: String,
    /// What a node must have free for it. `lint` asks for it on every container.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub requests: Resources,
    /// What it may take at most.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub limits: Resources,
    /// Environment variables of the container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: Environment,
    /// Directories kept between builds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<Cache>,
    /// Programs its steps need. A local run without containers looks for them before it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
}

/// A container that runs beside the steps of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Name, also its host name for the steps where the platform can give it one.
    pub name: Identifier,
    /// Image with a tag or a digest.
    pub image: String,
    /// What a node must have free for it.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub requests: Resources,
    /// What it may take at most.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub limits: Resources,
    /// Environment variables of the service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: Environment,
    /// Port that accepts connections once the service is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
}

/// Amounts of processor, memory and disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Processors, `500m` is half of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// Scratch space on disk.
    #[serde(default, rename = "ephemeral-storage", skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<Quantity>,
}

/// A directory kept between builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// Name; stages with the same name share it.
    pub name: Identifier,
    /// Where the container sees it.
    pub path: String,
}

/// One step: a script, or a place where a layer may put steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What it does, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// CEL condition over what is known when the plan is made. A container that no step is left
    /// for is not in the plan either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Script text. Parameters are in environment variables: write `"$NAME"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// Shell that runs the script; it stops at the first command that fails.
    #[serde(default)]
    pub shell: Shell,
    /// Container it runs in; the first of the stage unless told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Identifier>,
    /// Environment variables of this step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: Environment,
    /// The most time it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Name of an extension point: layers may put steps here. Nothing else stands in such a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<Identifier>,
}

/// A shell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Shell {
    /// `sh -eu`, in every image.
    #[default]
    Sh,
    /// `bash -eu -o pipefail`.
    Bash,
}

/// What a stage leaves behind. Paths are globs in the workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reports {
    /// JUnit XML files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub junit: Vec<String>,
    /// Coverage files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coverage: Vec<Coverage>,
    /// Files to keep with the build.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archive: Vec<String>,
}

/// A coverage report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// Format: `cobertura`, `jacoco`, `lcov`, `clover` or `go`.
    #[schemars(regex(pattern = "^(cobertura|jacoco|lcov|clover|go)$"))]
    pub format: String,
    /// The file.
    pub path: String,
}

/// A credential that the steps of a stage get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Id under which the controller keeps it. May use `${{ params.… }}`.
    pub id: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: CredentialType,
    /// Variable that holds the secret, or the path of the file.
    pub variable: String,
    /// Variable that holds the user name, for types that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_variable: Option<String>,
    /// The stage also works without it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
}

/// The type of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialType {
    /// One secret text.
    SecretText,
    /// User name and password.
    UsernamePassword,
    /// A file; the variable holds its path.
    File,
    /// A private key for ssh; the variable holds its path.
    SshKey,
}

/// Tries after a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// How often it is tried in all, the first time included.
    #[schemars(range(min = 2, max = 10))]
    pub attempts: u8,
    /// Wait before the next try, doubled each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// What is tried again: everything unless told otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<RetryOn>,
}

/// A reason for another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RetryOn {
    /// A step failed.
    Failure,
    /// The time was over.
    Timeout,
    /// The agent was lost.
    Agent,
}

/// Steps that run after the others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Post {
    /// In any case, last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub always: Vec<Step>,
    /// After success.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub success: Vec<Step>,
    /// After a failure or a timeout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure: Vec<Step>,
    /// After somebody stopped it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aborted: Vec<Step>,
}

impl Resources {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Reports {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Post {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All lists with their names.
    pub fn lists(&self) -> [(&'static str, &[Step]); 4] {
        [
            ("always", &self.always),
            ("success", &self.success),
            ("failure", &self.failure),
            ("aborted", &self.aborted),
        ]
    }
}

impl StageTemplate {
    /// All steps with their paths in the file.
    pub fn all_steps(&self) -> Vec<(String, &Step)> {
        let lists =
            [("steps".to_owned(), &*self.steps), ("rehearsal".to_owned(), &*self.rehearsal)]
                .into_iter()
                .chain(self.post.lists().map(|(name, steps)| (format!("post.{name}"), steps)));
        lists
            .flat_map(|(name, steps)| {
                let place = move |(index, step)| (format!("{name}.{index}"), step);
                steps.iter().enumerate().map(place).collect::<Vec<_>>()
            })
            .collect()
    }

    /// The names of the extension points among its steps.
    pub fn extension_points(&self) -> impl Iterator<Item = &Identifier> {
        self.steps.iter().filter_map(|step| step.extension.as_ref())
    }
}
