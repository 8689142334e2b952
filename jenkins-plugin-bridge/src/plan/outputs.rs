//! Outputs of stages: who takes which, checked when a pipeline is made ready. What a run checks of
//! their values is in [`value`].

pub mod value;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::choice::choices;
use super::condition::Condition;
use super::template::{Namespace, placeholders};
use crate::catalog::Catalog;
use crate::catalog::model::{
    OutputName, OutputPattern, OutputReference, Pipeline, StageEntry, StageTemplate,
};
use crate::error::Problem;
use crate::text::nearest_hint;

/// What is wrong about outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No stage before gives such an output.
    Unknown,
    /// The parameter cannot take an output.
    Parameter,
}

/// A name in a pipeline, as the stages after it see it.
#[derive(Clone)]
enum Producer<'c> {
    /// A stage with the template that it uses, or all of those that a parameter chooses from.
    Stage(Vec<&'c StageTemplate>),
    /// A stage with a matrix.
    Matrix,
    /// A group.
    Group,
}

type Before<'c> = BTreeMap<String, Producer<'c>>;

struct Work<'c> {
    catalog: &'c Catalog,
    pipeline: &'c Pipeline,
    names: BTreeSet<&'c str>,
    found: Vec<(Fault, Problem)>,
}

/// Everything that is wrong about the outputs that a pipeline passes on and asks for. The paths are
/// those of `with_outputs`, and `when.outputs` for conditions.
#[must_use]
pub fn check(catalog: &Catalog, pipeline: &Pipeline) -> Vec<(Fault, Problem)> {
    let names = pipeline.entries().into_iter().map(StageEntry::id).collect();
    let mut work = Work { catalog, pipeline, names, found: Vec::new() };
    let mut before = Before::new();
    work.sequence(&pipeline.stages, "stages", &mut before);
    for (list, entries) in pipeline.post.lists() {
        work.sequence(entries, &format!("post.{list}"), &mut before.clone());
    }
    work.found
}

/// The parameters of a template that are put into texts or decide conditions when a plan is made.
fn decided_early(template: &StageTemplate) -> BTreeSet<String> {
    let mut template = template.clone();
    // Their descriptions and defaults are no texts of the plan.
    template.parameters.0.clear();
    let mut names = BTreeSet::new();
    collect(&serde_json::to_value(&template).unwrap_or_default(), &mut names);
    names
}

fn collect(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let all = placeholders(text).unwrap_or_default();
            let params = all.into_iter().filter(|one| one.namespace == Namespace::Params);
            names.extend(params.map(|one| one.name));
        }
        Value::Array(all) => all.iter().for_each(|one| collect(one, names)),
        Value::Object(map) => {
            for (key, one) in map {
                match (key.as_str(), one) {
                    ("when", Value::String(source)) => {
                        if let Ok(condition) = Condition::compile(source) {
                            names.extend(condition.references().params.iter().cloned());
                        }
                    }
                    _ => collect(one, names),
                }
            }
        }
        _ => {}
    }
}

/// Why a parameter cannot take an output; nothing where it can.
fn parameter_fault(template: &StageTemplate, name: &str, schema: &Value) -> Option<String> {
    const PLAIN: [&str; 7] =
        ["type", "title", "description", "default", "examples", "deprecated", "pattern"];
    let text = |key: &str| schema.get(key).and_then(Value::as_str);
    if text("type") != Some("string") {
        return Some("is not of the type string, and outputs are text".to_owned());
    }
    if text("x-pass") == Some("file") {
        return Some("is passed as a file, and outputs are short: leave `x-pass` out".to_owned());
    }
    let keys = schema.as_object().into_iter().flat_map(|map| map.keys());
    let mut more = keys.filter(|key| !PLAIN.contains(&key.as_str()) && !key.starts_with("x-"));
    if let Some(key) = more.next() {
        return Some(format!("has the rule `{key}`: only `pattern` is checked when a stage runs"));
    }
    if let Some(Err(error)) = text("pattern").map(OutputPattern::new) {
        return Some(format!("has a pattern that is read differently elsewhere: {error}"));
    }
    decided_early(template).contains(name).then(|| {
        "is in a placeholder or a condition of the template, which is read before any stage runs"
            .to_owned()
    })
}

impl<'c> Work<'c> {
    fn add(&mut self, fault: Fault, path: String, message: String) {
        self.found.push((fault, Problem::new(path, message)));
    }

    fn templates(&self, entry: &StageEntry) -> Vec<&'c StageTemplate> {
        let uses = entry.uses.as_ref();
        let all = uses.and_then(|uses| choices(self.catalog, &self.pipeline.parameters, uses).ok());
        all.unwrap_or_default().into_values().map(|one| &one.value).collect()
    }

    fn sequence(&mut self, all: &'c [StageEntry], path: &str, before: &mut Before<'c>) {
        for entry in all {
            self.entry(entry, &format!("{path}.{}", entry.id()), before);
            self.names_into(entry, before);
        }
    }

    fn names_into(&self, entry: &'c StageEntry, before: &mut Before<'c>) {
        entry.walk(&mut |one| {
            let producer = match (&one.uses, &one.matrix) {
                (Some(_), None) => Producer::Stage(self.templates(one)),
                (Some(_), Some(_)) => Producer::Matrix,
                (None, _) => Producer::Group,
            };
            before.insert(one.id().to_owned(), producer);
        });
    }

    fn entry(&mut self, entry: &'c StageEntry, path: &str, before: &Before<'c>) {
        let templates = self.templates(entry);
        self.condition(entry.when.as_deref(), format!("{path}.when.outputs"), before);
        for template in &templates {
            let path = format!("{path} uses {}: when.outputs", template.name);
            self.condition(template.when.as_deref(), path, before);
        }
        for (parameter, reference) in &entry.with_outputs {
            let path = format!("{path}.with_outputs.{parameter}");
            let (stage, name) = reference.parts();
            self.output(stage, name, path.clone(), before);
            self.parameter(parameter, &templates, path);
        }
        let mut inner = before.clone();
        match &entry.parallel {
            // Branches at the same time know nothing of each other.
            Some(branches) => {
                for branch in branches {
                    self.entry(branch, &format!("{path}.{}", branch.id()), &inner);
                }
            }
            None => {
                let stages = entry.stages.as_deref().unwrap_or_default();
                self.sequence(stages, path, &mut inner);
            }
        }
    }

    fn condition(&mut self, source: Option<&str>, path: String, before: &Before<'c>) {
        let Some(source) = source.filter(|source| source.contains("outputs")) else { return };
        // What is no condition is told by its own rule.
        let Ok(condition) = Condition::compile(source) else { return };
        for (stage, name) in &condition.references().outputs {
            self.output(stage, name, path.clone(), before);
        }
    }

    fn output(&mut self, stage: &str, name: &str, path: String, before: &Before<'c>) {
        let message = match before.get(stage) {
            None if self.names.contains(stage) => {
                format!("the stage `{stage}` does not come before: outputs go to later stages only")
            }
            None => {
                let hint = nearest_hint(stage, before.keys().map(String::as_str));
                format!("there is no stage `{stage}`{hint}")
            }
            Some(Producer::Group) => {
                format!("`{stage}` is a group: only the stages in it have outputs")
            }
            Some(Producer::Matrix) => {
                format!("`{stage}` has a matrix: there is one `{name}` for each combination")
            }
            Some(Producer::Stage(templates)) => {
                // A template that is not there is told by its own rule.
                if templates.is_empty()
                    || templates.iter().any(|one| one.outputs.contains_key(name))
                {
                    return;
                }
                let known = templates.iter().flat_map(|one| one.outputs.keys());
                let hint = nearest_hint(name, known.map(OutputName::as_str));
                format!("the stage `{stage}` declares no output `{name}`{hint}")
            }
        };
        self.add(Fault::Unknown, path, message);
    }

    fn parameter(&mut self, name: &str, templates: &[&'c StageTemplate], path: String) {
        let mut known = false;
        let mut faults = Vec::new();
        for template in templates {
            if let Some(schema) = template.parameters.property(name) {
                known = true;
                if let Some(fault) = parameter_fault(template, name, schema) {
                    faults.push(format!("parameter `{name}` of {} {fault}", template.name));
                }
            }
        }
        // A template that is not there is told by its own rule.
        if !known && !templates.is_empty() {
            let all: Vec<&str> = templates
                .iter()
                .flat_map(|one| one.parameters.properties())
                .map(|(name, _)| name)
                .collect();
            let who: Vec<&str> = templates.iter().map(|one| one.name.as_str()).collect();
            let hint = nearest_hint(name, all);
            faults.push(format!("{} has no parameter `{name}`{hint}", who.join(", ")));
        }
        for fault in faults {
            self.add(Fault::Parameter, path.clone(), fault);
        }
    }
}

/// The parameters of a stage that will have outputs when it runs: of `with_outputs`, those whose
/// stage runs and declares the output. `given` has the outputs of the stages before, by name.
#[must_use]
pub fn taken<'e>(
    entry: &'e StageEntry,
    given: &BTreeMap<String, BTreeSet<String>>,
) -> BTreeMap<&'e str, &'e OutputReference> {
    entry
        .with_outputs
        .iter()
        .filter(|(_, reference)| {
            let (stage, name) = reference.parts();
            given.get(stage).is_some_and(|names| names.contains(name))
        })
        .map(|(parameter, reference)| (parameter.as_str(), reference))
        .collect()
}
