//! Keeping what became of the stages, and writing it down.

use std::path::Path;
use std::time::Instant;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Executor, milliseconds, result_name};
use crate::error::{BridgeError, Problem};
use crate::plan::{Outcome, PlanNode};
use crate::run::junit::{TestTotals, merged};
use crate::run::progress::Event;
use crate::run::stage::StageEnd;
use crate::run::{RunResult, StageResult, StageSuites, report};

impl Executor<'_> {
    pub(super) fn ended(
        &self,
        node: &PlanNode,
        depth: usize,
        began: Instant,
        outcome: Outcome,
        reason: String,
        end: Option<StageEnd>,
    ) {
        let duration = began.elapsed();
        let group = !matches!(node, PlanNode::Stage(_));
        let end = end.unwrap_or_default();
        let trouble = if outcome == Outcome::Success { end.reason.as_str() } else { &reason };
        self.progress.event(&Event::Ended {
            id: node.id(),
            title: node.title(),
            group,
            outcome,
            reason: trouble,
            duration,
            rehearsed: end.rehearsed,
        });
        let Ok(mut state) = self.state.lock() else { return };
        // The combinations of a matrix share a name; their group has the result.
        if node.id() == result_name(node) {
            state.results.insert(node.id().to_owned(), outcome);
            state.outputs.insert(node.id().to_owned(), end.outputs.clone());
        }
        state.stages.insert(
            node.id().to_owned(),
            StageResult {
                id: node.id().to_owned(),
                title: node.title().to_owned(),
                depth,
                group,
                outcome,
                reason,
                rehearsed: end.rehearsed,
                start: milliseconds(began.duration_since(self.started)),
                milliseconds: milliseconds(duration),
                attempts: end.attempts,
                log: Some(end.log).filter(|log| !log.is_empty()),
                tests: TestTotals::of(&end.found.suites),
                artifacts: end.found.kept,
                outputs: end.outputs,
            },
        );
        if !end.found.suites.is_empty() {
            state.suites.push((node.id().to_owned(), end.found.suites));
        }
    }

    /// Writes the reports.
    pub(super) fn result(
        &self,
        outcome: Outcome,
        started: OffsetDateTime,
        notes: Vec<String>,
    ) -> Result<(RunResult, StageSuites), BridgeError> {
        let Ok(mut state) = self.state.lock() else {
            return Err(BridgeError::Plan(vec![Problem::new("", "the results are lost")]));
        };
        // Branches end in any order; the file should not depend on it.
        state.suites.sort_by(|a, b| a.0.cmp(&b.0));
        let mut tests = TestTotals::default();
        for (_, suites) in &state.suites {
            tests = tests.plus(TestTotals::of(suites));
        }
        let nodes = self.plan.nodes();
        let result = RunResult {
            digest: self.digest.clone(),
            pipeline: self.plan.pipeline.clone(),
            outcome,
            started: started.format(&Rfc3339).unwrap_or_default(),
            milliseconds: milliseconds(self.started.elapsed()),
            runtime: self.runtime.name().to_owned(),
            stages: nodes.iter().filter_map(|node| state.stages.get(node.id()).cloned()).collect(),
            tests,
            notes,
        };
        let suites = std::mem::take(&mut state.suites);
        write_reports(&result, &suites, &self.output)?;
        Ok((result, suites))
    }
}

/// Writes the reports of a run into a directory that has the logs.
pub(crate) fn write_reports(
    result: &RunResult,
    suites: &StageSuites,
    output: &Path,
) -> Result<(), BridgeError> {
    let write = |name: &str, text: &str| {
        let path = output.join(name);
        std::fs::write(&path, text)
            .map_err(|e| BridgeError::io(format!("write {}", path.display()), e))
    };
    if result.tests.total > 0 {
        write("junit.xml", &merged(suites))?;
    }
    let json = serde_json::to_string_pretty(result).unwrap_or_default();
    write("result.json", &json)?;
    write("report.html", &report::html(result, suites, output))
}
