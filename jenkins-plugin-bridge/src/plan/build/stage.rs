//! Filling in a stage that runs: containers, environment, steps, reports, credentials.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Work, active};
use crate::catalog::model::{
    Environment, OutputPattern, OutputReference, Reports, Span, StageEntry,
};
use crate::plan::condition::Facts;
use crate::plan::environment::{Bound, MAX_ENVIRONMENT};
use crate::plan::fill::Filler;
use crate::plan::fixed::PreparedStep;
use crate::plan::matrix::Combination;
use crate::plan::model::{
    PlanCredential, PlanInput, PlanOutput, PlanService, PlanStage, PlanStep, PlanStepPost,
};
use crate::plan::outputs::taken;
use crate::plan::prepare::PreparedStage;
use crate::plan::template::{Scope, value_text};

impl Work<'_> {
    pub(super) fn fill(
        &mut self,
        planned: &mut PlanStage,
        entry: &StageEntry,
        stage: &PreparedStage,
        (parameters, facts): (&BTreeMap<String, Value>, &Facts<'_>),
        matrix: &Combination,
    ) {
        let template = &stage.template;
        let id = planned.id.clone();
        planned.outputs = template
            .outputs
            .iter()
            .map(|(name, one)| {
                let output = PlanOutput { pattern: one.pattern.clone(), optional: one.optional };
                (name.to_string(), output)
            })
            .collect();
        planned.inputs = inputs(&taken(entry, &self.outputs), stage, parameters);
        let mut filler = Filler {
            facts,
            own: Scope { params: parameters, matrix },
            outer: Scope { params: self.parameters, matrix },
            id: &id,
            problems: &mut self.problems,
        };
        planned.effects = template.effects;
        planned.containers = template
            .containers
            .iter()
            .zip(&stage.containers)
            .map(|(one, made)| match made {
                Some(made) => Arc::clone(made),
                None => Arc::new(filler.container(one, entry.containers.get(&one.name))),
            })
            .collect();
        planned.services = template
            .services
            .iter()
            .map(|one| PlanService {
                name: one.name.to_string(),
                image: filler.text("services.image", &one.image),
                requests: one.requests.clone(),
                limits: one.limits.clone(),
                environment: filler.environment("services.environment", &one.environment),
                port: one.port,
            })
            .collect();
        let mut environment = filler.environment("environment", &template.environment);
        let outer = filler.outer_environment(&entry.environment);
        environment.extend(outer);
        let mut bound = Bound { variables: environment, ..Bound::default() };
        for one in stage.rules.properties() {
            if let Some(value) = parameters.get(&one.name) {
                bound.add(one, value);
            }
        }
        let mut environment = bound.variables;
        for (axis, value) in matrix {
            let name = format!("MATRIX_{}", axis.to_ascii_uppercase().replace('-', "_"));
            environment.insert(name, value_text(value));
        }
        let total: usize = environment.iter().map(|(k, v)| k.len() + v.len() + 2).sum();
        if total > MAX_ENVIRONMENT {
            filler.problem(
                "environment",
                format!("its variables take {total} bytes, the most is {MAX_ENVIRONMENT}: pass large values with `x-pass: file`"),
            );
        }
        planned.environment = environment;
        planned.files = bound.files;
        let first = template.containers.first().map(|one| one.name.as_str());
        let mut steps = |name: &str, all: &[PreparedStep], container: Option<&str>| {
            let mut planned: Vec<Arc<PlanStep>> = Vec::with_capacity(all.len());
            for step in all {
                let number = planned.len() + 1;
                planned.extend(filler.step(name, number, step, container));
            }
            planned
        };
        planned.steps = steps("steps", &stage.steps.steps, first);
        // A rehearsal stands in for the steps, so it asks for no container beyond theirs.
        let own = planned.steps.first().and_then(|step| step.container.as_deref()).or(first);
        planned.rehearsal = steps("rehearsal", &stage.steps.rehearsal, own);
        let [always, success, failure, aborted] = &stage.steps.post;
        planned.post = PlanStepPost {
            always: steps("post.always", always, own),
            success: steps("post.success", success, own),
            failure: steps("post.failure", failure, own),
            aborted: steps("post.aborted", aborted, own),
        };
        // A container that no step is left for would only be asked for and never used.
        let mut containers = std::mem::take(&mut planned.containers);
        containers.retain(|one| {
            let uses = |step: &Arc<PlanStep>| step.container.as_ref() == Some(&one.name);
            planned.steps.iter().any(uses)
                || planned.rehearsal.iter().any(uses)
                || planned.post.lists().iter().any(|(_, steps)| steps.iter().any(uses))
        });
        planned.containers = containers;
        let mut globs = |all: &[String]| -> Vec<String> {
            let mut globs: Vec<String> = Vec::new();
            for one in all.iter().map(|one| without_here(&filler.text("reports", one))) {
                if !one.is_empty() && !globs.contains(&one) {
                    globs.push(one);
                }
            }
            globs
        };
        let junit = globs(&template.reports.junit);
        let archive = globs(&template.reports.archive);
        let coverage = template
            .reports
            .coverage
            .iter()
            .map(|one| {
                let mut one = one.clone();
                one.path = without_here(&filler.text("reports", &one.path));
                one
            })
            .collect();
        planned.reports = Reports { junit, coverage, archive };
        planned.credentials = template
            .credentials
            .iter()
            .map(|one| PlanCredential {
                id: filler.text("credentials", &one.id),
                kind: one.kind,
                variable: one.variable.clone(),
                username_variable: one.username_variable.clone(),
                optional: one.optional,
            })
            // An id that is an empty parameter: the stage goes without.
            .filter(|one| !(one.optional && one.id.is_empty()))
            .collect();
        planned.retry = entry.retry.clone().or_else(|| template.retry.clone());
        let timeout = entry.timeout.as_ref().or(template.timeout.as_ref());
        planned.timeout_seconds = timeout.map(Span::seconds);
        planned.lock = entry.lock.as_ref().map(|one| filler.outer_text("lock", &one.resource));
        planned.milestone = entry.milestone;
        planned.approval = entry.approval.clone().map(|mut one| {
            one.message = filler.outer_text("approval", &one.message);
            one
        });
    }
}

/// Where the values of variables come from. What cannot be a pattern of an output was refused when
/// the pipeline was made ready.
fn inputs(
    taken: &BTreeMap<&str, &OutputReference>,
    stage: &PreparedStage,
    parameters: &BTreeMap<String, Value>,
) -> BTreeMap<String, PlanInput> {
    let properties = stage.rules.properties().iter();
    properties
        .filter_map(|one| {
            let (stage_name, output) = taken.get(one.name.as_str())?.parts();
            let schema = stage.template.parameters.property(&one.name)?;
            let pattern = schema.get("pattern").and_then(Value::as_str);
            let input = PlanInput {
                stage: stage_name.to_owned(),
                output: output.to_owned(),
                pattern: pattern.and_then(|text| OutputPattern::new(text).ok()),
                dashes: one.dashes,
                required: !parameters.contains_key(&one.name)
                    && stage.template.parameters.is_required(&one.name),
            };
            Some((one.variable.clone(), input))
        })
        .collect()
}

pub(super) fn empty_stage(id: String, name: String, title: String, template: String) -> PlanStage {
    PlanStage {
        id,
        name,
        title,
        template,
        decision: active("always runs"),
        matrix: Combination::new(),
        parameters: BTreeMap::new(),
        effects: crate::catalog::model::Effects::Workspace,
        containers: Vec::new(),
        services: Vec::new(),
        environment: Environment::new(),
        files: BTreeMap::new(),
        inputs: BTreeMap::new(),
        outputs: BTreeMap::new(),
        steps: Vec::new(),
        rehearsal: Vec::new(),
        reports: Reports::default(),
        credentials: Vec::new(),
        retry: None,
        timeout_seconds: None,
        lock: None,
        milestone: false,
        approval: None,
        allow_failure: false,
        after_failure: false,
        post: PlanStepPost::default(),
    }
}

/// A glob without its `.` components, which a directory parameter brings along: Ant's patterns, and so
/// those of Jenkins, match no path with them.
fn without_here(glob: &str) -> String {
    if !glob.starts_with('.') && !glob.contains("/.") {
        return glob.to_owned();
    }
    glob.split('/').filter(|part| *part != ".").collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::without_here;

    #[test]
    fn a_glob_loses_the_directory_it_is_in() {
        assert_eq!(without_here("./dist/**"), "dist/**");
        assert_eq!(without_here("web/./dist/*.x"), "web/dist/*.x");
        assert_eq!(without_here("/abs/..x/.y"), "/abs/..x/.y");
    }
}
