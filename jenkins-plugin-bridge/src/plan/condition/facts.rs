//! The facts that conditions speak of, as CEL has them and as people read them.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use cel::extractors::This;
use cel::objects::Key;
use cel::{Context, Env, Value as CelValue};
use globset::{GlobBuilder, GlobMatcher};
use serde_json::Value;

use super::{Outcome, RunFacts};
use crate::catalog::model::PlanFacts;
use crate::text::shown;

/// The values of the variables of conditions, for one plan. Parameters and axes are not among the
/// variables of `context`: each condition is given those that it asks for.
pub struct Facts<'a> {
    /// Made for the first condition that cannot be decided without it.
    context: Rc<OnceCell<Context<'static, 'static>>>,
    pub(super) unknown: Rc<BTreeSet<&'static str>>,
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
    pub(super) outputs: Option<&'a Outputs>,
}

/// Values of outputs by stage and name.
type Outputs = BTreeMap<String, BTreeMap<String, String>>;

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

pub(super) fn glob_matches(text: &str, pattern: &str) -> bool {
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
        let known = Known {
            plan,
            job,
            changed_files: run.changed_files.as_deref().or(plan.changed_files.as_deref()),
            results: run.results.as_ref(),
            outputs: run.outputs.as_ref(),
        };
        let mut unknown = BTreeSet::new();
        if known.changed_files.is_none() {
            unknown.insert("changed_files");
        }
        if known.results.is_none() {
            unknown.insert("results");
        }
        if known.outputs.is_none() {
            unknown.insert("outputs");
        }
        Self { context: Rc::default(), unknown: Rc::new(unknown), params, known }
    }

    /// The functions, and the variables that are the same for all conditions of a plan.
    pub(super) fn context(&self) -> &Context<'static, 'static> {
        self.context.get_or_init(|| {
            let mut context = Context::with_env(Arc::clone(&STANDARD));
            // Neither name is one of the standard library, so this cannot be refused.
            let _ = context.add_function("glob", cel_glob);
            let _ = context.add_function("any_match", cel_any_match);
            for name in TEXTS {
                let text = self.known.text(name).unwrap_or_default().to_owned();
                context.add_variable_from_value(name, text);
            }
            context.add_variable_from_value("is_pull_request", self.known.is_pull_request());
            if let Some(files) = self.known.changed_files {
                let _ = context.add_variable("changed_files", files);
            }
            if let Some(results) = self.known.results {
                let _ = context.add_variable("results", results);
            }
            context
        })
    }

    /// The same facts with other parameters: those of a stage.
    #[must_use]
    pub fn with_params<'b>(&self, params: &'b BTreeMap<String, Value>) -> Facts<'b>
    where
        'a: 'b,
    {
        Facts {
            context: Rc::clone(&self.context),
            unknown: Rc::clone(&self.unknown),
            params,
            known: self.known,
        }
    }
}

/// The variables that are text.
const TEXTS: [&str; 6] = ["branch", "tag", "pull_request", "cause", "controller", "job"];

impl Known<'_> {
    pub(super) fn is_pull_request(&self) -> bool {
        self.plan.pull_request.is_some()
    }

    /// The value of one of [`TEXTS`]: empty where it is not known.
    pub(super) fn text(&self, variable: &str) -> Option<&str> {
        let text = match variable {
            "branch" => &self.plan.branch,
            "tag" => &self.plan.tag,
            "pull_request" => &self.plan.pull_request,
            "cause" => &self.plan.cause,
            "controller" => return Some(self.job.0),
            "job" => return Some(self.job.1),
            _ => return None,
        };
        Some(text.as_deref().unwrap_or_default())
    }

    /// The value of an output: empty where its stage gave none.
    pub(super) fn output(&self, stage: &str, name: &str) -> &str {
        let stage = self.outputs.and_then(|all| all.get(stage));
        stage.and_then(|values| values.get(name)).map_or("", String::as_str)
    }

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

/// Those of the values that a condition asks for: all of them where it asks for the whole.
pub(super) fn asked_for(
    all: &BTreeMap<String, Value>,
    names: &BTreeSet<String>,
    whole: bool,
) -> Result<CelValue, String> {
    let pair = |(name, value): (&String, &Value)| {
        let value = cel::to_value(value).map_err(|error| error.to_string())?;
        Ok((Key::from(name.clone()), value))
    };
    let map: HashMap<Key, CelValue> = if whole {
        all.iter().map(pair).collect::<Result<_, String>>()?
    } else {
        names
            .iter()
            .filter_map(|name| all.get_key_value(name))
            .map(pair)
            .collect::<Result<_, _>>()?
    };
    Ok(CelValue::Map(map.into()))
}

/// The outputs that a condition asks for: those that no stage gave are empty, as a branch is that is
/// not known.
pub(super) fn outputs_of(given: &Outputs, names: &BTreeSet<(String, String)>) -> CelValue {
    let mut stages: BTreeMap<&str, HashMap<Key, CelValue>> = BTreeMap::new();
    for (stage, name) in names {
        let value = given.get(stage).and_then(|values| values.get(name));
        let text = value.cloned().unwrap_or_default();
        stages.entry(stage).or_default().insert(Key::from(name.clone()), text.into());
    }
    let stages: HashMap<Key, CelValue> = stages
        .into_iter()
        .map(|(stage, values)| (Key::from(stage.to_owned()), CelValue::Map(values.into())))
        .collect();
    CelValue::Map(stages.into())
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
