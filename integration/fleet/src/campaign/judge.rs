//! The verdict: what the bridge says of each build beside what the ledger says that was run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::ledger::{Entry, What};

/// The most problems that are told.
const TOLD: usize = 20;

/// What a campaign was like.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// How long it took.
    pub took: Duration,
    /// REST calls at each master since the bridge was started last.
    pub calls: BTreeMap<String, u64>,
    /// Bytes of the database, where it is a file of the campaign.
    pub database_bytes: u64,
    /// How long it took until another replica routed builds, each time that the one that did was killed.
    pub takeovers: Vec<Duration>,
}

/// What came of a campaign.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// What it was like.
    pub figures: Figures,
    /// Builds by how they ended.
    pub results: BTreeMap<String, u64>,
    /// Builds that were given to more than one master.
    pub moved: u64,
    /// Builds that were run again after their pod was deleted.
    pub rerun: u64,
    /// Runs that were refused their claim.
    pub refused: u64,
    /// What is wrong; nothing in a good campaign.
    pub problems: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |all: &BTreeMap<String, u64>| {
            let all: Vec<String> =
                all.iter().map(|(name, count)| format!("{count} {name}")).collect();
            all.join(", ")
        };
        writeln!(f, "builds: {}", list(&self.results))?;
        writeln!(f, "faults: {}", list(&self.figures.faults))?;
        writeln!(
            f,
            "given to another master: {}; run again after fencing: {}; runs refused their claim: {}",
            self.moved, self.rerun, self.refused
        )?;
        write!(f, "took {:.1} s", self.figures.took.as_secs_f64())?;
        if self.figures.database_bytes > 0 {
            write!(f, "; database {} KiB", self.figures.database_bytes / 1024)?;
        }
        writeln!(f)?;
        if let Some(longest) = self.figures.takeovers.iter().max() {
            let count = self.figures.takeovers.len();
            let seconds = longest.as_secs_f64();
            writeln!(f, "leaders killed: {count}, each replaced within {seconds:.1} s")?;
        }
        if self.problems.is_empty() {
            return write!(f, "every build ended once, or as its policy says");
        }
        write!(f, "{} PROBLEMS", self.problems.len())?;
        for problem in self.problems.iter().take(TOLD) {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

/// One attempt as the ledger has it.
#[derive(Default)]
struct Ran {
    claims: Vec<u64>,
    stages: BTreeMap<String, u64>,
    first_us: u64,
    last_us: u64,
}

/// Judges.
pub(super) fn judge(
    ids: &[String],
    states: &[Value],
    ledger: &[Entry],
    figures: Figures,
) -> Verdict {
    let mut verdict = Verdict { figures, ..Verdict::default() };
    let mut by_build: BTreeMap<&str, BTreeMap<&str, Ran>> = BTreeMap::new();
    for entry in ledger.iter().filter(|entry| !entry.build.is_empty()) {
        let ran = by_build.entry(&entry.build).or_default().entry(&entry.key).or_default();
        match entry.what {
            What::Claimed => ran.claims.push(entry.at_us),
            What::Refused => verdict.refused += 1,
            What::Stage => {
                if ran.stages.is_empty() {
                    ran.first_us = entry.at_us;
                }
                ran.last_us = entry.at_us;
                *ran.stages.entry(entry.detail.clone()).or_default() += 1;
            }
            What::Triggered | What::Online | What::OnNode | What::Ended => {}
        }
    }
    let unique: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    if unique.len() != ids.len() {
        verdict.problems.push("two orders gave the same build".to_owned());
    }
    if states.len() != ids.len() {
        let text = format!("{} of {} builds could be asked for", states.len(), ids.len());
        verdict.problems.push(text);
    }
    let mut numbers = BTreeSet::new();
    for state in states {
        let (id, job) =
            (state["id"].as_str().unwrap_or_default(), state["job"].as_str().unwrap_or_default());
        if !numbers.insert((job, state["number"].as_i64())) {
            verdict.problems.push(format!("{id}: its number is that of another build of {job}"));
        }
        let none = BTreeMap::new();
        one(state, by_build.get(id).unwrap_or(&none), &mut verdict);
    }
    for id in by_build.keys().filter(|id| !unique.contains(**id)) {
        verdict.problems.push(format!("{id} was run and nobody asked for it"));
    }
    verdict
}

fn one(state: &Value, attempts: &BTreeMap<&str, Ran>, verdict: &mut Verdict) {
    let text = |name: &str| state[name].as_str().unwrap_or_default();
    let (id, policy, result) = (text("id"), text("on_lost"), text("result"));
    let given = state["attempts"].as_array().map_or(0, Vec::len);
    verdict.moved += u64::from(given > 1);
    let ended = if text("state") == "finished" { result } else { text("state") };
    *verdict.results.entry(ended.to_owned()).or_default() += 1;
    let mut wrong = |why: String| verdict.problems.push(format!("{id} ({policy}): {why}; {state}"));
    // Unknown is an end for what nobody could fence; everything else has to be finished.
    if text("state") != "finished" && !(text("state") == "unknown" && policy == "rerun") {
        wrong(format!("it is {}", text("state")));
    }
    let mut ran: Vec<&Ran> = attempts.values().filter(|one| !one.stages.is_empty()).collect();
    ran.sort_by_key(|one| one.first_us);
    for one in attempts.values() {
        if !one.stages.is_empty() && one.claims.is_empty() {
            wrong("it ran without a claim".to_owned());
        }
        if one.claims.len() > 1 {
            wrong("two runs have the same claim".to_owned());
        }
        if let Some((stage, count)) = one.stages.iter().find(|(_, count)| **count > 1) {
            wrong(format!("an attempt ran stage {stage} {count} times"));
        }
    }
    if ran.len() > 1 {
        if policy == "rerun" {
            verdict.rerun += 1;
        } else {
            verdict
                .problems
                .push(format!("{id} ({policy}): it was run {} times; {state}", ran.len()));
        }
        if ran.windows(2).any(|pair| pair[1].first_us <= pair[0].last_us) {
            verdict.problems.push(format!("{id}: two of its runs overlap; {state}"));
        }
    }
    let last = ran.last().map_or(0, |one| one.stages.len());
    let fails = state["parameters"]["FAIL"] == "true";
    match result {
        "SUCCESS" if fails || last != 3 => {
            verdict.problems.push(format!("{id}: it succeeded with {last} stages; {state}"));
        }
        "FAILURE" if !fails && policy != "fail" => {
            verdict.problems.push(format!("{id} ({policy}): it failed; {state}"));
        }
        // That is how a run ends that does not count. No policy has a build end so.
        "NOT_BUILT" => {
            verdict.problems.push(format!("{id} ({policy}): nobody ran it; {state}"));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_build_that_nobody_ran_is_wrong() {
        let state = |id: &str, number, result| {
            json!({"id": id, "job": "j", "number": number, "state": "finished", "result": result,
                "on_lost": "fail", "attempts": [{}], "parameters": {}})
        };
        let ids = ["a".to_owned(), "b".to_owned()];
        let states = [state("a", 1, "FAILURE"), state("b", 2, "NOT_BUILT")];
        let verdict = judge(&ids, &states, &[], Figures::default());
        assert_eq!(verdict.problems.len(), 1, "{:?}", verdict.problems);
        assert!(verdict.problems[0].starts_with("b (fail): nobody ran it"));
    }
}
