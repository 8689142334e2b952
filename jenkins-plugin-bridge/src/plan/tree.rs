//! A plan for people: a tree, with the reasons when asked.

use std::fmt::Write as _;

use super::binding::Binding;
use super::layers::Change;
use super::matrix::label;
use super::model::{DecisionState, Plan, PlanGroup, PlanNode, PlanStage};
use crate::catalog::model::Effects;
use crate::text::shown;

/// How much a tree shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What runs.
    Short,
    /// And why, with containers and variables.
    Explain,
}

fn mark(state: DecisionState) -> char {
    match state {
        DecisionState::Active => '●',
        DecisionState::Skipped => '○',
        DecisionState::Deferred => '◐',
    }
}

/// The tree of a plan.
#[must_use]
pub fn tree(plan: &Plan, detail: Detail) -> String {
    let mut text = format!("{} {}", plan.pipeline, plan.version);
    for layer in &plan.layers {
        let _ = write!(text, " + {} {}", layer.level, layer.name);
    }
    text.push('\n');
    nodes(&plan.stages, "", detail, &mut text);
    for (name, all) in plan.post.lists() {
        if !all.is_empty() {
            let _ = writeln!(text, "after the stages, {name}:");
            nodes(all, "", detail, &mut text);
        }
    }
    if !plan.needs.is_empty() {
        let _ = writeln!(text, "decided at run time from {}", plan.needs.join(", "));
    }
    text
}

fn nodes(all: &[PlanNode], indent: &str, detail: Detail, text: &mut String) {
    for (index, node) in all.iter().enumerate() {
        let last = index + 1 == all.len();
        let branch = if last { "└─" } else { "├─" };
        let inner = format!("{indent}{}", if last { "   " } else { "│  " });
        let _ = write!(text, "{indent}{branch} {} {}", mark(node.decision().state), node.title());
        match node {
            PlanNode::Stage(stage) => stage_line(stage, text),
            PlanNode::Parallel(group) => group_line(group, "in parallel", text),
            PlanNode::Sequence(group) => group_line(group, "in sequence", text),
        }
        text.push('\n');
        let decision = node.decision();
        // What does not simply run is explained in any case.
        if detail == Detail::Explain || decision.state == DecisionState::Deferred {
            let _ = writeln!(text, "{inner}  {}", decision.reason);
        }
        if let (PlanNode::Stage(stage), Detail::Explain) = (node, detail) {
            stage_detail(stage, &inner, text);
        }
        nodes(node.children(), &inner, detail, text);
    }
}

fn stage_line(stage: &PlanStage, text: &mut String) {
    let _ = write!(text, "  {}", stage.template);
    if stage.decision.state == DecisionState::Skipped {
        text.push_str("  skipped");
        return;
    }
    if let Some(container) = stage.containers.first() {
        let _ = write!(text, "  {}", container.image);
    }
    if stage.effects == Effects::External {
        text.push_str("  has effects outside");
    }
    if stage.allow_failure {
        text.push_str("  may fail");
    }
    if stage.after_failure {
        text.push_str("  also after a failure");
    }
    if let Some(lock) = &stage.lock {
        let _ = write!(text, "  locks {lock}");
    }
    if stage.milestone {
        text.push_str("  milestone");
    }
    if stage.approval.is_some() {
        text.push_str("  waits for approval");
    }
}

fn group_line(group: &PlanGroup, how: &str, text: &mut String) {
    let how = if group.matrix { "matrix" } else { how };
    let _ = write!(text, "  ({how})");
    if group.decision.state == DecisionState::Skipped {
        text.push_str("  skipped");
    }
    if group.fail_fast {
        text.push_str("  stops at the first failure");
    }
}

fn stage_detail(stage: &PlanStage, indent: &str, text: &mut String) {
    let mut line = |what: String| {
        let _ = writeln!(text, "{indent}  {what}");
    };
    for container in &stage.containers {
        let amount = |one: &Option<_>| {
            one.as_ref().map_or_else(
                || "?".to_owned(),
                |one: &crate::catalog::model::Quantity| one.to_string(),
            )
        };
        line(format!(
            "container {}: {} (cpu {}, memory {})",
            container.name,
            container.image,
            amount(&container.requests.cpu),
            amount(&container.requests.memory)
        ));
    }
    for (name, value) in &stage.parameters {
        line(format!("parameter {name} = {}", shown(value)));
    }
    for (variable, one) in &stage.inputs {
        line(format!("variable {variable} = output {} of {}", one.output, one.stage));
    }
    for name in stage.outputs.keys() {
        line(format!("output {name}"));
    }
    for one in &stage.credentials {
        line(format!("credential {} in {}", one.id, one.variable));
    }
    if let Some(seconds) = stage.timeout_seconds {
        line(format!("timeout {seconds} s"));
    }
    if let Some(retry) = &stage.retry {
        line(format!("up to {} tries", retry.attempts));
    }
    if !stage.matrix.is_empty() {
        line(format!("combination {}", label(&stage.matrix)));
    }
}

/// How a plan came about: the rules that were tried, where parameters came from, what layers
/// changed.
#[must_use]
pub fn origins(binding: Option<&Binding<'_>>, plan: &Plan, changes: &[Change]) -> String {
    let mut text = String::new();
    if let Some(binding) = binding {
        text.push_str("rules:\n");
        for one in &binding.trace {
            let verdict = if one.won { "wins" } else { "does not match" };
            let _ = writeln!(text, "  {} {verdict}: {}", one.rule, one.reason);
        }
    }
    text.push_str("parameters:\n");
    for (name, value) in &plan.parameters {
        let origin = match binding {
            Some(binding) => binding.origins.get(name).map_or("default", String::as_str),
            None => "given or default",
        };
        let _ = writeln!(text, "  {name} = {}  ({origin})", shown(value));
    }
    if let Some(binding) = binding {
        if !binding.unmapped.is_empty() {
            let _ = writeln!(
                text,
                "  not used from the job: {} (name them under `ignore` or map them)",
                binding.unmapped.join(", ")
            );
        }
        if !binding.missing.is_empty() {
            let _ = writeln!(text, "  missing: {}", binding.missing.join(", "));
        }
    }
    if !changes.is_empty() {
        text.push_str("changes by layers:\n");
        for one in changes {
            let reason = one.reason.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
            let _ = writeln!(
                text,
                "  {} {}: {} {} from {} to {}{reason}",
                one.level,
                one.layer,
                one.how,
                one.path,
                shown(&one.before),
                shown(&one.value)
            );
        }
    }
    text
}
