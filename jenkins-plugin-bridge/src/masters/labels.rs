//! For every label in use: how many masters have it and can be given builds. Fewer than two is an alert.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::registry::Master;

/// So many masters must be able to run the builds of a label, or one that dies stops them.
pub const ENOUGH: usize = 2;

/// A label, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LabelCover {
    /// The label.
    pub label: String,
    /// Masters that have it and can be given builds.
    pub ready: Vec<String>,
    /// Masters that have it and cannot, each with the reason.
    pub not_ready: BTreeMap<String, String>,
    /// Why somebody has to look at it; nothing where two masters or more are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
}

/// The cover of labels at a time in seconds since 1970: those that jobs use, and those that masters
/// declare.
#[must_use]
pub fn cover(masters: &[Arc<Master>], used: &BTreeSet<String>, now: i64) -> Vec<LabelCover> {
    let declared: Vec<(&Arc<Master>, BTreeSet<String>, Option<String>)> =
        masters.iter().map(|one| (one, one.labels(), one.refusal(now))).collect();
    let mut labels = used.clone();
    labels.extend(
        declared
            .iter()
            // A node's own name is a label, too; nobody is alerted by each of them.
            .filter(|(master, _, _)| matches!(master.spec.labels, super::Labels::Named(_)))
            .flat_map(|(_, labels, _)| labels.iter().cloned()),
    );
    labels
        .into_iter()
        .map(|label| {
            let mut ready = Vec::new();
            let mut not_ready = BTreeMap::new();
            for (master, labels, refusal) in &declared {
                if !labels.contains(&label) {
                    continue;
                }
                match refusal {
                    None => ready.push(master.name.clone()),
                    Some(reason) => {
                        not_ready.insert(master.name.clone(), reason.clone());
                    }
                }
            }
            let alert = (ready.len() < ENOUGH).then(|| alert(&ready, &not_ready));
            LabelCover { label, ready, not_ready, alert }
        })
        .collect()
}

fn alert(ready: &[String], not_ready: &BTreeMap<String, String>) -> String {
    let what = match ready {
        [] => "no master is ready for it".to_owned(),
        [one, ..] => format!("only {one} is ready for it"),
    };
    if not_ready.is_empty() {
        let more = if ready.is_empty() { "no master has it" } else { "no other master has it" };
        return format!("{what}: {more}");
    }
    let others: Vec<String> =
        not_ready.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
    format!("{what}; {}", others.join("; "))
}
