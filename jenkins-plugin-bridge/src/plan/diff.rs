//! What changes between two catalogs: which plans, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::binding::plan_job;
use super::build::PlanRequest;
use super::model::{Plan, PlanNode};
use super::prepare::{Prepared, Selection};
use crate::catalog::Catalog;
use crate::catalog::model::{Identifier, JobRecord};
use crate::error::BridgeError;
use crate::text::shown;

/// What happens to one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum JobChange {
    /// Nothing.
    Same,
    /// Its plan is another.
    Changed {
        /// How, line by line.
        details: Vec<String>,
    },
    /// It had a plan and has none any more.
    Broken {
        /// Why.
        reason: String,
    },
    /// It had no plan and has one now.
    Mended,
    /// It has no plan in either.
    Refused {
        /// Why.
        reason: String,
    },
}

/// All jobs with what happens to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// By name of the job, or of the example.
    pub jobs: BTreeMap<String, JobChange>,
}

/// Compares the plans of jobs under two catalogs. Without jobs, those of the examples.
#[must_use]
pub fn compare(from: &Catalog, to: &Catalog, jobs: &[JobRecord]) -> Comparison {
    let mut all = BTreeMap::new();
    for job in jobs {
        let plan = |catalog: &Catalog| {
            plan_job(catalog, job, &BTreeMap::new()).map(|planned| planned.plan)
        };
        all.insert(format!("{}/{}", job.controller, job.job), change(plan(from), plan(to)));
    }
    if jobs.is_empty() {
        let names: BTreeSet<&String> = from.examples.keys().chain(to.examples.keys()).collect();
        for name in names {
            // The newer parameters are those that the team will run with.
            let Some(example) = to.examples.get(name).or_else(|| from.examples.get(name)) else {
                continue;
            };
            let example = &example.value;
            let plan = |catalog: &Catalog| {
                let selection = Selection {
                    team: example.team.as_ref().map(Identifier::as_str),
                    ..Selection::default()
                };
                let request = PlanRequest {
                    parameters: example.parameters.clone(),
                    facts: example.facts.clone(),
                    ..PlanRequest::default()
                };
                Prepared::new(catalog, example.pipeline.as_str(), &selection)?.plan(&request)
            };
            all.insert(format!("example {name}"), change(plan(from), plan(to)));
        }
    }
    Comparison { jobs: all }
}

fn change(from: Result<Plan, BridgeError>, to: Result<Plan, BridgeError>) -> JobChange {
    match (from, to) {
        (Ok(from), Ok(to)) if from == to => JobChange::Same,
        (Ok(from), Ok(to)) => JobChange::Changed { details: details(&from, &to) },
        (Ok(_), Err(error)) => JobChange::Broken { reason: error.to_string() },
        (Err(_), Ok(_)) => JobChange::Mended,
        (Err(_), Err(error)) => JobChange::Refused { reason: error.to_string() },
    }
}

/// How two plans differ, line by line.
#[must_use]
pub fn details(from: &Plan, to: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    let head = |plan: &Plan| {
        let mut head = serde_json::to_value(plan).unwrap_or(Value::Null);
        if let Value::Object(map) = &mut head {
            map.remove("stages");
            map.remove("post");
        }
        head
    };
    values("", &head(from), &head(to), &mut lines);
    let by_id = |plan: &Plan| -> BTreeMap<String, Value> {
        plan.nodes().into_iter().map(|node| (node.id().to_owned(), own(node))).collect()
    };
    let order = |plan: &Plan| -> Vec<String> {
        plan.nodes().into_iter().map(|node| node.id().to_owned()).collect()
    };
    let (before, after) = (by_id(from), by_id(to));
    for id in order(from) {
        if !after.contains_key(&id) {
            lines.push(format!("stage {id}: removed"));
        }
    }
    for id in order(to) {
        match (before.get(&id), after.get(&id)) {
            (None, Some(_)) => lines.push(format!("stage {id}: added")),
            (Some(old), Some(new)) => values(&format!("stage {id}"), old, new, &mut lines),
            _ => {}
        }
    }
    let kept = |order: Vec<String>, other: &BTreeMap<String, Value>| -> Vec<String> {
        order.into_iter().filter(|id| other.contains_key(id)).collect()
    };
    if kept(order(from), &after) != kept(order(to), &before) {
        lines.push(format!("order: now {}", order(to).join(", ")));
    }
    lines
}

/// A node without those inside.
fn own(node: &PlanNode) -> Value {
    let mut value = serde_json::to_value(node).unwrap_or(Value::Null);
    if let Value::Object(map) = &mut value {
        map.remove("nodes");
    }
    value
}

fn values(path: &str, from: &Value, to: &Value, lines: &mut Vec<String>) {
    if from == to {
        return;
    }
    let deeper = |name: &str| match path {
        "" => name.to_owned(),
        path if path.contains(": ") => format!("{path}.{name}"),
        path if path.starts_with("stage ") => format!("{path}: {name}"),
        path => format!("{path}.{name}"),
    };
    match (from, to) {
        (Value::Object(old), Value::Object(new)) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                let null = Value::Null;
                let (old, new) = (old.get(name).unwrap_or(&null), new.get(name).unwrap_or(&null));
                values(&deeper(name), old, new, lines);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                let name = old.get("name").and_then(Value::as_str);
                values(&deeper(name.unwrap_or(&index.to_string())), old, new, lines);
            }
        }
        (Value::String(old), Value::String(new)) if old.contains('\n') || new.contains('\n') => {
            lines.push(format!("{path}:"));
            for change in TextDiff::from_lines(old, new).iter_all_changes() {
                let sign = match change.tag() {
                    ChangeTag::Delete => '-',
                    ChangeTag::Insert => '+',
                    ChangeTag::Equal => continue,
                };
                lines.push(format!("    {sign} {}", change.value().trim_end()));
            }
        }
        (Value::Null, new) => lines.push(format!("{path}: added {}", shown(new))),
        (old, Value::Null) => lines.push(format!("{path}: removed, was {}", shown(old))),
        (old, new) => lines.push(format!("{path}: {} → {}", shown(old), shown(new))),
    }
}

impl Comparison {
    /// Whether a job loses its plan.
    #[must_use]
    pub fn breaks(&self) -> bool {
        self.jobs.values().any(|one| matches!(one, JobChange::Broken { .. }))
    }

    /// The comparison for people. Jobs with the same change stand together, so that one change
    /// of a stage that a thousand jobs use is read once.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut groups: BTreeMap<Vec<String>, Vec<&str>> = BTreeMap::new();
        let mut text = String::new();
        let mut same = 0usize;
        for (name, change) in &self.jobs {
            match change {
                JobChange::Same => same += 1,
                JobChange::Changed { details } => {
                    groups.entry(details.clone()).or_default().push(name);
                }
                JobChange::Broken { reason } => {
                    let _ = writeln!(text, "BROKEN {name}: {reason}");
                }
                JobChange::Mended => {
                    let _ = writeln!(text, "mended {name}: it has a plan now");
                }
                JobChange::Refused { reason } => {
                    let _ = writeln!(text, "no plan before and after {name}: {reason}");
                }
            }
        }
        let changed: usize = groups.values().map(Vec::len).sum();
        for (details, names) in groups {
            let _ = writeln!(text, "{} changed: {}", names.len(), cut(&names));
            for line in details {
                let _ = writeln!(text, "  {line}");
            }
        }
        let _ = writeln!(text, "{} compared: {changed} changed, {same} the same", self.jobs.len());
        text
    }
}

fn cut(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    let more = names.len().saturating_sub(SHOWN);
    let mut text = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}
