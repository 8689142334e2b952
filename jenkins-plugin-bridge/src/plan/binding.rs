//! Which pipeline a job gets, and how the parameters of the job become those of the pipeline.

use std::collections::{BTreeMap, BTreeSet};

use globset::GlobBuilder;
use serde::Serialize;
use serde_json::{Value, json};

use super::build::PlanRequest;
use super::model::Plan;
use super::prepare::{Prepared, Selection};
use super::template::value_text;
use crate::catalog::Catalog;
use crate::catalog::model::{Identifier, JobMatch, JobRecord, Layer, Pipeline, Rule};
use crate::error::{BridgeError, Problem};
use crate::text::nearest_hint;

/// What became of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleTrace {
    /// Name of the rule.
    pub rule: String,
    /// Whether it won.
    pub won: bool,
    /// Why, or why not.
    pub reason: String,
}

/// The answer for a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding<'c> {
    /// The rule that won.
    pub rule: &'c Rule,
    /// All rules up to it.
    pub trace: Vec<RuleTrace>,
    /// Parameters of the pipeline.
    pub parameters: BTreeMap<String, Value>,
    /// Where each came from.
    pub origins: BTreeMap<String, String>,
    /// Parameters of the job that nothing uses and the rule does not ignore.
    pub unmapped: Vec<String>,
    /// Parameters of the pipeline that have neither value nor default.
    pub missing: Vec<String>,
}

fn glob(pattern: &str, text: &str) -> bool {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .is_ok_and(|glob| glob.compile_matcher().is_match(text))
}

/// Whether a job is one of those meant. `Ok` says why, `Err` why not.
///
/// # Errors
/// The first thing that does not match, in words.
pub fn matches_job(matches: &JobMatch, job: &JobRecord) -> Result<String, String> {
    let (folder, name) = job.split();
    let mut met = Vec::new();
    let texts = [
        ("controller", &matches.controller, job.controller.as_str()),
        ("folder", &matches.folder, folder),
        ("job", &matches.job, name),
    ];
    for (what, pattern, text) in texts {
        let Some(pattern) = pattern else { continue };
        if !glob(pattern, text) {
            return Err(format!("{what} {text:?} is not {pattern:?}"));
        }
        met.push(format!("{what} {text:?} is {pattern:?}"));
    }
    if let Some(pattern) = &matches.label {
        match job.labels.iter().find(|label| glob(pattern, label)) {
            Some(label) => met.push(format!("label {label:?} is {pattern:?}")),
            None => return Err(format!("no label is {pattern:?}")),
        }
    }
    for (parameter, pattern) in &matches.parameters {
        match job.parameters.get(parameter).map(value_text) {
            None => return Err(format!("it has no parameter {parameter}")),
            Some(_) if pattern == "*" => met.push(format!("it has parameter {parameter}")),
            Some(text) if glob(pattern, &text) => {
                met.push(format!("parameter {parameter} is {pattern:?}"));
            }
            Some(text) => {
                let text: String = text.chars().take(40).collect();
                return Err(format!("parameter {parameter} is {text:?}, not {pattern:?}"));
            }
        }
    }
    Ok(if met.is_empty() { "it matches every job".to_owned() } else { met.join(", ") })
}

fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

/// Finds the rule for a job and maps its parameters.
///
/// # Errors
/// When no rule matches, with what each of them missed.
pub fn bind<'c>(catalog: &'c Catalog, job: &JobRecord) -> Result<Binding<'c>, BridgeError> {
    let mut trace = Vec::new();
    for rule in &catalog.rules {
        let rule = &rule.value;
        match matches_job(&rule.matches, job) {
            Ok(reason) => {
                trace.push(RuleTrace { rule: rule.name.to_string(), won: true, reason });
                let pipeline = &catalog.pipeline(rule.pipeline.as_str())?.value;
                return Ok(map_parameters(rule, trace, pipeline, job));
            }
            Err(reason) => {
                trace.push(RuleTrace { rule: rule.name.to_string(), won: false, reason });
            }
        }
    }
    let mut problems = vec![Problem::new(
        job.job.clone(),
        format!("no rule of the bindings matches this job of {}", job.controller),
    )];
    problems.extend(trace.into_iter().map(|one| Problem::new(one.rule, one.reason)));
    Err(BridgeError::Plan(problems))
}

/// Whether a parameter does not take the empty text.
fn refuses_empty(schema: &Value) -> bool {
    let validator = jsonschema::options()
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .offline()
        .build(schema);
    validator.is_ok_and(|validator| !validator.is_valid(&Value::String(String::new())))
}

fn map_parameters<'c>(
    rule: &'c Rule,
    trace: Vec<RuleTrace>,
    pipeline: &Pipeline,
    job: &JobRecord,
) -> Binding<'c> {
    let mut parameters = BTreeMap::new();
    let mut origins = BTreeMap::new();
    let mut used: BTreeSet<&str> = rule.ignore.iter().map(String::as_str).collect();
    let mut missing = Vec::new();
    for (name, schema) in pipeline.parameters.properties() {
        if let Some(value) = rule.set.get(name) {
            parameters.insert(name.to_owned(), value.clone());
            origins.insert(name.to_owned(), format!("set by rule {}", rule.name));
            continue;
        }
        let mapped = rule.parameters.get(name);
        let found = match mapped {
            Some(from) => job.parameters.get_key_value(from),
            // An equal name; case and dashes are no difference, as most jobs shout.
            None => job
                .parameters
                .get_key_value(name)
                .or_else(|| job.parameters.iter().find(|(other, _)| folded(other) == folded(name))),
        };
        match found {
            Some((from, value)) => {
                used.insert(from);
                // An empty text is how the form of a job says "not given", except where the
                // pipeline takes the empty text.
                if value.as_str() == Some("") && refuses_empty(schema) {
                    origins.insert(name.to_owned(), format!("job parameter {from} is empty"));
                    if pipeline.parameters.is_required(name) {
                        missing.push(name.to_owned());
                    }
                    continue;
                }
                parameters.insert(name.to_owned(), value.clone());
                origins.insert(name.to_owned(), format!("job parameter {from}"));
            }
            None if pipeline.parameters.is_required(name) => missing.push(name.to_owned()),
            None => {}
        }
    }
    let unmapped =
        job.parameters.keys().filter(|name| !used.contains(name.as_str())).cloned().collect();
    Binding { rule, trace, parameters, origins, unmapped, missing }
}

/// What the Jenkinsfile overrides, as a layer of the level `job`.
///
/// # Errors
/// Paths that the rule does not allow, all at once.
pub fn override_layer(
    rule: Option<&Rule>,
    overrides: &BTreeMap<String, Value>,
) -> Result<Option<Layer>, BridgeError> {
    if overrides.is_empty() {
        return Ok(None);
    }
    if let Some(rule) = rule {
        let allowed = |path: &str| {
            rule.overrides.iter().any(|one| {
                let mut parts = path.split('.');
                one.split('.')
                    .all(|wanted| parts.next().is_some_and(|part| wanted == "*" || wanted == part))
            })
        };
        let problems: Vec<Problem> = overrides
            .keys()
            .filter(|path| !allowed(path))
            .map(|path| {
                let hint = nearest_hint(path, rule.overrides.iter().map(String::as_str));
                let hint = hint.replace("known are", "it lets through");
                let message =
                    format!("rule {} does not let the Jenkinsfile override it{hint}", rule.name);
                Problem::new(path.clone(), message)
            })
            .collect();
        if !problems.is_empty() {
            return Err(BridgeError::Overrides(problems));
        }
    }
    let layer = json!({
        "api": "pilotfish/v1", "kind": "layer", "level": "job",
        "name": Identifier::made("jenkinsfile".into()),
        "overrides": overrides
            .iter()
            .map(|(path, value)| json!({"path": path, "value": value}))
            .collect::<Vec<_>>(),
    });
    serde_json::from_value(layer)
        .map(Some)
        .map_err(|error| BridgeError::Plan(vec![Problem::new("overrides", error.to_string())]))
}

/// The plan of a job with how it came about.
#[derive(Debug)]
pub struct JobPlan<'c> {
    /// The rule and the parameters.
    pub binding: Binding<'c>,
    /// The pipeline with its layers.
    pub prepared: Prepared,
    /// The plan.
    pub plan: Plan,
}

/// Makes the plan of a job.
///
/// # Errors
/// No rule, refused overrides, or refused parameters.
pub fn plan_job<'c>(
    catalog: &'c Catalog,
    job: &JobRecord,
    overrides: &BTreeMap<String, Value>,
) -> Result<JobPlan<'c>, BridgeError> {
    let binding = bind(catalog, job)?;
    let selection = Selection {
        team: binding.rule.team.as_ref().map(Identifier::as_str),
        job: Some(job),
        overrides: override_layer(Some(binding.rule), overrides)?,
    };
    let prepared = Prepared::new(catalog, binding.rule.pipeline.as_str(), &selection)?;
    let plan = prepared.plan(&PlanRequest {
        parameters: binding.parameters.clone(),
        read_text: true,
        facts: job.facts.clone(),
        job: Some((job.controller.clone(), job.job.clone())),
        rule: Some(binding.rule.name.to_string()),
    })?;
    Ok(JobPlan { binding, prepared, plan })
}
