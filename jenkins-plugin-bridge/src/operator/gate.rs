//! Whether a master may be stopped now: no other one is being changed, and for each of its labels enough
//! healthy ones stay up.

use std::collections::{BTreeMap, BTreeSet};

/// A master as the gate sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// Namespace and name, or the name in the bridge.
    pub name: String,
    /// Labels that it serves.
    pub labels: BTreeSet<String>,
    /// Whether it answers and gets builds.
    pub ready: bool,
    /// Whether a change of it is under way.
    pub changing: bool,
}

/// What the gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// The master may be stopped.
    Open,
    /// It may not, and why.
    Closed(String),
}

/// Judges a stop of `own`. `others` are all other masters; `min` of them have to be ready for each label.
///
/// A master that does not answer serves nothing, so that a change of it takes nothing away: it waits only
/// until no other one is being changed.
#[must_use]
pub fn judge(own: &Peer, others: &[Peer], min: u32) -> Gate {
    if let Some(other) = others.iter().find(|one| one.changing) {
        return Gate::Closed(format!("{} is being changed, and one is at a time", other.name));
    }
    if !own.ready {
        return Gate::Open;
    }
    let mut short: BTreeMap<Vec<&str>, Vec<&str>> = BTreeMap::new();
    for label in &own.labels {
        let ready = others.iter().filter(|one| one.ready && one.labels.contains(label));
        let mut ready: Vec<&str> = ready.map(|one| one.name.as_str()).collect();
        if ready.len() < usize::try_from(min).unwrap_or(usize::MAX) {
            ready.sort_unstable();
            short.entry(ready).or_default().push(label);
        }
    }
    if short.is_empty() {
        return Gate::Open;
    }
    let words = short.iter().map(|(ready, labels)| {
        let who = if ready.is_empty() { "no other master".to_owned() } else { ready.join(", ") };
        format!("{} has only {who}", labels.join(", "))
    });
    let words: Vec<String> = words.collect();
    let masters = if min == 1 {
        "1 other healthy master".to_owned()
    } else {
        format!("{min} other healthy masters")
    };
    Gate::Closed(format!("every label needs {masters}: {}", words.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, labels: &[&str], ready: bool, changing: bool) -> Peer {
        let labels = labels.iter().map(|one| (*one).to_owned()).collect();
        Peer { name: name.to_owned(), labels, ready, changing }
    }

    fn closed(gate: &Gate) -> &str {
        match gate {
            Gate::Open => panic!("open"),
            Gate::Closed(why) => why,
        }
    }

    #[test]
    fn two_others_have_to_be_ready_for_every_label() {
        let own = peer("a", &["linux", "docker"], true, false);
        let others = |docker: bool| {
            [
                peer("b", &["linux", "docker"], true, false),
                peer("c", &["linux", "docker"], docker, false),
                peer("d", &["linux"], true, false),
            ]
        };
        assert_eq!(judge(&own, &others(true), 2), Gate::Open);
        let gate = judge(&own, &others(false), 2);
        assert_eq!(closed(&gate), "every label needs 2 other healthy masters: docker has only b");
        assert_eq!(judge(&own, &others(false), 1), Gate::Open);
        let gate = judge(&own, &[], 1);
        let expected =
            "every label needs 1 other healthy master: docker, linux has only no other master";
        assert_eq!(closed(&gate), expected);
        assert_eq!(judge(&own, &[], 0), Gate::Open);
    }

    #[test]
    fn one_is_changed_at_a_time() {
        let own = peer("a", &["linux"], true, false);
        // Whatever its labels are: one that goes wrong shows before the next one.
        let others = [peer("b", &["windows"], false, true)];
        assert!(closed(&judge(&own, &others, 0)).contains("b is being changed"));
        // Nor may one that is down, since two changes at once may share a cause.
        let down = peer("a", &["linux"], false, false);
        assert!(closed(&judge(&down, &others, 0)).contains("b is being changed"));
    }

    #[test]
    fn a_master_that_serves_nothing_takes_nothing_away() {
        let down = peer("a", &["linux"], false, false);
        assert_eq!(judge(&down, &[peer("b", &["linux"], true, false)], 2), Gate::Open);
    }
}
