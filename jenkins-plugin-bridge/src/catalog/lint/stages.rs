//! Rules for one stage template.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::shell::{self, FindingKind};
use super::{Report, Rule};
use crate::catalog::model::{
    Environment, Identifier, ParameterSchema, Resources, StageTemplate, Step,
};
use crate::plan::condition::{Condition, VARIABLES};
use crate::plan::environment::{is_forbidden, is_variable_name, variable_of};
use crate::plan::parameters::ParameterRules;
use crate::plan::template::{Namespace, Part, parts, placeholders};
use crate::text::nearest_hint;

pub(super) fn check(stage: &StageTemplate, report: &mut Report) {
    if let Err(problems) = ParameterRules::compile_bound(&stage.parameters) {
        for one in problems {
            // The name of a variable is a rule of its own.
            let forbidden = one.message.contains("steers programs");
            let rule = if forbidden { Rule::ForbiddenVariable } else { Rule::ParameterSchema };
            report.add(rule, one.path, one.message);
        }
    }
    containers(stage, report);
    variables("environment", &stage.environment, &stage.parameters, report);
    for (path, step) in stage.all_steps() {
        check_step(&path, step, stage, report);
    }
    reports_and_credentials(stage, report);
    outputs(stage, report);
    if let Some(source) = &stage.when {
        condition("when", source, &stage.parameters, None, report);
    }
    if stage.effects == crate::catalog::model::Effects::External && stage.rehearsal.is_empty() {
        let message = "has effects outside and no `rehearsal`: a local run can only skip it";
        report.add(Rule::MissingRehearsal, "rehearsal", message);
    }
}

fn containers(stage: &StageTemplate, report: &mut Report) {
    let mut names = BTreeSet::new();
    for one in &stage.containers {
        let path = format!("containers.{}", one.name);
        if !names.insert(&one.name) {
            report.add(Rule::UnknownContainer, &path, "this name is there twice");
        }
        image(&path, &one.image, &stage.parameters, report);
        resources(&path, &one.requests, &one.limits, report);
        variables(&format!("{path}.environment"), &one.environment, &stage.parameters, report);
    }
    for one in &stage.services {
        let path = format!("services.{}", one.name);
        if !names.insert(&one.name) {
            report.add(Rule::UnknownContainer, &path, "this name is there twice");
        }
        image(&path, &one.image, &stage.parameters, report);
        resources(&path, &one.requests, &one.limits, report);
        variables(&format!("{path}.environment"), &one.environment, &stage.parameters, report);
    }
}

pub(super) fn resources(path: &str, requests: &Resources, limits: &Resources, report: &mut Report) {
    for (name, given) in [("cpu", requests.cpu.is_some()), ("memory", requests.memory.is_some())] {
        if !given {
            let message = format!("`{name}` is missing: a node is chosen by it");
            report.add(Rule::MissingRequests, format!("{path}.requests"), message);
        }
    }
    let pairs = [
        ("cpu", &requests.cpu, &limits.cpu),
        ("memory", &requests.memory, &limits.memory),
        ("ephemeral-storage", &requests.ephemeral_storage, &limits.ephemeral_storage),
    ];
    for (name, request, limit) in pairs {
        if let (Some(request), Some(limit)) = (request, limit)
            && limit.thousandths() < request.thousandths()
        {
            let message = format!("{name} {limit} is below the request of {request}");
            report.add(Rule::LimitBelowRequest, format!("{path}.limits"), message);
        }
    }
}

/// Whether values of a parameter are bounded by its schema.
fn is_bounded(schema: &Value) -> bool {
    schema.get("enum").is_some() || schema.get("const").is_some() || schema.get("pattern").is_some()
}

pub(super) fn image(path: &str, image: &str, schema: &ParameterSchema, report: &mut Report) {
    let path = format!("{path}.image");
    texts(&path, image, schema, report);
    for one in placeholders(image).unwrap_or_default() {
        if one.namespace == Namespace::Params
            && schema.property(&one.name).is_some_and(|schema| !is_bounded(schema))
        {
            let message =
                format!("parameter `{}` is free text: give it an enum or a pattern", one.name);
            report.add(Rule::FreeTextImage, &path, message);
        }
    }
    // A placeholder at the end is the tag, whatever it is.
    let tag = image.rsplit('/').next().unwrap_or_default();
    if image.contains("@sha256:") || tag.contains("${{") || image.contains("${{") {
        return;
    }
    match tag.split_once(':') {
        Some((_, tag)) if tag != "latest" => {}
        _ => report.add(Rule::FloatingImage, &path, format!("{image:?} may change under the plan")),
    }
}

/// Checks the placeholders of a text.
pub(super) fn texts(path: &str, text: &str, schema: &ParameterSchema, report: &mut Report) {
    match placeholders(text) {
        Err(message) => report.add(Rule::BadPlaceholder, path, message),
        Ok(all) => {
            for one in all {
                if one.namespace == Namespace::Params && schema.property(&one.name).is_none() {
                    let hint = nearest_hint(&one.name, schema.properties().map(|(name, _)| name));
                    let message = format!("there is no parameter `{}`{hint}", one.name);
                    report.add(Rule::UnknownParameter, path, message);
                }
            }
        }
    }
}

pub(super) fn variables(
    path: &str,
    all: &Environment,
    schema: &ParameterSchema,
    report: &mut Report,
) {
    for (name, value) in all {
        texts(&format!("{path}.{name}"), value, schema, report);
        if !is_variable_name(name) {
            report.add(Rule::ForbiddenVariable, path, format!("`{name}` is no name of a variable"));
        }
        if value.contains("${{") && is_forbidden(name) {
            let message = format!("variable `{name}` steers programs and takes no parameter");
            report.add(Rule::ForbiddenVariable, path, message);
        }
    }
}

fn check_step(path: &str, step: &Step, stage: &StageTemplate, report: &mut Report) {
    match (&step.script, &step.extension) {
        (None, None) => {
            report.add(Rule::EmptyStep, path, "has neither `script` nor `extension`");
        }
        (Some(_), Some(_)) => {
            report.add(Rule::EmptyStep, path, "has both `script` and `extension`");
        }
        (Some(text), None) => script(path, text, &stage.parameters, report),
        (None, Some(_)) => {
            if !path.starts_with("steps.") {
                let message = "extension points stand under `steps` only";
                report.add(Rule::EmptyStep, path, message);
            }
        }
    }
    step_condition(path, step, &stage.parameters, report);
    variables(&format!("{path}.environment"), &step.environment, &stage.parameters, report);
    if let Some(container) = &step.container {
        known_container(path, container, stage, report);
    }
}

/// A condition of a step is decided when the plan is made.
pub(super) fn step_condition(
    path: &str,
    step: &Step,
    schema: &ParameterSchema,
    report: &mut Report,
) {
    let Some(source) = &step.when else { return };
    let path = format!("{path}.when");
    if let Some(condition) = condition(&path, source, schema, None, report)
        && !condition.needs().is_empty()
    {
        let message = "needs facts of run time: put the condition at the stage";
        report.add(Rule::BadCondition, path, message);
    }
}

pub(super) fn known_container(
    path: &str,
    container: &Identifier,
    stage: &StageTemplate,
    report: &mut Report,
) {
    let known: Vec<&str> = stage.containers.iter().map(|one| one.name.as_str()).collect();
    if !known.contains(&container.as_str()) {
        let hint = nearest_hint(container.as_str(), known);
        let message = format!("there is no container `{container}`{hint}");
        report.add(Rule::UnknownContainer, path, message);
    }
}

/// Checks a script: nothing pasted that is not an enum of plain words, no value as code.
pub(super) fn script(path: &str, text: &str, schema: &ParameterSchema, report: &mut Report) {
    let all = match parts(text) {
        Ok(all) => all,
        Err(message) => return report.add(Rule::BadPlaceholder, path, message),
    };
    let mut readable = String::new();
    for part in all {
        match part {
            Part::Text(text) => readable.push_str(text),
            Part::Placeholder(one) => {
                // A plain word in its place, so that the script can be read on.
                readable.push('x');
                let property = schema.property(&one.name);
                if one.namespace == Namespace::Matrix {
                    let message = format!(
                        "axis `{}` is pasted into the script: write \"$MATRIX_{}\"",
                        one.name,
                        one.name.to_ascii_uppercase().replace('-', "_")
                    );
                    report.add(Rule::PastedParameter, path, message);
                } else if let Some(property) = property {
                    if let Err(why) = plain_enum(property) {
                        let variable = variable_of(&one.name, property);
                        let message = format!(
                            "parameter `{}` is pasted into the script and {why}: write \"${variable}\"",
                            one.name
                        );
                        report.add(Rule::PastedParameter, path, message);
                    }
                } else {
                    let hint = nearest_hint(&one.name, schema.properties().map(|(name, _)| name));
                    let message = format!("there is no parameter `{}`{hint}", one.name);
                    report.add(Rule::UnknownParameter, path, message);
                }
            }
        }
    }
    let numbers: BTreeMap<String, bool> = schema
        .properties()
        .map(|(name, one)| {
            let kind = one.get("type").and_then(Value::as_str);
            (variable_of(name, one), matches!(kind, Some("integer" | "number")))
        })
        .collect();
    for found in shell::findings(&readable) {
        let at = format!("{path} line {}", found.line);
        let text = &found.text;
        match found.kind {
            FindingKind::Unquoted => {
                report.add(Rule::UnquotedExpansion, at, format!("{text}: write \"{text}\""));
            }
            FindingKind::Eval => report.add(Rule::Eval, at, format!("{text}: runs values as code")),
            FindingKind::Indirect => {
                let message = format!("{text}: another program reads the value as code");
                report.add(Rule::IndirectEvaluation, at, message);
            }
            FindingKind::Arithmetic => {
                if numbers.get(text) == Some(&false) {
                    let message = format!("{text} is text and would be evaluated");
                    report.add(Rule::ArithmeticParameter, at, message);
                }
            }
            FindingKind::Unreadable => report.add(Rule::UnreadableScript, at, text.clone()),
        }
    }
}

fn outputs(stage: &StageTemplate, report: &mut Report) {
    let writes = |step: &Step| {
        step.script.as_ref().is_some_and(|script| script.contains("PILOTFISH_OUTPUTS"))
    };
    let steps = stage.all_steps();
    let writer = steps.iter().find(|(_, step)| writes(step));
    match writer {
        Some((path, _)) if stage.outputs.is_empty() => {
            let message = "writes outputs, and the stage declares none under `outputs`";
            report.add(Rule::UnwrittenOutput, path, message);
        }
        None if !stage.outputs.is_empty() => {
            let message =
                "no script writes them: printf 'name=%s\\n' \"$VALUE\" >> \"$PILOTFISH_OUTPUTS\"";
            report.add(Rule::UnwrittenOutput, "outputs", message);
        }
        _ => {}
    }
}

/// Whether a parameter is an enum of words that no shell looks at twice.
fn plain_enum(schema: &Value) -> Result<(), String> {
    let Some(values) = schema.get("enum").and_then(Value::as_array) else {
        return Err("is no enum".to_owned());
    };
    for value in values {
        let plain = match value {
            Value::String(text) => {
                !text.is_empty()
                    && !text.starts_with('-')
                    && text.chars().all(|c| c.is_ascii_alphanumeric() || "._:/@+-".contains(c))
            }
            Value::Number(_) | Value::Bool(_) => true,
            _ => false,
        };
        if !plain {
            return Err(format!("may be {value}, which is no plain word"));
        }
    }
    Ok(())
}

fn reports_and_credentials(stage: &StageTemplate, report: &mut Report) {
    let schema = &stage.parameters;
    let globs = stage.reports.junit.iter().chain(&stage.reports.archive);
    for one in globs.chain(stage.reports.coverage.iter().map(|one| &one.path)) {
        texts("reports", one, schema, report);
    }
    for one in &stage.credentials {
        texts("credentials", &one.id, schema, report);
        for name in std::iter::once(&one.variable).chain(&one.username_variable) {
            if !is_variable_name(name) || is_forbidden(name) {
                let message = format!("`{name}` cannot hold a credential: choose another variable");
                report.add(Rule::ForbiddenVariable, "credentials", message);
            }
        }
    }
}

/// Checks a condition. `axes` are those of the matrix, where that is known.
pub(super) fn condition(
    path: &str,
    source: &str,
    schema: &ParameterSchema,
    axes: Option<&BTreeSet<&str>>,
    report: &mut Report,
) -> Option<Condition> {
    match Condition::compile(source) {
        Err(message) => {
            let message = if message.contains("no variable") {
                format!("{message} (variables: {})", VARIABLES.join(", "))
            } else {
                message
            };
            report.add(Rule::BadCondition, path, message);
            None
        }
        Ok(condition) => {
            for name in &condition.references().params {
                if schema.property(name).is_none() {
                    let hint = nearest_hint(name, schema.properties().map(|(name, _)| name));
                    let message = format!("there is no parameter `{name}`{hint}");
                    report.add(Rule::UnknownParameter, path, message);
                }
            }
            if let Some(axes) = axes {
                for name in &condition.references().axes {
                    if !axes.contains(name.as_str()) {
                        let hint = nearest_hint(name, axes.iter().copied());
                        let message = format!("there is no axis `{name}`{hint}");
                        report.add(Rule::BadMatrix, path, message);
                    }
                }
            }
            Some(condition)
        }
    }
}
