//! Proposes binding rules for jobs that are already there.
//!
//! With a catalog, each job gets the pipeline whose parameters its own are most like. Without one,
//! jobs with the same parameters are taken together, and the rules say which pipelines would be
//! worth making. Every proposal is tried on the jobs that were read before it is printed.

mod grouping;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use super::model::Job;
use crate::catalog::Catalog;
use crate::catalog::model::{JobMatch, JobRecord, Pipeline};
use crate::plan::binding::matches_job;
use crate::text::nearest;

/// How alike a job and a pipeline must be, of 1: less is a guess that helps nobody.
const ALIKE: f64 = 0.34;

/// One proposed rule.
#[derive(Debug, Clone, PartialEq)]
pub struct ProposedRule {
    /// Name of the rule.
    pub name: String,
    /// The jobs it is for.
    pub matches: JobMatch,
    /// The pipeline.
    pub pipeline: String,
    /// Parameter of the pipeline from the parameter of the job of another name.
    pub mapping: BTreeMap<String, String>,
    /// Parameters of the jobs that the pipeline has no use for.
    pub unmapped: Vec<String>,
    /// Parameters of the pipeline that are required and that the jobs do not have.
    pub missing: Vec<String>,
    /// The jobs, by name.
    pub jobs: Vec<String>,
}

/// What is proposed.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    /// Rules in an order in which each job meets its own first.
    pub rules: Vec<ProposedRule>,
    /// Jobs for which nothing is proposed, with the reason.
    pub left: BTreeMap<String, String>,
    with_catalog: bool,
}

/// What a job would get.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    pipeline: String,
    mapping: BTreeMap<String, String>,
    unmapped: BTreeSet<String>,
    missing: BTreeSet<String>,
}

/// Proposes rules.
#[must_use]
pub fn suggest(jobs: &[Job], controller: &str, catalog: Option<&Catalog>) -> Suggestion {
    let mut left = BTreeMap::new();
    let mut targets: BTreeMap<Target, Vec<JobRecord>> = BTreeMap::new();
    for job in jobs {
        let target = match catalog {
            Some(catalog) => best(job, catalog),
            None => by_parameters(job, jobs),
        };
        match target {
            Ok(target) => targets.entry(target).or_default().push(record(job, controller)),
            Err(reason) => {
                left.insert(job.name.clone(), reason);
            }
        }
    }
    let everyone: Vec<JobRecord> = jobs.iter().map(|job| record(job, controller)).collect();
    let mut rules = Vec::new();
    for (target, members) in targets {
        for (matches, covered) in grouping::cover(&members, &everyone) {
            rules.push(ProposedRule {
                name: String::new(),
                matches,
                pipeline: target.pipeline.clone(),
                mapping: target.mapping.clone(),
                unmapped: target.unmapped.iter().cloned().collect(),
                missing: target.missing.iter().cloned().collect(),
                jobs: covered,
            });
        }
    }
    // Rules never overlap on jobs that were read; for jobs to come the narrower one stands first.
    rules.sort_by_key(|rule| (std::cmp::Reverse(narrowness(&rule.matches)), rule.jobs.clone()));
    name_rules(&mut rules);
    Suggestion { rules, left, with_catalog: catalog.is_some() }
}

/// The job as a rule sees it. What only builds know (a password, a file) counts as there.
fn record(job: &Job, controller: &str) -> JobRecord {
    let mut record = job.record(controller);
    for parameter in &job.parameters {
        record.parameters.entry(parameter.name.clone()).or_insert(serde_json::Value::Null);
    }
    record
}

fn narrowness(matches: &JobMatch) -> usize {
    let glob = |pattern: &Option<String>| {
        pattern.as_ref().map_or(0, |text| 2 * text.len() - text.matches('*').count())
    };
    1000 * usize::from(matches.job.is_some()) + glob(&matches.folder) + matches.parameters.len()
}

fn best(job: &Job, catalog: &Catalog) -> Result<Target, String> {
    if job.parameters.is_empty() {
        return Err("it has no parameters to go by".to_owned());
    }
    let mut found: Option<(f64, Target)> = None;
    for (name, pipeline) in &catalog.pipelines {
        let (score, target) = compare(job, name, &pipeline.value);
        if found.as_ref().is_none_or(|(best, _)| score > *best) {
            found = Some((score, target));
        }
    }
    match found {
        Some((score, target)) if score >= ALIKE => Ok(target),
        Some((_, target)) => Err(format!(
            "no pipeline of the catalog has parameters like these; the nearest is {}",
            target.pipeline
        )),
        None => Err("the catalog has no pipelines".to_owned()),
    }
}

fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace(['-', '.'], "_")
}

/// How alike the parameters of a job and of a pipeline are, from 0 to 1, and what maps to what.
fn compare(job: &Job, name: &str, pipeline: &Pipeline) -> (f64, Target) {
    let own: BTreeSet<&str> = job.parameters.iter().map(|one| one.name.as_str()).collect();
    let mut free = own.clone();
    let mut mapping = BTreeMap::new();
    let mut missing = BTreeSet::new();
    let mut matched = 0.0;
    let wanted: Vec<&str> = pipeline.parameters.properties().map(|(name, _)| name).collect();
    let mut open = Vec::new();
    for parameter in &wanted {
        // The binding itself takes equal names, letters of either case and `-` for `_`.
        match free.iter().copied().find(|one| folded(one) == folded(parameter)) {
            Some(equal) => {
                free.remove(equal);
                matched += 1.0;
            }
            None => open.push(*parameter),
        }
    }
    for parameter in open {
        match nearest(parameter, free.iter().copied()) {
            Some(near) => {
                free.remove(near);
                mapping.insert(parameter.to_owned(), near.to_owned());
                matched += 0.5;
            }
            None if pipeline.parameters.is_required(parameter) => {
                missing.insert(parameter.to_owned());
            }
            None => {}
        }
    }
    let size = f64::from(u32::try_from(own.len() + wanted.len()).unwrap_or(u32::MAX));
    let lost = f64::from(u32::try_from(missing.len()).unwrap_or(u32::MAX));
    let score = if size > 0.0 { (2.0 * matched - lost) / size } else { 0.0 };
    let unmapped = free.into_iter().map(str::to_owned).collect();
    (score, Target { pipeline: name.to_owned(), mapping, unmapped, missing })
}

/// Without a catalog: jobs with the same parameters are one kind, named after what they share.
fn by_parameters(job: &Job, jobs: &[Job]) -> Result<Target, String> {
    if job.parameters.is_empty() {
        return Err("it has no parameters to go by".to_owned());
    }
    let names = |job: &Job| -> BTreeSet<String> {
        job.parameters.iter().map(|one| folded(&one.name)).collect()
    };
    let own = names(job);
    let first = jobs.iter().find(|other| names(other) == own).unwrap_or(job);
    let (folder, name) = first.name.rsplit_once('/').unwrap_or(("", &first.name));
    let word = if folder.is_empty() { name } else { folder.rsplit('/').next().unwrap_or(name) };
    let unmapped = job.parameters.iter().map(|one| one.name.clone()).collect();
    Ok(Target {
        pipeline: format!("{}-{}", slug(word), slug(name)),
        mapping: BTreeMap::new(),
        unmapped,
        missing: BTreeSet::new(),
    })
}

/// A name that the catalog accepts: small letters, digits and single dashes.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for one in text.chars().flat_map(char::to_lowercase) {
        if one.is_ascii_alphanumeric() {
            slug.push(one);
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    let slug = if slug.starts_with(|one: char| one.is_ascii_lowercase()) {
        slug.to_owned()
    } else {
        format!("job-{slug}")
    };
    slug.chars().take(30).collect::<String>().trim_end_matches('-').to_owned()
}

fn name_rules(rules: &mut [ProposedRule]) {
    let mut taken: BTreeMap<String, u32> = BTreeMap::new();
    for rule in rules {
        // Of `{php,php/**}` the first folder is name enough.
        let place = rule.matches.folder.as_deref().unwrap_or_default();
        let place = place.trim_start_matches('{').split(',').next().unwrap_or_default();
        let place = if place.is_empty() { "top".to_owned() } else { slug(place) };
        let base = format!("{place}-{}", slug(&rule.pipeline));
        let count = taken.entry(base.clone()).or_insert(0);
        *count += 1;
        rule.name = if *count == 1 { base } else { format!("{base}-{count}") };
    }
}

impl Suggestion {
    /// The jobs that would get something else than what is proposed for them. There are none; this
    /// is what the tests and the command check before anything is printed.
    #[must_use]
    pub fn misled(&self, jobs: &[Job], controller: &str) -> Vec<String> {
        jobs.iter()
            .filter(|job| {
                let record = record(job, controller);
                let met =
                    self.rules.iter().find(|rule| matches_job(&rule.matches, &record).is_ok());
                let meant = self.rules.iter().find(|rule| rule.jobs.contains(&job.name));
                // Another rule that gives it the same is as good.
                let gives = |rule: &ProposedRule| (rule.pipeline.clone(), rule.mapping.clone());
                met.map(gives) != meant.map(gives)
            })
            .map(|job| job.name.clone())
            .collect()
    }
}

#[cfg(test)]
#[path = "suggest_tests.rs"]
mod tests;
