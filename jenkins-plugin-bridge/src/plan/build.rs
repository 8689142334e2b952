//! Making a plan of a prepared pipeline, parameters and facts.

mod stage;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::choice::chosen;
use super::condition::{Condition, Facts, RunFacts, Verdict};
use super::matrix::{Combination, combinations, label};
use super::model::{
    Decision, DecisionState, DeferredCondition, JobName, LayerName, ParameterScope, Plan,
    PlanFormat, PlanGroup, PlanNode, PlanPost, PlanStage,
};
use super::outputs::taken;
use super::prepare::{Prepared, PreparedEntry, PreparedKind, PreparedStage};
use super::template::Scope;
use crate::catalog::model::{PlanFacts, Span, StageEntry};
use crate::error::{BridgeError, Problem};

use stage::empty_stage;

/// What a plan is made for.
#[derive(Debug, Clone, Default)]
pub struct PlanRequest {
    /// Values of parameters.
    pub parameters: BTreeMap<String, Value>,
    /// Values are text that is read as the types asked for: from a job or a command line.
    pub read_text: bool,
    /// What is known about the build.
    pub facts: PlanFacts,
    /// The job: controller and full name.
    pub job: Option<(String, String)>,
    /// The rule that gave the job its pipeline.
    pub rule: Option<String>,
}

impl Prepared {
    /// Makes the plan. The same input gives the same plan.
    ///
    /// # Errors
    /// [`BridgeError::Parameters`] with everything that is wrong with the parameters, or
    /// [`BridgeError::Plan`] with what is wrong elsewhere.
    pub fn plan(&self, request: &PlanRequest) -> Result<Plan, BridgeError> {
        let given = if request.read_text {
            self.rules.read_text(&request.parameters)
        } else {
            request.parameters.clone()
        };
        let parameters = self.rules.check(given).map_err(BridgeError::Parameters)?;
        let job = request.job.as_ref().map_or(("", ""), |(controller, name)| (controller, name));
        let run = RunFacts::default();
        let facts = Facts::new(&parameters, &request.facts, job, &run);
        let mut work = Work {
            parameters: &parameters,
            facts: &facts,
            parameter_problems: Vec::new(),
            problems: Vec::new(),
            needs: BTreeSet::new(),
            outputs: BTreeMap::new(),
        };
        let stages = work.entries(&self.entries, None);
        let mut post = self.post.iter().map(|entries| work.entries(entries, None));
        let mut next = || post.next().unwrap_or_default();
        let post = PlanPost { always: next(), success: next(), failure: next(), aborted: next() };
        if !work.parameter_problems.is_empty() {
            return Err(BridgeError::Parameters(work.parameter_problems));
        }
        if !work.problems.is_empty() {
            return Err(BridgeError::Plan(work.problems));
        }
        let needs = work.needs.into_iter().collect();
        drop(facts);
        Ok(Plan {
            format: PlanFormat::V1,
            catalog: self.catalog.clone(),
            pipeline: self.pipeline.name.to_string(),
            version: self.pipeline.version.to_string(),
            layers: self
                .layers
                .iter()
                .map(|(level, name)| LayerName { level: *level, name: name.clone() })
                .collect(),
            rule: request.rule.clone(),
            job: request.job.clone().map(|(controller, name)| JobName { controller, name }),
            parameters,
            facts: request.facts.clone(),
            needs,
            timeout_seconds: self.pipeline.timeout.as_ref().map(Span::seconds),
            stages,
            post,
        })
    }
}

struct Work<'a> {
    parameters: &'a BTreeMap<String, Value>,
    facts: &'a Facts<'a>,
    parameter_problems: Vec<Problem>,
    problems: Vec<Problem>,
    needs: BTreeSet<String>,
    /// The outputs of the stages so far that may run, by name of the stage.
    outputs: BTreeMap<String, BTreeSet<String>>,
}

fn active(reason: impl Into<String>) -> Decision {
    Decision {
        state: DecisionState::Active,
        reason: reason.into(),
        conditions: Vec::new(),
        needs: Vec::new(),
    }
}

fn skipped(reason: impl Into<String>) -> Decision {
    Decision { state: DecisionState::Skipped, ..active(reason) }
}

impl Work<'_> {
    fn entries(&mut self, all: &[PreparedEntry], skip: Option<&str>) -> Vec<PlanNode> {
        all.iter()
            // An extension point where nobody put anything is no part of the plan.
            .filter(|one| match &one.kind {
                PreparedKind::Sequence(inner) => one.entry.extension.is_none() || !inner.is_empty(),
                _ => true,
            })
            .map(|one| self.entry(one, skip))
            .collect()
    }

    fn entry(&mut self, one: &PreparedEntry, skip: Option<&str>) -> PlanNode {
        match &one.kind {
            PreparedKind::Stage(stages) => self.stage_or_matrix(one, stages, skip),
            PreparedKind::Parallel(inner) => {
                let group = self.group(one, inner, skip);
                PlanNode::Parallel(group)
            }
            PreparedKind::Sequence(inner) => PlanNode::Sequence(self.group(one, inner, skip)),
        }
    }

    fn group(
        &mut self,
        one: &PreparedEntry,
        inner: &[PreparedEntry],
        skip: Option<&str>,
    ) -> PlanGroup {
        let entry = &one.entry;
        let decision = match skip {
            Some(reason) => skipped(reason),
            None => self.decide(&[(one.when.as_ref(), ParameterScope::Pipeline)], entry, None),
        };
        let reason = format!("its group `{}` is skipped", entry.id());
        let skip = (decision.state == DecisionState::Skipped).then_some(reason);
        group_of(entry, decision, self.entries(inner, skip.as_deref()))
    }

    fn stage_or_matrix(
        &mut self,
        one: &PreparedEntry,
        stages: &BTreeMap<String, PreparedStage>,
        skip: Option<&str>,
    ) -> PlanNode {
        let none = Combination::new();
        let Some(matrix) = &one.entry.matrix else {
            return PlanNode::Stage(Box::new(self.stage(one, stages, &none, skip)));
        };
        let entry = &one.entry;
        let scope = Scope { params: self.parameters, matrix: &none };
        let all = match combinations(matrix, &scope) {
            Ok(all) => all,
            Err(message) => {
                self.problems.push(Problem::new(format!("stages.{}.matrix", entry.id()), message));
                Vec::new()
            }
        };
        let nodes: Vec<PlanStage> =
            all.iter().map(|values| self.stage(one, stages, values, skip)).collect();
        let runs = nodes.iter().any(|stage| stage.decision.state != DecisionState::Skipped);
        let decision = match skip {
            Some(reason) => skipped(reason),
            None if all.is_empty() => skipped("every combination of its matrix is excluded"),
            None if !runs => skipped("every combination of its matrix is skipped"),
            None => active(format!("{} combinations", all.len())),
        };
        let nodes = nodes.into_iter().map(|stage| PlanNode::Stage(Box::new(stage))).collect();
        PlanNode::Parallel(PlanGroup {
            max_parallel: matrix.max_parallel,
            matrix: true,
            ..group_of(entry, decision, nodes)
        })
    }

    fn stage(
        &mut self,
        one: &PreparedEntry,
        stages: &BTreeMap<String, PreparedStage>,
        matrix: &Combination,
        skip: Option<&str>,
    ) -> PlanStage {
        let entry = &one.entry;
        let uses = entry.uses.as_ref();
        let choice = uses.and_then(|uses| chosen(uses, self.parameters));
        let stage = choice.and_then(|text| stages.get(&*text));
        let suffix = label(matrix);
        let shown_title = match suffix.as_str() {
            "" => title(entry),
            suffix => format!("{} {suffix}", title(entry)),
        };
        let mut planned = empty_stage(
            format!("{}{suffix}", entry.id()),
            entry.id().to_owned(),
            shown_title,
            match stage {
                Some(one) => one.reference.clone(),
                None => uses.map_or_else(String::new, |uses| uses.0.clone()),
            },
        );
        planned.matrix = matrix.clone();
        planned.allow_failure = entry.allow_failure;
        planned.after_failure = entry.after_failure;
        if let Some(reason) = skip {
            planned.decision = skipped(reason);
            return planned;
        }
        let own = (one.when.as_ref(), ParameterScope::Pipeline);
        planned.decision = self.decide(&[own], entry, Some((matrix, self.facts)));
        if planned.decision.state == DecisionState::Skipped {
            return planned;
        }
        let Some(stage) = stage else {
            let message = format!(
                "`{}` needs its parameter: give it, or skip the stage with `when`",
                planned.template
            );
            let path = format!("stages.{}.uses", entry.id());
            self.parameter_problems.push(Problem::new(path, message));
            return planned;
        };
        let Some(parameters) = self.stage_parameters(entry, stage, matrix) else {
            return planned;
        };
        let facts = self.facts.with_params(&parameters);
        if stage.when.is_some() {
            let of_template = (stage.when.as_ref(), ParameterScope::Stage);
            let second = self.decide(&[of_template], entry, Some((matrix, &facts)));
            planned.decision = merged(planned.decision, second);
            if planned.decision.state == DecisionState::Skipped {
                return planned;
            }
        }
        self.fill(&mut planned, entry, stage, (&parameters, &facts), matrix);
        drop(facts);
        planned.parameters = parameters;
        if matrix.is_empty() && !planned.outputs.is_empty() {
            let names = planned.outputs.keys().cloned().collect();
            self.outputs.insert(planned.name.clone(), names);
        }
        planned
    }

    fn decide(
        &mut self,
        conditions: &[(Option<&Condition>, ParameterScope)],
        entry: &StageEntry,
        with: Option<(&Combination, &Facts<'_>)>,
    ) -> Decision {
        let none = Combination::new();
        let (matrix, facts) = with.unwrap_or((&none, self.facts));
        let mut decision = active("always runs");
        for (condition, scope) in conditions {
            let Some(condition) = condition else { continue };
            match condition.evaluate(facts, matrix) {
                Ok(Verdict::True) => {
                    decision.reason = explained(condition, "is true", facts, matrix);
                }
                Ok(Verdict::False) => {
                    return skipped(explained(condition, "is false", facts, matrix));
                }
                Ok(Verdict::Unknown) => {
                    let needs = condition.needs();
                    self.needs.extend(needs.iter().cloned());
                    decision.state = DecisionState::Deferred;
                    decision.reason = format!(
                        "decided at run time from {}: `{}`",
                        needs.join(", "),
                        condition.source()
                    );
                    decision.conditions.push(DeferredCondition {
                        expression: condition.source().to_owned(),
                        scope: *scope,
                    });
                    decision.needs.extend(needs);
                }
                Err(message) => {
                    let path = format!("stages.{}.when", entry.id());
                    self.problems.push(Problem::new(path, message));
                }
            }
        }
        decision
    }

    /// The parameters of a stage: given by `with`, else those of the pipeline of the same name. Those
    /// that take an output of a stage that may run need none.
    fn stage_parameters(
        &mut self,
        entry: &StageEntry,
        stage: &PreparedStage,
        matrix: &Combination,
    ) -> Option<BTreeMap<String, Value>> {
        let scope = Scope { params: self.parameters, matrix };
        let mut given = BTreeMap::new();
        let mut wrong = false;
        for name in stage.rules.properties().iter().map(|one| one.name.as_str()) {
            let value = match entry.with.get(name) {
                // A lone placeholder of a parameter that was not given gives nothing.
                Some(Value::String(text)) if self.is_absent(text) => continue,
                Some(value) => match scope.value(value) {
                    Ok(value) => value,
                    Err(message) => {
                        let path = format!("stages.{}.with.{name}", entry.id());
                        self.problems.push(Problem::new(path, message));
                        wrong = true;
                        continue;
                    }
                },
                None => match self.parameters.get(name) {
                    Some(value) => value.clone(),
                    None => continue,
                },
            };
            given.insert(name.to_owned(), value);
        }
        let later = taken(entry, &self.outputs);
        match stage.rules.check_without(given, |name| later.contains_key(name)) {
            Ok(values) if !wrong => Some(values),
            Ok(_) => None,
            Err(problems) => {
                let prefix = format!("stages.{}", entry.id());
                self.parameter_problems.extend(problems.into_iter().map(|one| {
                    let mut message = one.message;
                    if let Some(output) = entry.with_outputs.get(&one.path) {
                        let (stage, _) = output.parts();
                        message = format!(
                            "{message}: the stage `{stage}`, whose output `{output}` it takes, does not give it in this plan; skip this stage as well, or give the parameter a value"
                        );
                    }
                    Problem::new(format!("{prefix}.{}", one.path), message)
                }));
                None
            }
        }
    }

    fn is_absent(&self, text: &str) -> bool {
        use super::template::{Namespace, Part, has_placeholder, parts};
        if !has_placeholder(text) {
            return false;
        }
        match parts(text).as_deref() {
            Ok([Part::Placeholder(one)]) => {
                one.namespace == Namespace::Params && !self.parameters.contains_key(&one.name)
            }
            _ => false,
        }
    }
}

fn group_of(entry: &StageEntry, decision: Decision, nodes: Vec<PlanNode>) -> PlanGroup {
    PlanGroup {
        id: entry.id().to_owned(),
        name: entry.id().to_owned(),
        title: title(entry),
        decision,
        values: Combination::new(),
        fail_fast: entry.fail_fast,
        max_parallel: None,
        matrix: false,
        after_failure: entry.after_failure,
        allow_failure: entry.allow_failure,
        nodes,
    }
}

fn title(entry: &StageEntry) -> String {
    entry.title.clone().unwrap_or_else(|| entry.id().to_owned())
}

fn explained(condition: &Condition, is: &str, facts: &Facts<'_>, matrix: &Combination) -> String {
    let values = condition.values(facts, matrix);
    let values = if values.is_empty() { values } else { format!(" ({values})") };
    format!("`{}` {is}{values}", condition.source())
}

/// Both conditions together: what is skipped stays skipped, what is deferred stays deferred.
fn merged(first: Decision, second: Decision) -> Decision {
    use DecisionState::{Active, Deferred, Skipped};
    match (first.state, second.state) {
        (Skipped, _) => first,
        (_, Skipped) => second,
        (Deferred, Deferred) => {
            let mut both = first;
            both.reason = format!("{}; and {}", both.reason, second.reason);
            both.conditions.extend(second.conditions);
            both.needs.extend(second.needs);
            both.needs.sort();
            both.needs.dedup();
            both
        }
        (Deferred, Active) => first,
        (Active, Deferred | Active) => second,
    }
}
