//! The order in which overrides apply (Java: `EnvVars.OverrideOrderCalculator` on a
//! `CyclicGraphDetector`).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{Environment, expand, fold};

/// The names of the overrides, each after the ones its value refers to, `A+B` names last.
///
/// Names come as they are spelled where the walk first met them, as in Java: one that is set as
/// `Home` and referred to as `HOME` may come twice, once in each spelling.
pub(super) fn override_order(target: &Environment, overrides: &Environment) -> Vec<String> {
    let mut graph = References::of(overrides);
    let sorted = loop {
        match graph.sort() {
            Ok(sorted) => break sorted,
            Err(cycle) => graph.cut(&cycle, target),
        }
    };

    // Only the last appearance of a name counts, hence backwards.
    let mut seen = HashSet::new();
    let mut order: Vec<String> = sorted
        .into_iter()
        .rev()
        .filter(|name| overrides.contains(name) && seen.insert(name.clone()))
        .collect();
    order.reverse();
    order.append(&mut graph.extending);
    order
}

/// Which override refers to which variables.
struct References {
    /// Folded name of an override to its name as spelled and what it refers to: folded name to the
    /// spelling of the first reference.
    edges: BTreeMap<String, (String, BTreeMap<String, String>)>,
    /// Names of the form `A+B`.
    extending: Vec<String>,
}

impl References {
    fn of(overrides: &Environment) -> Self {
        let mut edges = BTreeMap::new();
        let mut extending = Vec::new();
        for (name, value) in overrides.iter() {
            if name.find('+').is_some_and(|plus| plus > 0) {
                extending.push(name.to_owned());
                continue;
            }
            let mut referred = BTreeMap::new();
            for other in expand::referred_names(value) {
                referred.entry(fold(other)).or_insert_with(|| other.to_owned());
            }
            referred.remove(&fold(name));
            edges.insert(fold(name), (name.to_owned(), referred));
        }
        Self { edges, extending }
    }

    /// All names met, each after those it refers to; or a cycle, its first name repeated at its end.
    ///
    /// A depth-first walk with a stack of its own: the depth is what a request asks for.
    fn sort(&self) -> Result<Vec<String>, Vec<String>> {
        let mut visited: BTreeSet<&str> = BTreeSet::new();
        let mut visiting: HashSet<&str> = HashSet::new();
        let mut sorted = Vec::new();
        for (start, _) in self.edges.values() {
            if !visited.insert(start) {
                continue;
            }
            visiting.insert(start);
            let mut path = vec![(start.as_str(), self.referred(start))];
            while let Some((name, edges)) = path.last_mut() {
                match edges.next() {
                    Some(next) if visiting.contains(next) => {
                        let from = path.iter().position(|(name, _)| *name == next).unwrap_or(0);
                        let mut cycle: Vec<String> =
                            path[from..].iter().map(|(name, _)| (*name).to_owned()).collect();
                        cycle.push(next.to_owned());
                        return Err(cycle);
                    }
                    Some(next) => {
                        if visited.insert(next) {
                            visiting.insert(next);
                            path.push((next, self.referred(next)));
                        }
                    }
                    None => {
                        sorted.push((*name).to_owned());
                        visiting.remove(*name);
                        path.pop();
                    }
                }
            }
        }
        Ok(sorted)
    }

    fn referred<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let edges = self.edges.get(&fold(name)).map(|(_, referred)| referred.values());
        edges.into_iter().flatten().map(String::as_str)
    }

    /// Takes one reference out of a cycle: the one to a variable that has a value already, else
    /// the one to the first of the cycle.
    fn cut(&mut self, cycle: &[String], target: &Environment) {
        let Some(first) = cycle.first() else { return };
        let referee = cycle.iter().find(|name| target.contains(name)).unwrap_or(first);
        // The first name comes again at the end, so the last appearance has one before it.
        let at = cycle.iter().rposition(|name| name == referee).unwrap_or(0);
        let Some(referrer) = at.checked_sub(1).and_then(|before| cycle.get(before)) else { return };
        tracing::warn!(
            cycle = cycle.join(" -> "),
            ignored = format!("{referrer} -> {referee}"),
            "environment variables refer to each other in a circle: one reference is ignored"
        );
        if let Some((_, referred)) = self.edges.get_mut(&fold(referrer)) {
            referred.remove(&fold(referee));
        }
    }
}
