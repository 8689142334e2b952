//! What was read of a job.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::class::JobKind;
use super::name::JobName;
use crate::catalog::model::{JobRecord, PlanFacts};

/// A job as it was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Full name, folders first.
    pub name: String,
    /// What kind of job.
    pub kind: JobKind,
    /// Its Java class.
    pub class: String,
    /// Whether builds can be started.
    pub buildable: bool,
    /// The label expression that its builds ask for; Pipelines have it in their script only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The branch, where the job is one of a multibranch project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Where the script of a Pipeline is, if `config.xml` was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<ScriptSource>,
    /// Its parameters, in their order.
    pub parameters: Vec<Parameter>,
    /// What could not be read, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Where the script of a Pipeline comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum ScriptSource {
    /// From the configuration of the job.
    Inline,
    /// From a file in the source repository.
    Scm {
        /// Path of the file.
        path: String,
    },
}

/// A parameter of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Name, as builds see it.
    pub name: String,
    /// What it is for, as the controller shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its type, with what belongs to it.
    #[serde(flatten)]
    pub kind: ParameterKind,
}

/// The type of a parameter. `None` in a field means that it was not read or is not set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum ParameterKind {
    /// One line of text (`hudson.model.StringParameterDefinition`).
    String {
        /// Default.
        default: String,
        /// Whether blanks at the ends are cut; known from `config.xml` only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trim: Option<bool>,
    },
    /// Several lines of text (`hudson.model.TextParameterDefinition`).
    Text {
        /// Default.
        default: String,
    },
    /// Yes or no (`hudson.model.BooleanParameterDefinition`).
    Boolean {
        /// Default.
        default: bool,
    },
    /// One of a list (`hudson.model.ChoiceParameterDefinition`).
    Choice {
        /// The list. The first is the default.
        choices: Vec<String>,
    },
    /// A secret. Neither its value nor its default is ever read.
    Password {
        /// Class, where it is not the core's.
        class: String,
    },
    /// A file that comes with the trigger (`hudson.model.FileParameterDefinition`).
    File,
    /// A build of another job (`hudson.model.RunParameterDefinition`).
    Run {
        /// Full name of that job.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        project: Option<String>,
        /// Which of its builds: `ALL`, `STABLE`, `SUCCESSFUL`, `COMPLETED`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filter: Option<String>,
    },
    /// Id of a credential (`CredentialsParameterDefinition`). The credential itself is not read.
    Credentials {
        /// Id of the default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<String>,
        /// Class of credential that fits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credential_type: Option<String>,
        /// Whether a build needs it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        required: Option<bool>,
    },
    /// A branch, tag or revision of a git repository (`GitParameterDefinition`).
    GitReference {
        /// Default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<String>,
        /// What is offered: `PT_BRANCH`, `PT_TAG`, `PT_BRANCH_TAG`, `PT_REVISION`,
        /// `PT_PULL_REQUEST`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// Pattern on branches.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        branch_filter: Option<String>,
        /// Glob on tags.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag_filter: Option<String>,
    },
    /// A list that a script computes (uno-choice). Scripts are not run and not kept.
    ActiveChoice {
        /// Form field: `PT_SINGLE_SELECT`, `PT_MULTI_SELECT`, `PT_CHECKBOX`, `PT_RADIO`, …
        #[serde(default, skip_serializing_if = "Option::is_none")]
        choice_type: Option<String>,
        /// What is known of the list without running the script.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        script: Option<ActiveChoiceScript>,
        /// Names of the parameters that the script reads.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        references: Vec<String>,
    },
    /// One line of text that must match a pattern (validating-string-parameter).
    ValidatingString {
        /// Default.
        default: String,
        /// The pattern, of `java.util.regex`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pattern: Option<String>,
    },
    /// One or several of a list (extended-choice-parameter).
    ExtendedChoice {
        /// Form field: `PT_SINGLE_SELECT`, `PT_CHECKBOX`, `PT_TEXTBOX`, …
        #[serde(default, skip_serializing_if = "Option::is_none")]
        choice_type: Option<String>,
        /// The list; none where a file or a script gives it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        choices: Option<Vec<String>>,
        /// Default, as text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<String>,
        /// What stands between several chosen values.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delimiter: Option<String>,
    },
    /// A class that is not known here. Its name and description are kept, nothing else.
    Opaque {
        /// The class.
        class: String,
    },
}

/// What is known of the list of an active choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum ActiveChoiceScript {
    /// The script only returns a list of texts.
    Static {
        /// The list.
        choices: Vec<String>,
        /// Those of it that are chosen at first.
        selected: Vec<String>,
    },
    /// The script computes something; the list is known at the controller only.
    Dynamic,
}

impl ParameterKind {
    /// The word for the type, as in the JSON output.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::String { .. } => "string",
            Self::Text { .. } => "text",
            Self::Boolean { .. } => "boolean",
            Self::Choice { .. } => "choice",
            Self::Password { .. } => "password",
            Self::File => "file",
            Self::Run { .. } => "run",
            Self::Credentials { .. } => "credentials",
            Self::GitReference { .. } => "git-reference",
            Self::ActiveChoice { .. } => "active-choice",
            Self::ValidatingString { .. } => "validating-string",
            Self::ExtendedChoice { .. } => "extended-choice",
            Self::Opaque { .. } => "opaque",
        }
    }

    /// The value that a build gets when nobody gives another, as far as it is known.
    #[must_use]
    pub fn default_value(&self) -> Option<Value> {
        match self {
            Self::String { default, .. }
            | Self::Text { default }
            | Self::ValidatingString { default, .. } => Some(Value::from(default.as_str())),
            Self::Boolean { default } => Some(Value::from(*default)),
            Self::Choice { choices } => choices.first().map(|one| Value::from(one.as_str())),
            Self::Credentials { default, .. }
            | Self::GitReference { default, .. }
            | Self::ExtendedChoice { default, .. } => default.as_deref().map(Value::from),
            Self::ActiveChoice {
                script: Some(ActiveChoiceScript::Static { selected, .. }),
                ..
            } => (!selected.is_empty()).then(|| Value::from(selected.join(","))),
            Self::ActiveChoice { .. }
            | Self::Password { .. }
            | Self::File
            | Self::Run { .. }
            | Self::Opaque { .. } => None,
        }
    }

    /// The list of values that are accepted, where there is one.
    #[must_use]
    pub fn choices(&self) -> Option<&[String]> {
        match self {
            Self::Choice { choices }
            | Self::ExtendedChoice { choices: Some(choices), .. }
            | Self::ActiveChoice {
                script: Some(ActiveChoiceScript::Static { choices, .. }), ..
            } => Some(choices),
            _ => None,
        }
    }
}

impl Job {
    /// The job as the catalog's rules see it, with the defaults as its parameters.
    #[must_use]
    pub fn record(&self, controller: &str) -> JobRecord {
        JobRecord {
            controller: controller.to_owned(),
            job: self.name.clone(),
            labels: self.labels(),
            parameters: self
                .parameters
                .iter()
                .filter_map(|one| Some((one.name.clone(), one.kind.default_value()?)))
                .collect(),
            facts: PlanFacts { branch: self.branch.clone(), ..PlanFacts::default() },
        }
    }

    /// The single labels of the label expression. Those that are negated do not count.
    #[must_use]
    pub fn labels(&self) -> Vec<String> {
        let Some(expression) = &self.label else { return Vec::new() };
        let mut labels: Vec<String> = Vec::new();
        let mut negated = false;
        let mut word = String::new();
        let mut quoted = false;
        for one in expression.chars().chain(['&']) {
            match one {
                '"' => quoted = !quoted,
                _ if quoted => word.push(one),
                '!' | '&' | '|' | '(' | ')' | '<' | '>' | '-' if word.is_empty() => {
                    negated = one == '!';
                }
                // A label may have a dash in it, an operator has one before `>`.
                '&' | '|' | '(' | ')' | '<' | '>' | ' ' if !word.is_empty() => {
                    let label = word.trim_end_matches('-').to_owned();
                    word.clear();
                    if !negated && !label.is_empty() && !labels.contains(&label) {
                        labels.push(label);
                    }
                    negated = false;
                }
                ' ' => {}
                other => word.push(other),
            }
        }
        labels
    }

    /// The name, for requests.
    #[must_use]
    pub fn job_name(&self) -> JobName {
        JobName::parse(&self.name).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_taken_from_expressions() {
        let labels = |text: &str| {
            Job {
                name: "a".to_owned(),
                kind: JobKind::Freestyle,
                class: String::new(),
                buildable: true,
                label: Some(text.to_owned()),
                branch: None,
                script: None,
                parameters: Vec::new(),
                notes: Vec::new(),
            }
            .labels()
        };
        assert_eq!(labels("linux"), ["linux"]);
        assert_eq!(labels("linux && php-8 && !gpu"), ["linux", "php-8"]);
        assert_eq!(labels("(a||\"b c\")->d <-> a"), ["a", "b c", "d"]);
        assert!(labels("").is_empty());
    }
}
