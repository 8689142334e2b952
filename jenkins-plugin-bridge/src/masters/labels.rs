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
    /// The label; several that a job asks for together as `docker && linux`.
    pub label: String,
    /// Masters that have it and can be given builds.
    pub ready: Vec<String>,
    /// Masters that have it and cannot, each with the reason.
    pub not_ready: BTreeMap<String, String>,
    /// Why somebody has to look at it; nothing where two masters or more are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
}

/// The cover of labels at a time in seconds since 1970: those that jobs and builds use, and those that masters
/// declare. `used` has what each asks for. Where that is several labels, their masters are those that have all of
/// them, whatever each label alone has: they are told as `docker && linux`, too.
#[must_use]
pub fn cover(
    masters: &[Arc<Master>],
    used: &BTreeSet<BTreeSet<String>>,
    now: i64,
) -> Vec<LabelCover> {
    let declared: Vec<(&Arc<Master>, BTreeSet<String>, Option<String>)> =
        masters.iter().map(|one| (one, one.labels(), one.refusal(now))).collect();
    let mut asked: BTreeSet<BTreeSet<String>> = used.clone();
    asked.remove(&BTreeSet::new());
    let of_masters = declared
        .iter()
        // A node's own name is a label, too; nobody is alerted by each of them.
        .filter(|(master, _, _)| matches!(master.spec.labels, super::Labels::Named(_)))
        .flat_map(|(_, labels, _)| labels);
    let single = used.iter().flatten().chain(of_masters);
    asked.extend(single.map(|label| BTreeSet::from([label.clone()])));
    let mut all: Vec<LabelCover> = asked
        .into_iter()
        .map(|labels| {
            let mut ready = Vec::new();
            let mut not_ready = BTreeMap::new();
            for (master, has, refusal) in &declared {
                if !labels.is_subset(has) {
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
            let label = labels.into_iter().collect::<Vec<_>>().join(" && ");
            LabelCover { label, ready, not_ready, alert }
        })
        .collect();
    all.sort_by(|one, other| one.label.cmp(&other.label));
    all
}

fn alert(ready: &[String], not_ready: &BTreeMap<String, String>) -> String {
    let what = match ready {
        [] if not_ready.is_empty() => return "no master has it".to_owned(),
        [] => "no master is ready for it".to_owned(),
        [one, ..] => format!("only {one} is ready for it"),
    };
    if not_ready.is_empty() {
        return format!("{what}: no other master has it");
    }
    let others: Vec<String> =
        not_ready.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
    format!("{what}; {}", others.join("; "))
}
