//! Jobs that start one another: what started what, and that it does not go round.

use std::collections::{BTreeMap, BTreeSet};

use super::model::UpstreamResult;

/// Which jobs start a job, by its name.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// The way from a job over those that start it back to itself, where there is one.
#[must_use]
pub fn cycle(graph: &Graph, job: &str) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut ways: Vec<Vec<String>> = vec![vec![job.to_owned()]];
    while let Some(way) = ways.pop() {
        for before in way.last().and_then(|last| graph.get(last)).into_iter().flatten() {
            let mut longer = way.clone();
            longer.push(before.clone());
            if before == job {
                longer.reverse();
                return Some(longer);
            }
            if seen.insert(before.clone()) {
                ways.push(longer);
            }
        }
    }
    None
}

impl UpstreamResult {
    /// Whether a build that ended so starts another one.
    #[must_use]
    pub fn takes(self, result: &str) -> bool {
        match self {
            Self::Success => result == "SUCCESS",
            Self::Unstable => matches!(result, "SUCCESS" | "UNSTABLE"),
            // One that never ran has no result.
            Self::Any => !matches!(result, "NOT_BUILT"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> Graph {
        edges
            .iter()
            .map(|(job, before)| {
                ((*job).to_owned(), before.iter().map(|one| (*one).to_owned()).collect())
            })
            .collect()
    }

    #[test]
    fn a_way_back_is_found_and_named() {
        let round = graph(&[("a", &["b", "d"]), ("b", &["c"]), ("c", &["a"]), ("d", &[])]);
        assert_eq!(cycle(&round, "a").unwrap(), ["a", "c", "b", "a"]);
        assert_eq!(cycle(&graph(&[("a", &["a"])]), "a").unwrap(), ["a", "a"]);
        let tree = graph(&[
            ("a", &["b", "c"]),
            ("b", &["d"]),
            ("c", &["d"]),
            ("x", &["y"]),
            ("y", &["x"]),
        ]);
        assert_eq!(cycle(&tree, "a"), None);
    }

    #[test]
    fn results_decide() {
        for (result, takes) in [
            ("SUCCESS", [true, true, true]),
            ("UNSTABLE", [false, true, true]),
            ("FAILURE", [false, false, true]),
            ("NOT_BUILT", [false, false, false]),
        ] {
            let all = [UpstreamResult::Success, UpstreamResult::Unstable, UpstreamResult::Any];
            assert_eq!(all.map(|one| one.takes(result)), takes, "{result}");
        }
    }
}
