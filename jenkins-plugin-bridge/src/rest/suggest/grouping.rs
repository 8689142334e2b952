//! The fewest rules that take in some jobs and leave all others out.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::model::{JobMatch, JobRecord};
use crate::plan::binding::matches_job;

/// Rules, each with the names of the jobs that it takes in.
pub fn cover(members: &[JobRecord], everyone: &[JobRecord]) -> Vec<(JobMatch, Vec<String>)> {
    let inside: BTreeSet<&str> = members.iter().map(|job| job.job.as_str()).collect();
    let others: Vec<&JobRecord> =
        everyone.iter().filter(|job| !inside.contains(job.job.as_str())).collect();
    let mut open: BTreeMap<&str, &JobRecord> =
        members.iter().map(|job| (job.job.as_str(), job)).collect();
    let mut rules = Vec::new();
    // Widest first: a folder with all below it, the folder itself, then names in it.
    for matches in candidates(members) {
        if open.is_empty() {
            break;
        }
        if others.iter().any(|job| matches_job(&matches, job).is_ok()) {
            continue;
        }
        let taken: Vec<String> = open
            .values()
            .filter(|job| matches_job(&matches, job).is_ok())
            .map(|job| job.job.clone())
            .collect();
        if !taken.is_empty() {
            open.retain(|name, _| !taken.iter().any(|one| one == name));
            rules.push((matches, taken));
        }
    }
    rules
}

fn candidates(members: &[JobRecord]) -> Vec<JobMatch> {
    let mut by_folder: BTreeMap<&str, Vec<&JobRecord>> = BTreeMap::new();
    let mut above: BTreeSet<&str> = BTreeSet::new();
    for job in members {
        let folder = job.split().0;
        by_folder.entry(folder).or_default().push(job);
        let mut up = folder;
        while !up.is_empty() {
            above.insert(up);
            up = up.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
    }
    // `a/**` takes in `a/b` and not `a`: the braces take in both.
    let mut all: Vec<JobMatch> = above
        .iter()
        .filter(|folder| {
            by_folder
                .keys()
                .any(|one| one.len() > folder.len() && one.starts_with(&format!("{folder}/")))
        })
        .map(|folder| {
            let own = if by_folder.contains_key(*folder) {
                format!("{{{0},{0}/**}}", literal(folder))
            } else {
                format!("{}/**", literal(folder))
            };
            JobMatch { folder: Some(own), ..JobMatch::default() }
        })
        .collect();
    all.sort_by_key(|one| one.folder.as_ref().map_or(0, |folder| folder.matches('/').count()));
    for (folder, jobs) in &by_folder {
        let folder = Some(literal(folder));
        all.push(JobMatch { folder: folder.clone(), ..JobMatch::default() });
        let names: Vec<&str> = jobs.iter().map(|job| job.split().1).collect();
        for job in globs(&names) {
            all.push(JobMatch { folder: folder.clone(), job: Some(job), ..JobMatch::default() });
        }
        if let Some(parameters) = shared_parameters(jobs) {
            all.push(JobMatch { folder: folder.clone(), parameters, ..JobMatch::default() });
        }
        for name in names {
            let job = Some(literal(name));
            all.push(JobMatch { folder: folder.clone(), job, ..JobMatch::default() });
        }
    }
    all
}

/// Globs by the words at the start or the end that all names share.
fn globs(names: &[&str]) -> Vec<String> {
    let [first, rest @ ..] = names else { return Vec::new() };
    if rest.is_empty() {
        return Vec::new();
    }
    let is_edge = |one: char| matches!(one, '-' | '_' | '.' | ' ');
    let shared = |fits: &dyn Fn(&str) -> bool, pieces: Vec<&str>| {
        pieces.into_iter().filter(|piece| fits(piece)).max_by_key(|piece| piece.len()).map(literal)
    };
    let starts: Vec<&str> = first
        .char_indices()
        .filter(|(_, one)| is_edge(*one))
        .map(|(at, _)| &first[..=at])
        .collect();
    let ends: Vec<&str> =
        first.char_indices().filter(|(_, one)| is_edge(*one)).map(|(at, _)| &first[at..]).collect();
    let start = shared(&|piece| rest.iter().all(|name| name.starts_with(piece)), starts);
    let end = shared(&|piece| rest.iter().all(|name| name.ends_with(piece)), ends);
    let mut globs = Vec::new();
    globs.extend(start.map(|start| format!("{start}*")));
    globs.extend(end.map(|end| format!("*{end}")));
    globs
}

/// The parameters that all of them have.
fn shared_parameters(jobs: &[&JobRecord]) -> Option<BTreeMap<String, String>> {
    let (first, rest) = jobs.split_first()?;
    let shared: BTreeMap<String, String> = first
        .parameters
        .keys()
        .filter(|name| rest.iter().all(|job| job.parameters.contains_key(*name)))
        .map(|name| (name.clone(), "*".to_owned()))
        .collect();
    (!shared.is_empty()).then_some(shared)
}

/// A text as a glob that matches only it.
fn literal(text: &str) -> String {
    let mut glob = String::with_capacity(text.len());
    for one in text.chars() {
        // In brackets each of these stands for itself.
        if matches!(one, '*' | '?' | '[' | ']' | '{' | '}' | '\\' | ',') {
            glob.push('[');
            glob.push(one);
            glob.push(']');
        } else {
            glob.push(one);
        }
    }
    glob
}
