//! The facts that conditions speak of, as CEL has them and as people read them.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use cel::extractors::This;
use cel::{Context, Env, Value as CelValue};
use globset::{GlobBuilder, GlobMatcher};
use serde_json::Value;

use super::{Outcome, RunFacts};
use crate::catalog::model::PlanFacts;
use crate::text::shown;

/// The values of the variables of conditions, for one plan.
pub struct Facts<'a> {
    pub(super) context: Context<'a, 'a>,
    pub(super) unknown: BTreeSet<&'static str>,
    pub(super) params: &'a BTreeMap<String, Value>,
    pub(super) known: Known<'a>,
}

/// What explanations show of the facts beside parameters.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    plan: &'a PlanFacts,
    job: (&'a str, &'a str),
    changed_files: Option<&'a [String]>,
    pub(super) results: Option<&'a BTreeMap<String, Outcome>>,
}

impl std::fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Facts").field("unknown", &self.unknown).finish_non_exhaustive()
    }
}

static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// The most globs that are kept compiled. A catalog has a few; the rest is for parameters.
const GLOBS: usize = 256;
/// The longest that is kept, in bytes.
const GLOB_BYTES: usize = 1024;

/// Compiling one takes many times as long as matching with it, and builds ask for the same ones.
/// `None` stands for a pattern that is none.
static COMPILED: LazyLock<Mutex<HashMap<String, Option<GlobMatcher>>>> =
    LazyLock::new(Mutex::default);

fn glob_matches(text: &str, pattern: &str) -> bool {
    let compile = || {
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        glob.ok().map(|glob| glob.compile_matcher())
    };
    let matches =
        |glob: &Option<GlobMatcher>| glob.as_ref().is_some_and(|glob| glob.is_match(text));
    if pattern.len() > GLOB_BYTES {
        return matches(&compile());
    }
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(glob) = compiled.get(pattern) {
        return matches(glob);
    }
    if compiled.len() >= GLOBS {
        compiled.clear();
    }
    matches(compiled.entry(pattern.to_owned()).or_insert_with(compile))
}

fn cel_glob(This(text): This<Arc<String>>, pattern: Arc<String>) -> bool {
    glob_matches(&text, &pattern)
}

fn cel_any_match(This(list): This<Arc<Vec<CelValue>>>, pattern: Arc<String>) -> bool {
    list.iter().any(|one| matches!(one, CelValue::String(text) if glob_matches(text, &pattern)))
}

impl<'a> Facts<'a> {
    /// The facts of a plan, and those of run time as far as they have come.
    #[must_use]
    pub fn new(
        params: &'a BTreeMap<String, Value>,
        plan: &'a PlanFacts,
        job: (&'a str, &'a str),
        run: &'a RunFacts,
    ) -> Self {
        let mut context = Context::with_env(Arc::clone(&STANDARD));
        // Neither name is one of the standard library, so this cannot be refused.
        let _ = context.add_function("glob", cel_glob);
        let _ = context.add_function("any_match", cel_any_match);
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let _ = context.add_variable("params", params);
        context.add_variable_from_value("branch", text(&plan.branch));
        context.add_variable_from_value("tag", text(&plan.tag));
        context.add_variable_from_value("pull_request", text(&plan.pull_request));
        context.add_variable_from_value("is_pull_request", plan.pull_request.is_some());
        context.add_variable_from_value("cause", text(&plan.cause));
        context.add_variable_from_value("controller", job.0.to_owned());
        context.add_variable_from_value("job", job.1.to_owned());
        let mut unknown = BTreeSet::new();
        match run.changed_files.as_ref().or(plan.changed_files.as_ref()) {
            Some(files) => {
                let _ = context.add_variable("changed_files", files);
            }
            None => {
                unknown.insert("changed_files");
            }
        }
        match &run.results {
            Some(results) => {
                let _ = context.add_variable("results", results);
            }
            None => {
                unknown.insert("results");
            }
        }
        let known = Known {
            plan,
            job,
            changed_files: run.changed_files.as_deref().or(plan.changed_files.as_deref()),
            results: run.results.as_ref(),
        };
        Self { context, unknown, params, known }
    }

    fn with_params(&'a self, params: &'a BTreeMap<String, Value>) -> Facts<'a> {
        let mut context = self.context.new_inner_scope();
        let _ = context.add_variable("params", params);
        Facts { context, unknown: self.unknown.clone(), params, known: self.known }
    }
}

impl Known<'_> {
    /// The value of a variable for people; `None` for one that is not of these.
    pub(super) fn shown(&self, variable: &str) -> Option<String> {
        let text = |value: &Option<String>| {
            value.as_ref().map_or("not known".to_owned(), |text| shown(&Value::from(text.as_str())))
        };
        Some(match variable {
            "branch" => text(&self.plan.branch),
            "tag" => text(&self.plan.tag),
            "pull_request" => text(&self.plan.pull_request),
            "is_pull_request" => self.plan.pull_request.is_some().to_string(),
            "cause" => text(&self.plan.cause),
            "controller" => shown(&Value::from(self.job.0)),
            "job" => shown(&Value::from(self.job.1)),
            "changed_files" => self.changed_files.map(files_shown)?,
            "results" => format!("those of {} stages", self.results?.len()),
            _ => return None,
        })
    }
}

/// The first files, and how many more there are.
fn files_shown(files: &[String]) -> String {
    const SHOWN: usize = 3;
    let first: Vec<String> =
        files.iter().take(SHOWN).map(|file| shown(&Value::from(file.as_str()))).collect();
    match files.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        Some(more) => format!("[{}, and {more} more]", first.join(", ")),
        None => format!("[{}]", first.join(", ")),
    }
}

/// Facts with the parameters of a stage. They are put together when a condition asks for them first: most
/// stages have none.
pub(in crate::plan) struct StageFacts<'a> {
    base: &'a Facts<'a>,
    params: &'a BTreeMap<String, Value>,
    made: OnceCell<Facts<'a>>,
}

impl<'a> StageFacts<'a> {
    pub(in crate::plan) fn new(base: &'a Facts<'a>, params: &'a BTreeMap<String, Value>) -> Self {
        Self { base, params, made: OnceCell::new() }
    }

    pub(in crate::plan) fn get(&self) -> &Facts<'a> {
        self.made.get_or_init(|| self.base.with_params(self.params))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_kept_within_bounds_and_match_the_same() {
        for round in 0..2 {
            for number in 0..GLOBS + 10 {
                let pattern = format!("release/{number}.*");
                assert!(
                    glob_matches(&format!("release/{number}.1"), &pattern),
                    "{round} {pattern}"
                );
                assert!(!glob_matches("release/x", &pattern), "{round} {pattern}");
            }
            assert!(!glob_matches("a", "[") && !glob_matches("[", "["), "no glob matches nothing");
            let long = "a".repeat(GLOB_BYTES + 1);
            assert!(glob_matches(&long, &long));
        }
        let compiled = COMPILED.lock().unwrap();
        assert!(compiled.len() <= GLOBS && compiled.keys().all(|one| one.len() <= GLOB_BYTES));
    }
}
