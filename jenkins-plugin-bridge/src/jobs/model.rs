//! A job: the only things that a platform manages are its name, its pipeline and its parameters.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::model::{Api, Identifier, ParameterSchema};
use crate::error::Problem;
use crate::masters::file::Label;
use crate::plan::parameters::ParameterRules;
use crate::report::StatusSpec;
use crate::rest::JobName;
use crate::route::LostPolicy;
use crate::triggers::Triggers;

/// Starts the names of parameters that are Pilotfish's own.
pub const OWN: &str = "PILOTFISH_";
/// The most parameters of a job.
const PARAMETERS: usize = 200;
/// The most bytes of a value.
const VALUE_BYTES: usize = 64 << 10;

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// Full name, with its folders: `team-a/web`.
    pub name: String,
    /// The pipeline of the catalog that it runs.
    pub pipeline: Identifier,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, JobParameter>,
    /// Labels that a master must have to be given it, all of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<Label>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Identifier>,
    /// What happens to a build that was started when its master is lost.
    #[serde(default)]
    pub on_lost: LostPolicy,
    /// Builds at the same time; as many as there are places unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub concurrency: Option<u32>,
    /// The parameter that names the branch; a build that waits is dropped for a newer one of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersede_by: Option<String>,
    /// Only one build at a time holds each of these, whatever its job and master.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub locks: BTreeSet<Identifier>,
    /// A master of this zone is better than another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Identifier>,
    /// What starts its builds by itself. Definitions on masters have no triggers: they would start a build
    /// at each.
    #[serde(default, skip_serializing_if = "Triggers::is_empty")]
    pub triggers: Triggers,
    /// Statuses of the commits that its builds are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statuses: Option<StatusSpec>,
}

impl JobSpec {
    /// What is wrong with its parameters beside those of its pipeline: a build could not be planned. What has no value
    /// here is given by builds.
    #[must_use]
    pub fn problems_beside(&self, pipeline: &ParameterSchema) -> Vec<Problem> {
        // A catalog whose schema is none is told of as such.
        let Ok(rules) = ParameterRules::compile(pipeline) else { return Vec::new() };
        let says = |name: &str, one: &JobParameter| {
            !one.default.is_empty() || pipeline.property(name).is_none()
        };
        let given = self.parameters.iter().filter(|(name, one)| says(name, one));
        let given = given.map(|(name, one)| (name.clone(), one.default.clone().into())).collect();
        let comes_later = |name: &str| self.parameters.contains_key(name);
        let found = rules.check_without(rules.read_text(&given), comes_later).err();
        let own = |one: Problem| {
            let (path, pipeline) = (&one.path, &self.pipeline);
            let is_within = |name: &String| {
                path.strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            if self.parameters.keys().any(is_within) {
                let message = format!("{} (pipeline {pipeline})", one.message);
                return Problem::new(format!("parameters.{path}"), message);
            }
            let needs = "and builds give only what the job declares";
            Problem::new("parameters", format!("the pipeline {pipeline} needs `{path}`, {needs}"))
        };
        found.into_iter().flatten().map(own).collect()
    }
}

/// Marks a file of jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum JobsKind {
    /// The only value.
    #[serde(rename = "jobs")]
    Kind,
}

/// Jobs in a file, for `jobs apply`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobsFile {
    /// Version of the file format.
    pub api: Api,
    /// `jobs`.
    pub kind: JobsKind,
    /// The jobs.
    pub jobs: Vec<JobSpec>,
}

impl JobsFile {
    /// Everything that is wrong with the jobs.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut all = Vec::new();
        let mut names = BTreeSet::new();
        for (index, job) in self.jobs.iter().enumerate() {
            let at = |path: &str| format!("jobs.{index}.{path}");
            all.extend(
                problems(job).into_iter().map(|one| Problem::new(at(&one.path), one.message)),
            );
            if !names.insert(&job.name) {
                all.push(Problem::new(at("name"), format!("{} is there already", job.name)));
            }
        }
        all
    }
}

/// A parameter of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobParameter {
    /// Its value where a build says nothing else.
    #[serde(default)]
    pub default: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// Everything that is wrong with a job.
#[must_use]
pub fn problems(job: &JobSpec) -> Vec<Problem> {
    let mut all = Vec::new();
    let mut add = |path: &str, message: String| all.push(Problem::new(path, message));
    match JobName::parse(&job.name) {
        Err(error) => add("name", error.to_string()),
        // `jenkins.model.Jenkins.checkGoodName`, for each part.
        Ok(name) => {
            let bad = |one: char| "?*\\%!@#$^&|<>[]:;".contains(one);
            if let Some(one) = name.as_str().chars().find(|one| bad(*one)) {
                add("name", format!("`{one}` cannot be in the name of a job"));
            }
            if name.as_str() != job.name {
                add("name", format!("expected {:?}, without slashes around it", name.as_str()));
            }
        }
    }
    if job.parameters.len() > PARAMETERS {
        add("parameters", format!("more than {PARAMETERS} parameters"));
    }
    for (name, parameter) in &job.parameters {
        let path = format!("parameters.{name}");
        let good = |one: char| one.is_ascii_alphanumeric() || "_.-".contains(one);
        if name.is_empty() || name.len() > 100 || !name.chars().all(good) {
            add(&path, "expected a name of letters, digits, _ - and .".to_owned());
        }
        if name.starts_with(OWN) {
            add(&path, format!("{OWN}… is set by Pilotfish: choose another name"));
        }
        if parameter.default.len() > VALUE_BYTES {
            add(&path, format!("more than {VALUE_BYTES} bytes"));
        }
        let texts = [&parameter.default, &parameter.description];
        if texts.iter().any(|text| text.chars().any(is_no_xml)) {
            add(&path, "has a control character, which no controller can keep".to_owned());
        }
    }
    if job.description.chars().any(is_no_xml) {
        add("description", "has a control character, which no controller can keep".to_owned());
    }
    if let Some(by) = &job.supersede_by
        && !job.parameters.contains_key(by)
    {
        let known = job.parameters.keys().map(String::as_str);
        add("supersede_by", format!("no parameter `{by}`{}", crate::text::nearest_hint(by, known)));
    }
    let declared: Vec<&str> = job.parameters.keys().map(String::as_str).collect();
    all.extend(job.triggers.problems(&job.name, &declared));
    all.extend(job.statuses.iter().flat_map(|one| one.problems(&declared)));
    all
}

fn is_no_xml(one: char) -> bool {
    (one.is_control() && one != '\n' && one != '\t') || matches!(one, '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::read::{typed, yaml};

    #[test]
    fn the_example_is_a_file_of_jobs_and_a_name_is_there_once() {
        let text = include_str!("../../examples/jobs.yaml");
        let mut file: JobsFile = typed("jobs", yaml(text).unwrap()).unwrap();
        assert_eq!(file.problems(), []);
        file.jobs.push(file.jobs[0].clone());
        assert_eq!(file.problems()[0].path, "jobs.1.name");
    }

    #[test]
    fn a_job_has_the_parameters_of_its_pipeline() {
        let schema: ParameterSchema = serde_json::from_value(serde_json::json!({
            "type": "object",
            "properties": {
                "stack": {"type": "string", "enum": ["go", "rust"]},
                "count": {"type": "integer", "default": 1},
                "name": {"type": "string"}
            },
            "required": ["stack", "name"]
        }))
        .unwrap();
        let problems = |parameters: serde_json::Value| -> Vec<String> {
            let job =
                serde_json::json!({"name": "a", "pipeline": "service", "parameters": parameters});
            let job: JobSpec = serde_json::from_value(job).unwrap();
            job.problems_beside(&schema).iter().map(ToString::to_string).collect()
        };
        // A build gives the stack, and the count has a default.
        let whole =
            serde_json::json!({"stack": {}, "name": {"default": "x"}, "count": {"default": "3"}});
        assert!(problems(whole).is_empty());
        let wrong = serde_json::json!({"stak": {}, "stack": {"default": "go2"}, "count": {"default": "two"}});
        let found = problems(wrong);
        assert_eq!(found.len(), 4, "{found:#?}");
        let has =
            |text: &str| assert!(found.iter().any(|one| one.contains(text)), "{text}: {found:#?}");
        has(
            "parameters.stak: there is no such parameter; did you mean `stack`? (pipeline service)",
        );
        has("parameters.stack: ");
        has("parameters.count: ");
        has("parameters: the pipeline service needs `name`");
    }
}
