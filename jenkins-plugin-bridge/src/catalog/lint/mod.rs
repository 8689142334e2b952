//! `lint`: whether a catalog makes sense and keeps the rules.
//!
//! What a file may hold at all was checked when it was read. Here the parts are seen together:
//! every name that is used exists, every script takes parameters as data, every example has a
//! plan.

mod pipelines;
pub mod shell;
mod stages;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

use super::Catalog;
use crate::error::{BridgeError, Problem};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The catalog is refused.
    Error,
    /// It works, and somebody should look.
    Warning,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $severity:ident, $about:literal;)*) => {
        /// A rule of `lint`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule { $($(#[$doc])* #[doc = $about] $name,)* }

        impl Rule {
            /// All rules.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name that is printed and can be looked up.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// How bad a finding is.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What it asks for and why.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }
        }
    };
}

rules! {
    PastedParameter = "pasted-parameter", Error,
        "A parameter stands in script text only if it is an enum of plain words. Others are in environment variables: write \"$NAME\".";
    UnquotedExpansion = "unquoted-expansion", Error,
        "Expansions stand in double quotes: outside them the shell splits values and expands globs in them.";
    Eval = "eval", Error,
        "No `eval`, `${!name}` or `${name@P}`: they run values as code.";
    IndirectEvaluation = "indirect-evaluation", Error,
        "No value in text that another program reads as code (`sh -c`, `ssh host`, `sed`, `awk`, `. file`): pass it as an argument, a variable or on standard input.";
    ArithmeticParameter = "arithmetic-parameter", Error,
        "A text parameter in `$(( ))` is evaluated as an expression: give it the type integer.";
    UnreadableScript = "unreadable-script", Error,
        "A quote, bracket or here-document is not closed.";
    EmptyStep = "empty-step", Error,
        "A step has a script or is an extension point, not both and not neither.";
    ForbiddenVariable = "forbidden-variable", Error,
        "Variables that steer programs (PATH, LD_*, GIT_*, …) take no parameter, and variables have plain names.";
    ParameterSchema = "parameter-schema", Error,
        "Parameter schemas compile, their defaults keep them, and their variables are distinct.";
    UnknownParameter = "unknown-parameter", Error,
        "A parameter that is used is declared.";
    MissingParameter = "missing-parameter", Error,
        "A required parameter of a stage is passed by its pipeline.";
    FreeTextImage = "free-text-image", Error,
        "An image is made of parameters with an enum or a pattern only.";
    FloatingImage = "floating-image", Warning,
        "An image has a tag other than latest, or a digest: the same plan should run the same tools.";
    MissingRequests = "missing-requests", Error,
        "Every container and service requests cpu and memory: a cluster can only scale by what is asked for.";
    LimitBelowRequest = "limit-below-request", Error,
        "A limit is not below its request.";
    UnknownContainer = "unknown-container", Error,
        "A step runs in a container of its stage, and names are distinct.";
    MissingRehearsal = "missing-rehearsal", Warning,
        "A stage with effects outside says what a local run does in its place.";
    MissingTimeout = "missing-timeout", Warning,
        "A stage has a timeout, in the template or in the pipeline.";
    BadCondition = "bad-condition", Error,
        "A condition is valid CEL over known variables.";
    UnknownResult = "unknown-result", Error,
        "A condition asks for results of stages that come before.";
    UnknownOutput = "unknown-output", Error,
        "A stage takes, and a condition asks for, outputs that a stage before it declares.";
    OutputParameter = "output-parameter", Error,
        "A parameter that takes an output is text with a pattern at most, in a variable, and in no placeholder or condition.";
    UnwrittenOutput = "unwritten-output", Error,
        "A stage writes \"$PILOTFISH_OUTPUTS\" if and only if it declares outputs.";
    BadPipeline = "bad-pipeline", Error,
        "A pipeline uses templates, containers and extension points that exist, each name once.";
    BadPlaceholder = "bad-placeholder", Error,
        "Placeholders are `${{ params.name }}` or `${{ matrix.axis }}`.";
    BadMatrix = "bad-matrix", Error,
        "A matrix has values, and its exclusions name its axes.";
    UnknownOpening = "unknown-opening", Error,
        "What a pipeline opens, and a layer closes, is there.";
    RefusedLayer = "refused-layer", Error,
        "A layer changes only what is open, and the result is a pipeline.";
    BadBinding = "bad-binding", Error,
        "A rule names a pipeline, a team and parameters that exist, and valid globs.";
    ShadowedRule = "shadowed-rule", Error,
        "No rule comes after one that matches every job: it would never win.";
    FailingExample = "failing-example", Error,
        "Every example has a plan.";
}

/// Something that a rule refuses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where and what.
    pub problem: Problem,
    /// The rule.
    pub rule: Rule,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.rule.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}[{}] {}", self.rule.id(), self.problem)
    }
}

/// Everything that the rules refuse, in the order of files.
#[must_use]
pub fn lint(catalog: &Catalog) -> Vec<Finding> {
    let mut report = Report::default();
    for filed in catalog.stages.values().flatten() {
        report.file.clone_from(&filed.file);
        stages::check(&filed.value, &mut report);
    }
    pipelines::check(catalog, &mut report);
    report.findings.sort();
    report.findings.dedup();
    report.findings
}

#[derive(Default)]
struct Report {
    file: String,
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, rule: Rule, path: impl Into<String>, message: impl Into<String>) {
        let problem = Problem::new(path, message).in_file(self.file.clone());
        self.findings.push(Finding { problem, rule });
    }

    fn error(&mut self, rule: Rule, path: &str, error: &BridgeError) {
        if error.problems().is_empty() {
            self.add(rule, path, error.to_string());
        }
        for one in error.problems() {
            let path = match (path, one.path.as_str()) {
                ("", inner) => inner.to_owned(),
                (path, "") => path.to_owned(),
                (path, inner) => format!("{path}: {inner}"),
            };
            self.add(rule, path, one.message.clone());
        }
    }
}
