//! Input of the commands: parameters, facts, jobs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::catalog::Catalog;
use crate::catalog::model::{JobRecord, PlanFacts};
use crate::catalog::read::{typed, yaml};
use crate::catalog::source::MAX_FILE;
use crate::error::{BridgeError, Problem};
use crate::plan::binding::{Binding, bind, override_layer};
use crate::plan::{Plan, PlanRequest, Prepared, Selection};

/// Which pipeline with which parameters.
#[derive(Debug, Clone, Default, Args)]
pub struct RequestArguments {
    /// Pipeline; found by the bindings of the catalog where a job is given.
    #[arg(long, value_name = "NAME", required_unless_present = "job")]
    pipeline: Option<String>,
    /// YAML or JSON file with the parameters.
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,
    /// One parameter, beside those of the file. Text is read as the type asked for.
    #[arg(short = 'P', long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    param: Vec<(String, String)>,
    /// YAML or JSON file with a job: controller, job, labels, parameters.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pipeline", "team"])]
    job: Option<PathBuf>,
    /// Team whose layer holds.
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
    /// A change as the Jenkinsfile may make it: `stages.unit-tests.timeout=20m`.
    #[arg(long = "override", value_name = "PATH=VALUE", value_parser = pair)]
    overrides: Vec<(String, String)>,
    /// Branch that is built.
    #[arg(long)]
    branch: Option<String>,
    /// Tag that is built.
    #[arg(long)]
    tag: Option<String>,
    /// Target branch, for the build of a pull request.
    #[arg(long, value_name = "BRANCH")]
    pull_request: Option<String>,
    /// What started the build: push, timer, user, upstream.
    #[arg(long)]
    cause: Option<String>,
    /// File with the changed files, one on a line, where they are known.
    #[arg(long, value_name = "FILE")]
    pub(crate) changed_files: Option<PathBuf>,
}

/// A plan with how it came about.
pub(crate) struct Planned<'c> {
    pub binding: Option<Binding<'c>>,
    pub prepared: Prepared,
    pub plan: Plan,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Reads a small text file of the user.
pub(crate) fn read(path: &Path) -> Result<String, BridgeError> {
    let wrong = |message: String| BridgeError::Input { path: path.to_owned(), message };
    let about = path.metadata().map_err(|error| wrong(error.to_string()))?;
    // Lists of jobs are larger than the files of a catalog, but not without end.
    if about.len() > 256 * MAX_FILE {
        return Err(wrong("the file is over 256 MiB".into()));
    }
    std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))
}

fn value(path: &Path) -> Result<Value, BridgeError> {
    let text = read(path)?;
    // JSON is read as such: lists of jobs are large, and YAML has limits against bombs.
    if path.extension().is_some_and(|end| end == "json") {
        return serde_json::from_str(&text).map_err(|error| BridgeError::Input {
            path: path.to_owned(),
            message: format!("not valid JSON: {error}"),
        });
    }
    yaml(&text)
        .map_err(|problem| BridgeError::Input { path: path.to_owned(), message: problem.message })
}

/// Reads jobs: one, or a list.
pub(crate) fn jobs(path: &Path) -> Result<Vec<JobRecord>, BridgeError> {
    let all = match value(path)? {
        Value::Array(all) => all,
        one => vec![one],
    };
    let mut jobs = Vec::new();
    let mut problems = Vec::new();
    for (index, one) in all.into_iter().enumerate() {
        match typed::<JobRecord>("job", one) {
            Ok(job) => jobs.push(job),
            Err(wrong) => problems.extend(wrong.into_iter().map(|problem| {
                Problem::new(format!("{index}.{}", problem.path), problem.message)
                    .in_file(path.display().to_string())
            })),
        }
    }
    if problems.is_empty() { Ok(jobs) } else { Err(BridgeError::Plan(problems)) }
}

/// The changed files of a list.
pub(crate) fn changed_files(path: Option<&PathBuf>) -> Result<Option<Vec<String>>, BridgeError> {
    let Some(path) = path else { return Ok(None) };
    let text = read(path)?;
    Ok(Some(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()))
}

impl RequestArguments {
    fn facts(&self, mut facts: PlanFacts) -> PlanFacts {
        let set = |target: &mut Option<String>, given: &Option<String>| {
            if given.is_some() {
                target.clone_from(given);
            }
        };
        set(&mut facts.branch, &self.branch);
        set(&mut facts.tag, &self.tag);
        set(&mut facts.pull_request, &self.pull_request);
        set(&mut facts.cause, &self.cause);
        facts
    }

    fn parameters(&self) -> Result<BTreeMap<String, Value>, BridgeError> {
        let mut parameters = BTreeMap::new();
        if let Some(path) = &self.params {
            match value(path)? {
                Value::Object(map) => parameters.extend(map),
                Value::Null => {}
                _ => {
                    return Err(BridgeError::Input {
                        path: path.clone(),
                        message: "expected a mapping of parameters to values".into(),
                    });
                }
            }
        }
        for (name, text) in &self.param {
            parameters.insert(name.clone(), Value::String(text.clone()));
        }
        Ok(parameters)
    }

    fn overrides(&self) -> BTreeMap<String, Value> {
        let read = |text: &str| yaml(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        self.overrides.iter().map(|(path, text)| (path.clone(), read(text))).collect()
    }

    /// Makes the plan that is asked for.
    pub(crate) fn plan<'c>(&self, catalog: &'c Catalog) -> Result<Planned<'c>, BridgeError> {
        let given = self.parameters()?;
        let overrides = self.overrides();
        if let Some(path) = &self.job {
            let mut all = jobs(path)?;
            let Some(mut job) = all.pop().filter(|_| all.is_empty()) else {
                let message = "expected one job; for many use diff".into();
                return Err(BridgeError::Input { path: path.clone(), message });
            };
            job.facts = self.facts(job.facts);
            job.parameters.extend(given);
            if let Some(files) = changed_files(self.changed_files.as_ref())? {
                job.facts.changed_files = Some(files);
            }
            let binding = bind(catalog, &job)?;
            let planned = crate::plan::binding::plan_job(catalog, &job, &overrides)?;
            return Ok(Planned {
                binding: Some(binding),
                prepared: planned.prepared,
                plan: planned.plan,
            });
        }
        let selection = Selection {
            team: self.team.as_deref(),
            job: None,
            overrides: override_layer(None, &overrides)?,
        };
        let prepared =
            Prepared::new(catalog, self.pipeline.as_deref().unwrap_or_default(), &selection)?;
        let mut facts = self.facts(PlanFacts::default());
        facts.changed_files = changed_files(self.changed_files.as_ref())?;
        let plan = prepared.plan(&PlanRequest {
            parameters: given,
            read_text: true,
            facts,
            ..PlanRequest::default()
        })?;
        Ok(Planned { binding: None, prepared, plan })
    }
}
