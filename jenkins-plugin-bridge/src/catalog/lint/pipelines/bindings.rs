//! Rules for bindings and examples.

use std::collections::BTreeSet;

use globset::GlobBuilder;

use crate::catalog::Catalog;
use crate::catalog::lint::{Report, Rule};
use crate::catalog::model::{Example, Identifier, JobMatch, Level, Rule as BindingRule};
use crate::plan::{PlanRequest, Prepared, Selection};
use crate::text::nearest_hint;

pub(super) fn globs(path: &str, matches: &JobMatch, rule: Rule, report: &mut Report) {
    let texts = [&matches.controller, &matches.folder, &matches.job, &matches.label];
    for one in texts.into_iter().flatten().chain(matches.parameters.values()) {
        if let Err(error) = GlobBuilder::new(one).literal_separator(true).build() {
            report.add(rule, path, format!("{one:?} is no glob: {}", error.kind()));
        }
    }
}

pub(super) fn bindings(catalog: &Catalog, report: &mut Report) {
    let mut names = BTreeSet::new();
    let mut all_jobs: Option<&BindingRule> = None;
    for filed in &catalog.rules {
        report.file.clone_from(&filed.file);
        let rule = &filed.value;
        let path = format!("rules.{}", rule.name);
        if !names.insert(&rule.name) {
            report.add(Rule::BadBinding, &path, "this name is there twice");
        }
        if let Some(first) = all_jobs {
            let message = format!("never wins: rule `{}` before it matches every job", first.name);
            report.add(Rule::ShadowedRule, &path, message);
        }
        globs(&format!("{path}.match"), &rule.matches, Rule::BadBinding, report);
        if rule.matches == JobMatch::default() {
            all_jobs = Some(rule);
        }
        match catalog.pipeline(rule.pipeline.as_str()) {
            Err(error) => report.error(Rule::BadBinding, &path, &error),
            Ok(pipeline) => {
                let schema = &pipeline.value.parameters;
                for name in rule.parameters.keys().chain(rule.set.keys()) {
                    if schema.property(name).is_none() {
                        let known = schema.properties().map(|(name, _)| name);
                        let hint = nearest_hint(name, known);
                        let message =
                            format!("pipeline {} has no parameter `{name}`{hint}", rule.pipeline);
                        report.add(Rule::BadBinding, &path, message);
                    }
                }
            }
        }
        if let Some(team) = &rule.team {
            let teams = || catalog.layers.iter().filter(|one| one.value.level == Level::Team);
            if !teams().any(|one| one.value.name == *team) {
                let hint = nearest_hint(team.as_str(), teams().map(|one| one.value.name.as_str()));
                let message = format!("there is no layer of level team `{team}`{hint}");
                report.add(Rule::BadBinding, &path, message);
            }
        }
    }
}

pub(super) fn example(catalog: &Catalog, example: &Example, report: &mut Report) {
    let selection =
        Selection { team: example.team.as_ref().map(Identifier::as_str), ..Selection::default() };
    let request = PlanRequest {
        parameters: example.parameters.clone(),
        facts: example.facts.clone(),
        ..PlanRequest::default()
    };
    let planned = Prepared::new(catalog, example.pipeline.as_str(), &selection)
        .and_then(|prepared| prepared.plan(&request));
    if let Err(error) = planned {
        report.error(Rule::FailingExample, "", &error);
    }
}
