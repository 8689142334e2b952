//! Conditions in CEL, decided as early as their facts allow.
//!
//! A condition may speak of facts that exist only at run time (`changed_files`, `results`, `outputs`). It is
//! evaluated with three values: true, false, and unknown until those facts come. `&&`, `||`, `!`
//! and `?:` decide with what is known, so `params.deploy && any_match(changed_files, "src/**")`
//! is false at once where nothing is deployed.

mod facts;
mod height;
mod quick;
mod references;

use std::collections::{BTreeMap, BTreeSet};

use cel::common::ast::{Expr, IdedExpr, operators};
use cel::{Context, Program, Value as CelValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::text::{nearest_hint, shown};

pub use facts::Facts;
use facts::{asked_for, outputs_of};
use height::{MAX_HEIGHT, height};
use quick::Quick;
pub use references::References;
use references::references;

/// The longest condition, in bytes.
const MAX_LENGTH: usize = 4096;
/// The variables of a condition.
pub const VARIABLES: [&str; 12] = [
    "params",
    "branch",
    "tag",
    "pull_request",
    "is_pull_request",
    "cause",
    "controller",
    "job",
    "matrix",
    "changed_files",
    "results",
    "outputs",
];
/// The functions beyond those of CEL.
pub const FUNCTIONS: [&str; 2] = ["glob", "any_match"];

/// The functions of CEL that make sense with the variables here.
const STANDARD_FUNCTIONS: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "type",
    "dyn",
];

/// How a stage ended, as conditions see it in `results`.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It has not run yet.
    Pending,
    /// All went well.
    Success,
    /// It failed, and was allowed to.
    Unstable,
    /// It failed.
    Failure,
    /// Somebody stopped it.
    Aborted,
    /// It did not run.
    Skipped,
}

impl Outcome {
    /// The word that conditions and reports use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Unstable => "unstable",
            Self::Failure => "failure",
            Self::Aborted => "aborted",
            Self::Skipped => "skipped",
        }
    }
}

/// Facts that come at run time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunFacts {
    /// Changed files, known after the checkout.
    #[serde(default)]
    pub changed_files: Option<Vec<String>>,
    /// Results by name of the stage.
    #[serde(default)]
    pub results: Option<BTreeMap<String, Outcome>>,
    /// Outputs by name of the stage and name of the output. One that is not there is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<BTreeMap<String, BTreeMap<String, String>>>,
}

/// A compiled condition.
#[derive(Debug)]
pub struct Condition {
    source: String,
    program: Program,
    references: References,
}

/// What a condition comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// True.
    True,
    /// False.
    False,
    /// Not known before the facts of run time.
    Unknown,
}

impl Condition {
    /// Compiles a condition.
    ///
    /// # Errors
    /// What is wrong with it: too long or deep, not CEL, a variable or function that is not known.
    pub fn compile(source: &str) -> Result<Self, String> {
        if source.len() > MAX_LENGTH {
            return Err(format!("the condition is over {MAX_LENGTH} bytes: split the stage"));
        }
        if height(source) > MAX_HEIGHT {
            return Err(format!(
                "over {MAX_HEIGHT} operators or brackets are deep in each other: make it simpler"
            ));
        }
        let program = Program::compile(source).map_err(|error| {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or("not valid").to_owned();
            format!("not a CEL condition: {first}")
        })?;
        let references = references(program.expression());
        if let Some(name) =
            references.variables.iter().find(|name| !VARIABLES.contains(&name.as_str()))
        {
            let hint = nearest_hint(name, VARIABLES);
            return Err(format!("there is no variable `{name}`{hint}"));
        }
        if let Some(name) = references.functions.iter().find(|name| {
            !FUNCTIONS.contains(&name.as_str()) && !STANDARD_FUNCTIONS.contains(&name.as_str())
        }) {
            let known = FUNCTIONS.iter().chain(STANDARD_FUNCTIONS).copied();
            let hint = nearest_hint(name, known);
            return Err(format!("there is no function `{name}`{hint}"));
        }
        if references.whole.contains("outputs") {
            return Err(
                "outputs are asked for one by one: write `outputs[\"stage\"].name`".to_owned()
            );
        }
        Ok(Self { source: source.to_owned(), program, references })
    }

    /// The condition as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it speaks of.
    #[must_use]
    pub fn references(&self) -> &References {
        &self.references
    }

    /// The facts of run time that it speaks of, as a condition writes them: `changed_files`,
    /// `results.build`, `results["unit-tests"]`, `outputs.image.digest`.
    #[must_use]
    pub fn needs(&self) -> Vec<String> {
        let mut needs = Vec::new();
        if self.references.variables.contains("changed_files") {
            needs.push("changed_files".to_owned());
        }
        if self.references.results.is_empty() && self.references.variables.contains("results") {
            needs.push("results".to_owned());
        }
        let member = |of: &str, name: &str| {
            // `results.unit-tests` would be a subtraction.
            let is_word = name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
            if is_word { format!("{of}.{name}") } else { format!("{of}[{name:?}]") }
        };
        needs.extend(self.references.results.iter().map(|name| member("results", name)));
        let outputs = self.references.outputs.iter();
        needs.extend(outputs.map(|(stage, name)| format!("{}.{name}", member("outputs", stage))));
        needs
    }

    /// What it comes to.
    ///
    /// # Errors
    /// When it cannot be evaluated or is no truth value.
    pub fn evaluate(
        &self,
        facts: &Facts<'_>,
        matrix: &BTreeMap<String, Value>,
    ) -> Result<Verdict, String> {
        if let Some(is) = (Quick { facts, matrix }).decide(self.program.expression()) {
            return Ok(if is { Verdict::True } else { Verdict::False });
        }
        self.evaluate_with_engine(facts, matrix)
    }

    fn evaluate_with_engine(
        &self,
        facts: &Facts<'_>,
        matrix: &BTreeMap<String, Value>,
    ) -> Result<Verdict, String> {
        let mut scope = facts.context().new_inner_scope();
        let References { variables, params, axes, whole, .. } = &self.references;
        for (name, all, names) in [("params", facts.params, params), ("matrix", matrix, axes)] {
            if variables.contains(name) {
                let value = asked_for(all, names, whole.contains(name))
                    .map_err(|error| format!("`{}`: {error}", self.source))?;
                scope.add_variable_from_value(name, value);
            }
        }
        if let Some(given) = facts.known.outputs {
            scope.add_variable_from_value("outputs", outputs_of(given, &self.references.outputs));
        }
        let unknown = |name: &&&str| self.references.variables.contains(**name);
        let unknown: BTreeSet<_> = facts.unknown.iter().filter(unknown).copied().collect();
        verdict(self.program.expression(), &scope, &unknown)
            .map_err(|error| format!("`{}`: {error}", self.source))
    }

    /// The values that decided it, for people: `params.deploy = "none", branch = "main"`.
    #[must_use]
    pub fn values(&self, facts: &Facts<'_>, matrix: &BTreeMap<String, Value>) -> String {
        let mut values: Vec<String> = Vec::new();
        let shown_value = |map: &BTreeMap<String, Value>, name: &str| match map.get(name) {
            Some(value) => shown(value),
            None => "not given".to_owned(),
        };
        for name in &self.references.params {
            values.push(format!("params.{name} = {}", shown_value(facts.params, name)));
        }
        for name in &self.references.axes {
            values.push(format!("matrix.{name} = {}", shown_value(matrix, name)));
        }
        // Parameters and axes are there one by one, results only where a condition names stages.
        let named = |name: &&String| {
            !matches!(name.as_str(), "params" | "matrix")
                && (name.as_str() != "results" || self.references.results.is_empty())
        };
        for name in self.references.variables.iter().filter(named) {
            if let Some(value) = facts.known.shown(name) {
                values.push(format!("{name} = {value}"));
            }
        }
        for stage in &self.references.results {
            if let Some(outcome) = facts.known.results.and_then(|results| results.get(stage)) {
                values.push(format!("result of {stage} = {}", outcome.word()));
            }
        }
        for (stage, name) in
            self.references.outputs.iter().filter(|_| facts.known.outputs.is_some())
        {
            let value = facts.known.output(stage, name);
            values.push(format!("output {name} of {stage} = {}", shown(&Value::from(value))));
        }
        values.join(", ")
    }
}

fn verdict(
    expression: &IdedExpr,
    scope: &Context<'_, '_>,
    unknown: &BTreeSet<&'static str>,
) -> Result<Verdict, String> {
    if let Expr::Call(call) = &expression.expr {
        let arguments = call.args.as_slice();
        match (call.func_name.as_str(), arguments) {
            (operators::LOGICAL_AND, [left, right]) => {
                return both(left, right, scope, unknown, Verdict::False, Verdict::True);
            }
            (operators::LOGICAL_OR, [left, right]) => {
                return both(left, right, scope, unknown, Verdict::True, Verdict::False);
            }
            (operators::LOGICAL_NOT, [inner]) => {
                return Ok(match verdict(inner, scope, unknown)? {
                    Verdict::True => Verdict::False,
                    Verdict::False => Verdict::True,
                    Verdict::Unknown => Verdict::Unknown,
                });
            }
            (operators::CONDITIONAL, [condition, yes, no]) => {
                return match verdict(condition, scope, unknown)? {
                    Verdict::True => verdict(yes, scope, unknown),
                    Verdict::False => verdict(no, scope, unknown),
                    Verdict::Unknown => Ok(Verdict::Unknown),
                };
            }
            _ => {}
        }
    }
    if !unknown.is_empty()
        && references(expression).variables.iter().any(|name| unknown.contains(name.as_str()))
    {
        return Ok(Verdict::Unknown);
    }
    match scope.resolve(expression) {
        Ok(CelValue::Bool(true)) => Ok(Verdict::True),
        Ok(CelValue::Bool(false)) => Ok(Verdict::False),
        Ok(other) => Err(format!("expected true or false, got {}", other.type_of())),
        Err(error) => Err(error.to_string()),
    }
}

/// `&&` and `||`: one side that decides is enough, even where the other one is in error or not
/// known, as CEL has it.
fn both(
    left: &IdedExpr,
    right: &IdedExpr,
    scope: &Context<'_, '_>,
    unknown: &BTreeSet<&'static str>,
    decides: Verdict,
    otherwise: Verdict,
) -> Result<Verdict, String> {
    let left = verdict(left, scope, unknown);
    if left == Ok(decides) {
        return left;
    }
    let right = verdict(right, scope, unknown);
    if right == Ok(decides) {
        return right;
    }
    match (left?, right?) {
        (Verdict::Unknown, _) | (_, Verdict::Unknown) => Ok(Verdict::Unknown),
        _ => Ok(otherwise),
    }
}

#[cfg(test)]
mod tests;
