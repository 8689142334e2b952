//! Which build that waits is given to which master.

use std::collections::BTreeMap;

use super::{Decision, Limits, MasterView, Rules};
use crate::route::model::Build;

/// What a master of another zone costs, in thousandths of a full load.
const OTHER_ZONE: u64 = 300;
/// What a master that did not run the last build of the job costs: its caches are cold.
const COLD: u64 = 100;
/// What an answer that takes a second costs.
const SLOW_SECOND: u64 = 200;

/// Builds that hold something now, and those that are placed while this is worked out.
#[derive(Default)]
struct Counts<'b> {
    masters: BTreeMap<&'b str, u32>,
    new: BTreeMap<&'b str, u32>,
    teams: BTreeMap<&'b str, u32>,
    labels: BTreeMap<&'b str, u32>,
    clusters: BTreeMap<&'b str, u32>,
    jobs: BTreeMap<&'b str, u32>,
    /// Who holds a lock.
    locks: BTreeMap<&'b str, &'b Build>,
}

impl<'b> Counts<'b> {
    fn add(&mut self, build: &'b Build, master: Option<&'b MasterView>) {
        let request = &build.request;
        if let Some(master) = master {
            *self.masters.entry(&master.name).or_default() += 1;
            if let Some(cluster) = &master.cluster {
                *self.clusters.entry(cluster).or_default() += 1;
            }
        }
        *self.teams.entry(&request.team).or_default() += 1;
        *self.jobs.entry(&build.job).or_default() += 1;
        for label in &request.labels {
            *self.labels.entry(label).or_default() += 1;
        }
        for lock in &request.locks {
            self.locks.entry(lock).or_insert(build);
        }
    }
}

fn count(of: &BTreeMap<&str, u32>, name: &str) -> u32 {
    of.get(name).copied().unwrap_or(0)
}

/// Places what can be placed, and says of the rest why it waits.
pub(super) fn place(
    masters: &[MasterView],
    builds: &[Build],
    waiting: Vec<usize>,
    limits: &Limits,
    rules: &Rules,
    last: &BTreeMap<String, String>,
    decisions: &mut Vec<Decision>,
) {
    let mut counts = Counts::default();
    let by_name: BTreeMap<&str, &MasterView> =
        masters.iter().map(|master| (master.name.as_str(), master)).collect();
    for build in builds.iter().filter(|build| build.state.is_placed()) {
        let master = build.master.as_deref().and_then(|name| by_name.get(name)).copied();
        counts.add(build, master);
    }
    for index in in_order(builds, waiting, &counts) {
        let build = &builds[index];
        let chosen = admitted(build, limits, &counts)
            .and_then(|()| choose(masters, build, limits, rules, last, &counts));
        match chosen {
            Ok(master) => {
                counts.add(build, Some(master));
                *counts.new.entry(&master.name).or_default() += 1;
                decisions.push(Decision::Place { build: index, master: master.name.clone() });
            }
            Err(reason) if build.reason != reason => {
                decisions.push(Decision::Stay { build: index, reason });
            }
            Err(_) => {}
        }
    }
}

/// By priority, then in turns between teams: the third build of one team comes after the second of each
/// other, counting what they have running. Within a team the oldest is first.
fn in_order(builds: &[Build], mut waiting: Vec<usize>, counts: &Counts<'_>) -> Vec<usize> {
    waiting.sort_by_key(|&index| {
        let build = &builds[index];
        (-i64::from(build.request.priority), build.created_ms, &build.job, build.number)
    });
    let mut turns: BTreeMap<&str, u32> = BTreeMap::new();
    let mut keyed: Vec<(i64, u32, usize, usize)> = waiting
        .into_iter()
        .enumerate()
        .map(|(rank, index)| {
            let build = &builds[index];
            let team = build.request.team.as_str();
            let turn = turns.entry(team).or_insert_with(|| count(&counts.teams, team));
            *turn += 1;
            (-i64::from(build.request.priority), *turn, rank, index)
        })
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, _, _, index)| index).collect()
}

/// Limits that hold whatever master is chosen.
fn admitted(build: &Build, limits: &Limits, counts: &Counts<'_>) -> Result<(), String> {
    let request = &build.request;
    let team_limit = limits.teams.get(&request.team).copied().or(limits.any_team);
    if let Some(limit) = team_limit
        && !request.team.is_empty()
        && count(&counts.teams, &request.team) >= limit
    {
        return Err(format!("the team {} has its {limit} builds running", request.team));
    }
    if let Some(limit) = request.concurrency
        && count(&counts.jobs, &build.job) >= limit
    {
        return Err(format!("{} builds of {} run already, as many as may", limit, build.job));
    }
    for label in &request.labels {
        if let Some(limit) = limits.labels.get(label)
            && count(&counts.labels, label) >= *limit
        {
            return Err(format!("the label {label} has its {limit} builds running"));
        }
    }
    for lock in &request.locks {
        if let Some(holder) = counts.locks.get(lock.as_str()) {
            return Err(format!("build {} of {} holds the lock {lock}", holder.number, holder.job));
        }
    }
    Ok(())
}

/// The master with the least expected wait.
fn choose<'m>(
    masters: &'m [MasterView],
    build: &Build,
    limits: &Limits,
    rules: &Rules,
    last: &BTreeMap<String, String>,
    counts: &Counts<'_>,
) -> Result<&'m MasterView, String> {
    let request = &build.request;
    let mut best: Option<(u64, &MasterView)> = None;
    let mut refusals = Vec::new();
    let mut full = 0_usize;
    for master in masters.iter().filter(|master| request.labels.is_subset(&master.labels)) {
        if let Some(refusal) = &master.refusal {
            refusals.push(format!("{}: {refusal}", master.name));
            continue;
        }
        if let Some(reason) = master.no_jobs.get(&build.job) {
            refusals.push(format!("{}: {reason}", master.name));
            continue;
        }
        if let Some(lacks) = lacks(master, build) {
            refusals.push(format!("{}: it has no {lacks}", master.name));
            continue;
        }
        let own = count(&counts.masters, &master.name);
        let cluster_full = master.cluster.as_ref().is_some_and(|cluster| {
            limits
                .clusters
                .get(cluster)
                .is_some_and(|limit| count(&counts.clusters, cluster) >= *limit)
        });
        if own >= master.capacity
            || cluster_full
            || count(&counts.new, &master.name) >= rules.at_once
        {
            full += 1;
            continue;
        }
        let score = score(master, build, last, own, count(&counts.new, &master.name));
        if best.is_none_or(|(least, _)| score < least) {
            best = Some((score, master));
        }
    }
    if let Some((_, master)) = best {
        return Ok(master);
    }
    let labels: Vec<&str> = request.labels.iter().map(String::as_str).collect();
    let labels = if labels.is_empty() { "no label".to_owned() } else { labels.join(" and ") };
    Err(match (full, refusals.is_empty()) {
        (0, true) => format!("no master has {labels}"),
        (0, false) => format!("no master with {labels} can take it: {}", refusals.join("; ")),
        (1, _) => format!("the one master with {labels} that can take it is full"),
        (full, _) => format!("the {full} masters with {labels} that can take it are full"),
    })
}

/// What a master is known to lack for a build.
fn lacks(master: &MasterView, build: &Build) -> Option<String> {
    let missing = |has: &Option<std::collections::BTreeSet<String>>,
                   needs: &std::collections::BTreeSet<String>| {
        let has = has.as_ref()?;
        let missing: Vec<&str> =
            needs.iter().filter(|one| !has.contains(*one)).map(String::as_str).collect();
        (!missing.is_empty()).then(|| missing.join(", "))
    };
    let needs = &build.request.needs;
    let credentials =
        missing(&master.credentials, &needs.credentials).map(|ids| format!("credential {ids}"));
    let plugins = missing(&master.plugins, &needs.plugins).map(|names| format!("plugin {names}"));
    match (credentials, plugins) {
        (Some(one), Some(other)) => Some(format!("{one} and no {other}")),
        (one, other) => one.or(other),
    }
}

/// The expected wait in thousandths of a full load, with what else makes a master worse than another.
fn score(
    master: &MasterView,
    build: &Build,
    last: &BTreeMap<String, String>,
    own: u32,
    new: u32,
) -> u64 {
    // Builds that were placed since the last look are not in what the master said.
    let load = u64::from(own.max((master.busy + master.queue).saturating_add(new)));
    let executors = u64::from(master.executors.max(1));
    let mut score = load * 1000 / executors;
    if build.request.zone.is_some() && build.request.zone != master.zone {
        score += OTHER_ZONE;
    }
    if last.get(&build.job).is_some_and(|name| *name != master.name) {
        score += COLD;
    }
    score + master.latency_ms * SLOW_SECOND / 1000
}
