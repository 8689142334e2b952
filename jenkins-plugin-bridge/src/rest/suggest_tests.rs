//! Proposed rules: what they say, and that each job meets its own.

use proptest::prelude::*;

use super::*;
use crate::catalog::model::Bindings;
use crate::rest::class::JobKind;
use crate::rest::model::{Parameter, ParameterKind};

fn job(name: &str, parameters: &[&str]) -> Job {
    Job {
        name: name.to_owned(),
        kind: JobKind::Pipeline,
        class: String::new(),
        buildable: true,
        label: None,
        branch: None,
        script: None,
        parameters: parameters
            .iter()
            .map(|name| Parameter {
                name: (*name).to_owned(),
                description: None,
                kind: ParameterKind::String { default: "x".to_owned(), trim: None },
            })
            .collect(),
        notes: Vec::new(),
    }
}

#[test]
fn folders_names_and_parameters_tell_jobs_apart() {
    let web = ["php_version", "deploy"];
    let api = ["go_version", "race"];
    let jobs = [
        job("php/shop", &web),
        job("php/blog", &web),
        job("php/tools/lint", &web),
        job("mixed/shop-web", &web),
        job("mixed/blog-web", &web),
        job("mixed/pay", &api),
        job("go/[x]*", &api),
        job("empty", &[]),
    ];
    let suggestion = suggest(&jobs, "ci", None);
    insta::assert_snapshot!(suggestion);
    assert_eq!(suggestion.misled(&jobs, "ci"), Vec::<String>::new());
    let read: Bindings = serde_saphyr::from_str(&suggestion.to_string()).unwrap();
    let globs = |rules: &[JobMatch]| rules.to_vec();
    let printed: Vec<JobMatch> = read.rules.into_iter().map(|rule| rule.matches).collect();
    let meant: Vec<JobMatch> = suggestion.rules.iter().map(|rule| rule.matches.clone()).collect();
    assert_eq!(globs(&printed), globs(&meant));
}

proptest! {
    /// Whatever the jobs are called: the file is valid, no job meets a rule that is not its own, and
    /// every job with parameters has one.
    #[test]
    fn every_job_meets_its_own_rule(
        jobs in prop::collection::btree_map(
            "([a-c]/){0,3}[a-c*!{\\]-]{1,4}",
            prop::collection::btree_set("[A-C]", 1..3),
            1..12,
        )
    ) {
        let jobs: Vec<Job> = jobs
            .iter()
            .map(|(name, all)| job(name, &all.iter().map(String::as_str).collect::<Vec<_>>()))
            .collect();
        let suggestion = suggest(&jobs, "ci", None);
        prop_assert_eq!(suggestion.misled(&jobs, "ci"), Vec::<String>::new());
        prop_assert!(suggestion.left.is_empty());
        let covered: usize = suggestion.rules.iter().map(|rule| rule.jobs.len()).sum();
        prop_assert_eq!(covered, jobs.len());
        let read: Result<Bindings, _> = serde_saphyr::from_str(&suggestion.to_string());
        prop_assert!(read.is_ok(), "{:?}\n{}", read.err(), suggestion);
    }
}
