//! Rules for pipelines, layers, bindings and examples: how the parts of a catalog fit together.

mod bindings;
mod layers;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::stages;
use super::{Report, Rule};
use crate::catalog::Catalog;
use crate::catalog::model::{Identifier, ParameterSchema, Pipeline, StageEntry, StageTemplate};
use crate::error::BridgeError;
use crate::plan::choice::choices;
use crate::plan::matrix::combinations;
use crate::plan::outputs::{self, Fault};
use crate::plan::template::{Namespace, Scope, placeholders};
use crate::plan::{Prepared, Selection};
use crate::text::nearest_hint;

use bindings::{bindings, example};
use layers::{layer, place};

pub(super) fn check(catalog: &Catalog, report: &mut Report) {
    for filed in catalog.pipelines.values() {
        report.file.clone_from(&filed.file);
        pipeline(catalog, &filed.value, report);
    }
    for filed in &catalog.layers {
        report.file.clone_from(&filed.file);
        layer(catalog, &filed.value, report);
    }
    bindings(catalog, report);
    for filed in catalog.examples.values() {
        report.file.clone_from(&filed.file);
        example(catalog, &filed.value, report);
    }
}

fn pipeline(catalog: &Catalog, pipeline: &Pipeline, report: &mut Report) {
    match Prepared::new(catalog, pipeline.name.as_str(), &Selection::default()) {
        Ok(_) => {}
        // A layer of the organisation is told under its own file.
        Err(BridgeError::Overrides(_)) => {}
        Err(error) => {
            for one in error.problems() {
                // Conditions and schemas have rules of their own, which explain more.
                if one.path.ends_with(".when") || one.path.contains(" uses ") {
                    continue;
                }
                if one.path.contains(".with_outputs.") || one.path.ends_with(".when.outputs") {
                    continue;
                }
                let schema = one.path.starts_with("parameters.");
                let rule = if schema { Rule::ParameterSchema } else { Rule::BadPipeline };
                report.add(rule, one.path.clone(), one.message.clone());
            }
        }
    }
    for (fault, one) in outputs::check(catalog, pipeline) {
        let rule = match fault {
            Fault::Unknown => Rule::UnknownOutput,
            Fault::Parameter => Rule::OutputParameter,
        };
        report.add(rule, one.path, one.message);
    }
    let mut before = BTreeSet::new();
    for entry in &pipeline.stages {
        self::entry(catalog, pipeline, entry, &format!("stages.{}", entry.id()), &before, report);
        names_into(entry, &mut before);
    }
    for (list, entries) in pipeline.post.lists() {
        for entry in entries {
            let path = format!("post.{list}.{}", entry.id());
            self::entry(catalog, pipeline, entry, &path, &before, report);
        }
    }
    for opening in &pipeline.open {
        if let Err(message) = place(catalog, pipeline, &opening.path) {
            report.add(Rule::UnknownOpening, "open", message);
        }
    }
}

fn names_into(entry: &StageEntry, names: &mut BTreeSet<String>) {
    entry.walk(&mut |one| {
        names.insert(one.id().to_owned());
    });
}

fn entry(
    catalog: &Catalog,
    pipeline: &Pipeline,
    entry: &StageEntry,
    path: &str,
    before: &BTreeSet<String>,
    report: &mut Report,
) {
    let schema = &pipeline.parameters;
    let axes: BTreeSet<&str> =
        entry.matrix.iter().flat_map(|matrix| matrix.axes.keys().map(Identifier::as_str)).collect();
    if let Some(source) = &entry.when {
        let path = format!("{path}.when");
        if let Some(condition) = stages::condition(&path, source, schema, Some(&axes), report) {
            for name in &condition.references().results {
                if !before.contains(name) {
                    let hint = nearest_hint(name, before.iter().map(String::as_str));
                    let message = format!("no stage `{name}` comes before{hint}");
                    report.add(Rule::UnknownResult, &path, message);
                }
            }
        }
    }
    matrix(pipeline, entry, path, report);
    for (name, value) in &entry.with {
        value_texts(&format!("{path}.with.{name}"), value, schema, &axes, report);
    }
    stages::variables(&format!("{path}.environment"), &entry.environment, schema, report);
    if let Some(lock) = &entry.lock {
        stages::texts(&format!("{path}.lock"), &lock.resource, schema, report);
    }
    let templates = entry
        .uses
        .as_ref()
        .and_then(|uses| choices(catalog, schema, uses).ok())
        .unwrap_or_default();
    for template in templates.values() {
        of_template(entry, &template.value, schema, path, report);
    }
    // Branches at the same time know nothing of each other; stages in sequence do.
    let mut inner = before.clone();
    for child in entry.children() {
        let path = format!("{path}.{}", child.id());
        self::entry(catalog, pipeline, child, &path, &inner, report);
        if entry.parallel.is_none() {
            names_into(child, &mut inner);
        }
    }
}

/// What an entry says, seen with one of the templates that it may use.
fn of_template(
    entry: &StageEntry,
    template: &StageTemplate,
    schema: &ParameterSchema,
    path: &str,
    report: &mut Report,
) {
    for (name, patch) in &entry.containers {
        let path = format!("{path}.containers.{name}");
        if let Some(image) = &patch.image {
            stages::image(&path, image, schema, report);
        }
        stages::variables(&format!("{path}.environment"), &patch.environment, schema, report);
    }
    for (name, property) in template.parameters.properties() {
        let passed = entry.with.contains_key(name)
            || entry.with_outputs.contains_key(name)
            || schema.property(name).is_some();
        if template.parameters.is_required(name) && !passed {
            let about = property.get("description").and_then(Value::as_str).unwrap_or("");
            report.add(
                Rule::MissingParameter,
                format!("{path}.with"),
                format!("{} needs `{name}` ({about}): pass it here or declare it", template.name),
            );
        }
    }
    for (name, steps) in &entry.extensions {
        for (index, step) in steps.iter().enumerate() {
            let path = format!("{path}.extensions.{name}.{index}");
            stages::step_condition(&path, step, &template.parameters, report);
            match &step.script {
                Some(text) => stages::script(&path, text, &template.parameters, report),
                None => report.add(Rule::EmptyStep, path, "has no `script`"),
            }
        }
    }
    if template.timeout.is_none() && entry.timeout.is_none() {
        let message = "has no timeout: a stage that hangs holds its node";
        report.add(Rule::MissingTimeout, path, message);
    }
}

fn matrix(pipeline: &Pipeline, entry: &StageEntry, path: &str, report: &mut Report) {
    let Some(matrix) = &entry.matrix else { return };
    // Axes that are parameters are judged by their defaults.
    let mut params = BTreeMap::new();
    let mut known = true;
    for value in matrix.axes.values() {
        let Value::String(text) = value else { continue };
        for one in placeholders(text).unwrap_or_default() {
            let default =
                pipeline.parameters.property(&one.name).and_then(|schema| schema.get("default"));
            match default {
                Some(default) => {
                    params.insert(one.name, default.clone());
                }
                None => known &= pipeline.parameters.property(&one.name).is_none(),
            }
        }
    }
    let none = BTreeMap::new();
    let scope = Scope { params: &params, matrix: &none };
    match combinations(matrix, &scope) {
        Err(message) if known => report.add(Rule::BadMatrix, format!("{path}.matrix"), message),
        Ok(all) if all.is_empty() => {
            report.add(Rule::BadMatrix, format!("{path}.matrix"), "every combination is excluded");
        }
        _ => {}
    }
}

fn value_texts(
    path: &str,
    value: &Value,
    schema: &ParameterSchema,
    axes: &BTreeSet<&str>,
    report: &mut Report,
) {
    match value {
        Value::String(text) => {
            stages::texts(path, text, schema, report);
            for one in placeholders(text).unwrap_or_default() {
                if one.namespace == Namespace::Matrix && !axes.contains(one.name.as_str()) {
                    let hint = nearest_hint(&one.name, axes.iter().copied());
                    report.add(
                        Rule::BadMatrix,
                        path,
                        format!("there is no axis `{}`{hint}", one.name),
                    );
                }
            }
        }
        Value::Array(items) => {
            for one in items {
                value_texts(path, one, schema, axes, report);
            }
        }
        Value::Object(map) => {
            for one in map.values() {
                value_texts(path, one, schema, axes, report);
            }
        }
        _ => {}
    }
}
