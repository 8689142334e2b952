//! Deciding at run time what a plan deferred, with the same code that made the plan.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::condition::{Condition, Facts, RunFacts, Verdict};
use super::model::{Decision, DecisionState, ParameterScope, Plan, PlanNode};
use crate::error::{BridgeError, Problem};

/// What was decided about one node of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decided {
    /// The node.
    pub id: String,
    /// The answer. Still deferred where facts are missing.
    pub decision: Decision,
}

/// Decides one node.
///
/// # Errors
/// A condition that cannot be evaluated.
pub fn decide(plan: &Plan, node: &PlanNode, run: &RunFacts) -> Result<Decision, BridgeError> {
    let before = node.decision();
    if before.state != DecisionState::Deferred {
        return Ok(before.clone());
    }
    let none = BTreeMap::new();
    let (parameters, matrix): (&BTreeMap<String, Value>, &BTreeMap<String, Value>) = match node {
        PlanNode::Stage(stage) => (&stage.parameters, &stage.matrix),
        PlanNode::Parallel(group) | PlanNode::Sequence(group) => (&none, &group.values),
    };
    let job =
        plan.job.as_ref().map_or(("", ""), |job| (job.controller.as_str(), job.name.as_str()));
    let failed = |message: String| {
        BridgeError::Plan(vec![Problem::new(format!("{}.when", node.id()), message)])
    };
    let mut open = Vec::new();
    let mut needs = Vec::new();
    for one in &before.conditions {
        let condition = Condition::compile(&one.expression).map_err(failed)?;
        let params = match one.scope {
            ParameterScope::Pipeline => &plan.parameters,
            ParameterScope::Stage => parameters,
        };
        let facts = Facts::new(params, &plan.facts, job, run);
        match condition.evaluate(&facts, matrix).map_err(failed)? {
            Verdict::True => {}
            Verdict::False => {
                return Ok(Decision {
                    state: DecisionState::Skipped,
                    reason: format!("at run time `{}` is false", one.expression),
                    conditions: Vec::new(),
                    needs: Vec::new(),
                });
            }
            Verdict::Unknown => {
                needs.extend(condition.needs());
                open.push(one.clone());
            }
        }
    }
    if !open.is_empty() {
        return Ok(Decision {
            state: DecisionState::Deferred,
            reason: format!("still needs {}", needs.join(", ")),
            conditions: open,
            needs,
        });
    }
    let all: Vec<&str> = before.conditions.iter().map(|one| one.expression.as_str()).collect();
    Ok(Decision {
        state: DecisionState::Active,
        reason: format!("at run time `{}` is true", all.join("` and `")),
        conditions: Vec::new(),
        needs: Vec::new(),
    })
}

/// Decides everything in a plan that was deferred.
///
/// # Errors
/// A condition that cannot be evaluated.
pub fn evaluate(plan: &Plan, run: &RunFacts) -> Result<Vec<Decided>, BridgeError> {
    plan.nodes()
        .into_iter()
        .filter(|node| node.decision().state == DecisionState::Deferred)
        .map(|node| Ok(Decided { id: node.id().to_owned(), decision: decide(plan, node, run)? }))
        .collect()
}
