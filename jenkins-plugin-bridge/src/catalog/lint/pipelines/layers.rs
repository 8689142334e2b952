//! Rules for layers: what they open, close and change is there and may be changed.

use std::collections::BTreeSet;

use super::bindings::globs;
use super::{entry, names_into};
use crate::catalog::Catalog;
use crate::catalog::lint::{Report, Rule};
use crate::catalog::model::{Identifier, Layer, Level, Pipeline, StageTemplate};
use crate::plan::choice::choices;
use crate::plan::layers::Layered;
use crate::text::nearest_hint;

/// Whether a path of an opening or a closing is there.
pub(super) fn place(catalog: &Catalog, pipeline: &Pipeline, path: &str) -> Result<(), String> {
    let parts: Vec<&str> = path.split('.').collect();
    let entries = pipeline.entries();
    let known = |kind: &str, name: &str, all: Vec<&str>| -> Result<(), String> {
        if name == "*" || all.contains(&name) {
            return Ok(());
        }
        Err(format!("`{path}`: there is no {kind} `{name}`{}", nearest_hint(name, all)))
    };
    match parts.as_slice() {
        ["timeout"] => Ok(()),
        ["parameters", name, ..] => {
            known("parameter", name, pipeline.parameters.properties().map(|(n, _)| n).collect())
        }
        ["extensions", name] => known(
            "extension point",
            name,
            entries
                .iter()
                .filter_map(|one| one.extension.as_ref())
                .map(Identifier::as_str)
                .collect(),
        ),
        ["stages", name] => known("stage", name, entries.iter().map(|one| one.id()).collect()),
        ["stages", name, field, rest @ ..] => {
            known("stage", name, entries.iter().map(|one| one.id()).collect())?;
            const FIELDS: [&str; 18] = [
                "title",
                "uses",
                "with",
                "fail_fast",
                "when",
                "matrix",
                "retry",
                "timeout",
                "lock",
                "milestone",
                "approval",
                "environment",
                "containers",
                "extensions",
                "allow_failure",
                "after_failure",
                "parallel",
                "stages",
            ];
            known("field", field, FIELDS.to_vec())?;
            let uses =
                entries.iter().find(|one| one.id() == *name).and_then(|one| one.uses.as_ref());
            let Some(uses) = uses else { return Ok(()) };
            let templates = choices(catalog, &pipeline.parameters, uses).unwrap_or_default();
            let templates = || templates.values().map(|one| &one.value);
            match (*field, rest) {
                ("with", [parameter, ..]) => {
                    let all = templates().flat_map(|one| one.parameters.properties());
                    known("parameter", parameter, all.map(|(name, _)| name).collect())
                }
                ("containers", [container, ..]) => {
                    let all = templates().flat_map(|one| &one.containers);
                    known("container", container, all.map(|one| one.name.as_str()).collect())
                }
                ("extensions", [point, ..]) => {
                    let all = templates().flat_map(StageTemplate::extension_points);
                    known("extension point", point, all.map(Identifier::as_str).collect())
                }
                _ => Ok(()),
            }
        }
        _ => Err(format!(
            "`{path}`: a path starts with `stages.NAME`, `extensions.NAME`, `parameters.NAME` or is `timeout`"
        )),
    }
}

/// A layer is tried on every pipeline that it names, after the layers above it.
pub(super) fn layer(catalog: &Catalog, layer: &Layer, report: &mut Report) {
    if layer.level == Level::Job && layer.matches.is_none() {
        let message = "a layer of level job says which jobs: add `match`";
        report.add(Rule::RefusedLayer, "match", message);
    }
    if let Some(matches) = &layer.matches {
        globs("match", matches, Rule::RefusedLayer, report);
    }
    for name in &layer.pipelines {
        if let Err(error) = catalog.pipeline(name.as_str()) {
            report.error(Rule::RefusedLayer, "pipelines", &error);
        }
    }
    // Naming no pipeline means all: then each change must fit at least one of them.
    let all = layer.pipelines.is_empty();
    let named = |name: &str| all || layer.pipelines.iter().any(|one| one.as_str() == name);
    for (name, filed) in &catalog.pipelines {
        if !named(name) {
            continue;
        }
        let pipeline = &filed.value;
        let mut layered = Layered::new(pipeline, catalog);
        for above in catalog.layers.iter().map(|one| &one.value) {
            let holds = above.pipelines.is_empty()
                || above.pipelines.iter().any(|one| one.as_str() == name);
            if above.level < layer.level && above.level == Level::Organisation && holds {
                layered = layered.apply(above);
            }
        }
        layered.refused.clear();
        let layered = layered.apply(layer);
        if layered.refused.is_empty() {
            match layered.finish() {
                Err(problems) => {
                    for one in problems {
                        report.add(
                            Rule::RefusedLayer,
                            format!("{name}: {}", one.path),
                            one.message,
                        );
                    }
                }
                Ok((changed, _)) => scripts_of_layer(catalog, &changed, pipeline, report),
            }
        } else {
            for one in layered.refused {
                report.add(Rule::RefusedLayer, format!("{name}: {}", one.path), one.message);
            }
        }
        for closing in &layer.close {
            if let Err(message) = place(catalog, pipeline, &closing.path)
                && !all
            {
                report.add(Rule::UnknownOpening, "close", message);
            }
        }
    }
}

/// What a layer added keeps the same rules as what the pipeline says itself.
fn scripts_of_layer(catalog: &Catalog, changed: &Pipeline, before: &Pipeline, report: &mut Report) {
    if changed == before {
        return;
    }
    let mut own = Report { file: report.file.clone(), findings: Vec::new() };
    let mut known = Report { file: report.file.clone(), findings: Vec::new() };
    for (pipeline, target) in [(before, &mut known), (changed, &mut own)] {
        let mut names = BTreeSet::new();
        for one in &pipeline.stages {
            entry(catalog, pipeline, one, &format!("stages.{}", one.id()), &names, target);
            names_into(one, &mut names);
        }
    }
    own.findings.retain(|one| !known.findings.contains(one));
    report.findings.append(&mut own.findings);
}
