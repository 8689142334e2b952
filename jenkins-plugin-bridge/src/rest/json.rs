//! The JSON API: jobs with their parameters, as `api/json` exports them.

use serde::Deserialize;
use serde_json::Value;

use super::class::{self, Family};
use super::model::{Job, Parameter, ParameterKind};
use super::name::JobName;

/// What is asked for of every job. `jobs[name]{0,1}` tells folders from jobs, whatever their class.
/// A default's `value` is asked for by name; `PasswordParameterValue` does not export its own.
pub const JOB_TREE: &str = "_class,fullName,buildable,labelExpression,\
    property[_class,parameterDefinitions[_class,name,type,description,\
    defaultParameterValue[_class,name,value],choices,projectName,filter]],jobs[name]{0,1}";

/// A folder, or the controller, with the names of what is in it.
#[derive(Debug, Deserialize)]
pub struct FolderJson {
    /// Class.
    #[serde(rename = "_class", default)]
    pub class: Option<String>,
    /// What is in it; missing where this is a job.
    #[serde(default)]
    pub jobs: Option<Vec<NameJson>>,
}

/// The name of something in a folder.
#[derive(Debug, Deserialize)]
pub struct NameJson {
    /// Name in the folder.
    pub name: String,
}

/// One page of a folder.
#[derive(Debug, Deserialize)]
pub struct PageJson {
    /// The jobs of the page.
    #[serde(default)]
    pub jobs: Vec<JobJson>,
}

/// A job, or a folder, as one of a page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobJson {
    #[serde(rename = "_class", default)]
    class: Option<String>,
    full_name: Option<String>,
    #[serde(default)]
    buildable: Option<bool>,
    #[serde(default)]
    label_expression: Option<String>,
    #[serde(default)]
    property: Vec<Option<PropertyJson>>,
    #[serde(default)]
    jobs: Option<Vec<NameJson>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PropertyJson {
    #[serde(default)]
    parameter_definitions: Option<Vec<DefinitionJson>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DefinitionJson {
    #[serde(rename = "_class", default)]
    class: Option<String>,
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    default_parameter_value: Option<DefaultJson>,
    #[serde(default)]
    choices: Option<Value>,
    #[serde(default)]
    project_name: Option<String>,
    #[serde(default)]
    filter: Option<Value>,
}

#[derive(Deserialize)]
struct DefaultJson {
    #[serde(rename = "_class", default)]
    class: Option<String>,
    #[serde(default)]
    value: Value,
}

impl std::fmt::Debug for DefaultJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DefaultJson").field("class", &self.class).finish_non_exhaustive()
    }
}

impl JobJson {
    /// The full name, if it is one.
    pub fn name(&self) -> Option<JobName> {
        self.full_name.as_deref().and_then(|name| JobName::parse(name).ok())
    }

    /// Whether it has jobs in it.
    pub fn is_folder(&self) -> bool {
        self.jobs.is_some()
    }

    /// The job.
    pub fn into_job(self, folder_class: Option<&str>) -> Option<Job> {
        let name = self.name()?;
        let class = self.class.unwrap_or_default();
        let kind = class::job_kind(&class, folder_class);
        let parameters = self
            .property
            .into_iter()
            .flatten()
            .filter_map(|property| property.parameter_definitions)
            .flatten()
            .map(DefinitionJson::into_parameter)
            .collect();
        Some(Job {
            branch: (kind == class::JobKind::Branch).then(|| name.branch()),
            name: name.as_str().to_owned(),
            kind,
            class,
            buildable: self.buildable.unwrap_or(false),
            label: self.label_expression.filter(|label| !label.is_empty()),
            script: None,
            parameters,
            notes: Vec::new(),
        })
    }
}

impl DefinitionJson {
    fn into_parameter(self) -> Parameter {
        let description = self.description.filter(|text| !text.is_empty());
        let class = self.class.unwrap_or_default();
        let mut family = class::family(&class);
        let mut value = Value::Null;
        if let Some(default) = self.default_parameter_value {
            // A definition of another class may give a secret as its value.
            if default.class.as_deref().is_some_and(class::is_secret_value) {
                family = Family::Password;
            } else {
                value = default.value;
            }
        }
        let text = |value: Value| match value {
            Value::String(text) => Some(text),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
            other => Some(other.to_string()),
        };
        let choices = match self.choices {
            Some(Value::Array(items)) => items.into_iter().filter_map(text).collect(),
            // A list in one text, one choice a line, is what some plugins export.
            Some(Value::String(lines)) => lines.lines().map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let kind = match family {
            Family::Text => {
                ParameterKind::String { default: text(value).unwrap_or_default(), trim: None }
            }
            Family::MultilineText => {
                ParameterKind::Text { default: text(value).unwrap_or_default() }
            }
            Family::Boolean => {
                ParameterKind::Boolean { default: text(value).is_some_and(|text| text == "true") }
            }
            Family::Choice => ParameterKind::Choice { choices },
            Family::Password => ParameterKind::Password { class },
            Family::File => ParameterKind::File,
            Family::Run => ParameterKind::Run {
                project: self.project_name,
                filter: self.filter.and_then(text),
            },
            Family::Credentials => ParameterKind::Credentials {
                default: text(value),
                credential_type: None,
                required: None,
            },
            Family::Git => ParameterKind::GitReference {
                default: text(value),
                reference: None,
                branch_filter: None,
                tag_filter: None,
            },
            Family::ActiveChoice => ParameterKind::ActiveChoice {
                choice_type: None,
                script: None,
                references: Vec::new(),
            },
            Family::ValidatingString => ParameterKind::ValidatingString {
                default: text(value).unwrap_or_default(),
                pattern: None,
            },
            Family::ExtendedChoice => ParameterKind::ExtendedChoice {
                choice_type: None,
                choices: None,
                default: text(value),
                delimiter: None,
            },
            Family::Opaque => ParameterKind::Opaque { class },
        };
        Parameter { name: self.name, description, kind }
    }
}
