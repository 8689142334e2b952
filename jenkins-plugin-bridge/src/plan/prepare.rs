//! A pipeline made ready for planning: layers applied, templates found, schemas and conditions
//! compiled. It is made once per pipeline and set of layers and used for every plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::binding::matches_job;
use super::choice::choices;
use super::condition::Condition;
use super::fixed::{PreparedSteps, made_container};
use super::layers::{Change, Layered};
use super::model::PlanContainer;
use super::parameters::ParameterRules;
use crate::catalog::Catalog;
use crate::catalog::model::{
    Container, JobRecord, Layer, Level, ParameterSchema, Pipeline, StageEntry, StageTemplate,
};
use crate::error::{BridgeError, Problem};
use crate::text::nearest_hint;

/// The deepest that groups may lie in each other.
const MAX_DEPTH: usize = 8;

/// A pipeline that is ready for planning.
#[derive(Debug)]
pub struct Prepared {
    /// Name of the catalog.
    pub catalog: String,
    /// The pipeline with its layers applied.
    pub pipeline: Pipeline,
    /// The layers that hold, upper ones first.
    pub layers: Vec<(Level, String)>,
    /// What they changed.
    pub changes: Vec<Change>,
    /// The rules for its parameters.
    pub rules: ParameterRules,
    pub(crate) entries: Vec<PreparedEntry>,
    pub(crate) post: [Vec<PreparedEntry>; 4],
}

#[derive(Debug)]
pub(crate) struct PreparedEntry {
    pub entry: StageEntry,
    pub when: Option<Condition>,
    pub kind: PreparedKind,
}

#[derive(Debug)]
pub(crate) enum PreparedKind {
    /// One template, or all of those that a parameter chooses from.
    Stage(BTreeMap<String, PreparedStage>),
    Parallel(Vec<PreparedEntry>),
    Sequence(Vec<PreparedEntry>),
}

#[derive(Debug)]
pub(crate) struct PreparedStage {
    pub template: StageTemplate,
    pub rules: ParameterRules,
    pub when: Option<Condition>,
    /// Its name and version, as plans have them.
    pub reference: String,
    pub steps: PreparedSteps,
    /// The containers that are the same in every plan, in the order of the template.
    pub containers: Vec<Option<Arc<PlanContainer>>>,
}

/// What a plan is asked for.
#[derive(Debug, Clone, Default)]
pub struct Selection<'a> {
    /// Name of the team whose layers hold.
    pub team: Option<&'a str>,
    /// The job, for layers of the level `job`.
    pub job: Option<&'a JobRecord>,
    /// A last layer, of the level `job`: what the Jenkinsfile or the command line overrides.
    pub overrides: Option<Layer>,
}

/// The layers of a catalog that hold for a pipeline, upper ones first.
///
/// # Errors
/// A team that has no layer.
pub fn layers_for<'c>(
    catalog: &'c Catalog,
    pipeline: &str,
    selection: &Selection<'_>,
) -> Result<Vec<&'c Layer>, BridgeError> {
    if let Some(team) = selection.team {
        let teams = || catalog.layers.iter().filter(|one| one.value.level == Level::Team);
        if !teams().any(|one| one.value.name.as_str() == team) {
            let known = teams().map(|one| one.value.name.as_str());
            return Err(BridgeError::unknown("team", team, known));
        }
    }
    Ok(catalog
        .layers
        .iter()
        .map(|one| &one.value)
        .filter(|layer| {
            layer.pipelines.is_empty() || layer.pipelines.iter().any(|one| one.as_str() == pipeline)
        })
        .filter(|layer| match layer.level {
            Level::Organisation => true,
            Level::Team => selection.team == Some(layer.name.as_str()),
            Level::Job => layer.matches.is_some() && selection.job.is_some(),
        })
        .filter(|layer| match (&layer.matches, selection.job) {
            (Some(matches), Some(job)) => matches_job(matches, job).is_ok(),
            // A layer for some jobs only does not hold where no job is known.
            (Some(_), None) => false,
            (None, _) => true,
        })
        .collect())
}

impl Prepared {
    /// Makes a pipeline ready.
    ///
    /// # Errors
    /// Overrides that are refused, or everything that is wrong with the templates.
    pub fn new(
        catalog: &Catalog,
        pipeline: &str,
        selection: &Selection<'_>,
    ) -> Result<Self, BridgeError> {
        let filed = catalog.pipeline(pipeline)?;
        let mut layers = layers_for(catalog, pipeline, selection)?;
        layers.extend(&selection.overrides);
        let mut layered = Layered::new(&filed.value, catalog);
        for layer in &layers {
            layered = layered.apply(layer);
        }
        let (pipeline, changes) = layered.finish().map_err(BridgeError::Overrides)?;
        let mut work = Work {
            catalog,
            schema: &pipeline.parameters,
            problems: Vec::new(),
            names: BTreeSet::new(),
        };
        let rules = work.rules(&pipeline.parameters, "");
        let entries = work.entries(&pipeline.stages, "stages", 0);
        let post = pipeline
            .post
            .lists()
            .map(|(name, entries)| work.entries(entries, &format!("post.{name}"), 0));
        let mut problems = work.problems;
        problems.extend(super::outputs::check(catalog, &pipeline).into_iter().map(|(_, one)| one));
        let problems: Vec<Problem> =
            problems.into_iter().map(|one| one.in_file(filed.file.clone())).collect();
        match rules {
            Some(rules) if problems.is_empty() => Ok(Self {
                catalog: catalog.info.name.to_string(),
                layers: layers.iter().map(|one| (one.level, one.name.to_string())).collect(),
                pipeline,
                changes,
                rules,
                entries,
                post,
            }),
            _ => Err(BridgeError::Catalog(problems)),
        }
    }
}

struct Work<'c> {
    catalog: &'c Catalog,
    schema: &'c ParameterSchema,
    problems: Vec<Problem>,
    names: BTreeSet<String>,
}

impl Work<'_> {
    fn problem(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::new(path, message));
    }

    fn rules(&mut self, schema: &ParameterSchema, prefix: &str) -> Option<ParameterRules> {
        // Parameters of a pipeline go to its stages; only those of a stage go to variables.
        let compiled = if prefix.is_empty() {
            ParameterRules::compile(schema)
        } else {
            ParameterRules::compile_bound(schema)
        };
        match compiled {
            Ok(rules) => Some(rules),
            Err(problems) => {
                self.problems.extend(
                    problems
                        .into_iter()
                        .map(|one| Problem::new(format!("{prefix}{}", one.path), one.message)),
                );
                None
            }
        }
    }

    fn condition(&mut self, path: &str, source: Option<&String>) -> Option<Condition> {
        match Condition::compile(source?) {
            Ok(condition) => Some(condition),
            Err(message) => {
                self.problem(format!("{path}.when"), message);
                None
            }
        }
    }

    fn entries(&mut self, all: &[StageEntry], path: &str, depth: usize) -> Vec<PreparedEntry> {
        if depth > MAX_DEPTH {
            self.problem(path, format!("groups lie over {MAX_DEPTH} deep in each other"));
            return Vec::new();
        }
        all.iter()
            .enumerate()
            .filter_map(|(index, entry)| {
                let place = match entry.id() {
                    "" => format!("{path}.{index}"),
                    id => format!("{path}.{id}"),
                };
                self.entry(entry, &place, depth)
            })
            .collect()
    }

    fn entry(&mut self, entry: &StageEntry, path: &str, depth: usize) -> Option<PreparedEntry> {
        let given = [
            ("uses", entry.uses.is_some()),
            ("parallel", entry.parallel.is_some()),
            // Layers put their stages at an extension point under `stages`.
            ("stages", entry.stages.is_some() && entry.extension.is_none()),
            ("extension", entry.extension.is_some()),
        ];
        let kinds: Vec<&str> = given.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        if kinds.len() != 1 {
            let got = if kinds.is_empty() { "none".to_owned() } else { kinds.join(" and ") };
            self.problem(
                path,
                format!("expected exactly one of uses, parallel, stages, extension; got {got}"),
            );
            return None;
        }
        if entry.extension.is_none() && entry.name.is_none() {
            self.problem(path, "`name` is missing: layers and conditions need it");
        }
        if !entry.id().is_empty() && !self.names.insert(entry.id().to_owned()) {
            self.problem(path, format!("the name `{}` is there already", entry.id()));
        }
        if entry.uses.is_none() {
            let stage_only = [
                ("with", !entry.with.is_empty()),
                ("with_outputs", !entry.with_outputs.is_empty()),
                ("retry", entry.retry.is_some()),
                ("timeout", entry.timeout.is_some()),
                ("lock", entry.lock.is_some()),
                ("milestone", entry.milestone),
                ("approval", entry.approval.is_some()),
                ("environment", !entry.environment.is_empty()),
                ("containers", !entry.containers.is_empty()),
                ("extensions", !entry.extensions.is_empty()),
                ("matrix", entry.matrix.is_some()),
            ];
            for (name, _) in stage_only.into_iter().filter(|(_, given)| *given) {
                self.problem(
                    format!("{path}.{name}"),
                    "only stands at a stage with `uses`: put it there",
                );
            }
        }
        let when = self.condition(path, entry.when.as_ref());
        let kind = if let Some(uses) = &entry.uses {
            let templates = match choices(self.catalog, self.schema, uses) {
                Ok(templates) => templates,
                Err(message) => {
                    self.problem(format!("{path}.uses"), message);
                    return None;
                }
            };
            let all: Vec<&StageTemplate> = templates.values().map(|one| &one.value).collect();
            self.patches(entry, &all, path);
            let mut stages = BTreeMap::new();
            for (text, template) in templates {
                let template = template.value.clone();
                let prefix = format!("{path} uses {}: ", template.name);
                let rules = self.rules(&template.parameters, &prefix);
                let when = self.condition(&prefix, template.when.as_ref());
                let steps = PreparedSteps::new(&template, entry, |step| {
                    self.condition(&prefix, step.when.as_ref())
                });
                let made = |one: &Container| made_container(one, entry.containers.get(&one.name));
                let containers = template.containers.iter().map(made).collect();
                let reference = format!("{}@{}", template.name, template.version);
                if let Some(rules) = rules {
                    let stage =
                        PreparedStage { template, rules, when, reference, steps, containers };
                    stages.insert(text, stage);
                }
            }
            PreparedKind::Stage(stages)
        } else if let Some(branches) = &entry.parallel {
            PreparedKind::Parallel(self.entries(branches, path, depth + 1))
        } else {
            let stages = entry.stages.as_deref().unwrap_or_default();
            PreparedKind::Sequence(self.entries(stages, path, depth + 1))
        };
        Some(PreparedEntry { entry: entry.clone(), when, kind })
    }

    /// Checks what an entry says about parts of its template: it must be true of one of those
    /// that a parameter chooses from.
    fn patches(&mut self, entry: &StageEntry, templates: &[&StageTemplate], path: &str) {
        let names: Vec<&str> = templates.iter().map(|one| one.name.as_str()).collect();
        let who = names.join(", ");
        let containers: BTreeSet<&str> =
            templates.iter().flat_map(|one| &one.containers).map(|one| one.name.as_str()).collect();
        let points: BTreeSet<&str> = templates
            .iter()
            .flat_map(|one| one.extension_points())
            .map(crate::catalog::model::Identifier::as_str)
            .collect();
        let parameters: BTreeSet<&str> = templates
            .iter()
            .flat_map(|one| one.parameters.properties())
            .map(|(name, _)| name)
            .collect();
        let mut known = |place: &str, kind: &str, name: &str, all: &BTreeSet<&str>| {
            if !all.contains(name) {
                let hint = nearest_hint(name, all.iter().copied());
                self.problem(
                    format!("{path}.{place}"),
                    format!("{who} has no {kind} `{name}`{hint}"),
                );
            }
        };
        for name in entry.containers.keys() {
            known("containers", "container", name.as_str(), &containers);
        }
        for name in entry.with.keys() {
            known(&format!("with.{name}"), "parameter", name, &parameters);
        }
        for (name, steps) in &entry.extensions {
            known("extensions", "extension point", name.as_str(), &points);
            for (index, step) in steps.iter().enumerate() {
                let at = format!("extensions.{name}.{index}");
                if let Some(container) = &step.container {
                    known(&at, "container", container.as_str(), &containers);
                }
            }
        }
        for (name, steps) in &entry.extensions {
            for (index, step) in steps.iter().enumerate() {
                if step.script.is_none() {
                    let at = format!("{path}.extensions.{name}.{index}");
                    self.problem(at, "`script` is missing");
                }
            }
        }
    }
}
