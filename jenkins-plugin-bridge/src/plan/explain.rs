//! The plans of many jobs, explained: what an operator reads before a controller is handed over.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::binding::plan_job;
use super::tree::{Detail, origins, tree};
use crate::catalog::Catalog;
use crate::catalog::model::JobRecord;

/// For each job its name, and its plan with the reasons or why there is none; then a line of counts.
#[must_use]
pub fn explain_jobs(catalog: &Catalog, jobs: &[JobRecord]) -> String {
    let mut text = String::new();
    let mut planned = 0;
    for job in jobs {
        let _ = writeln!(text, "== {}", job.job);
        match plan_job(catalog, job, &BTreeMap::new()) {
            Ok(one) => {
                planned += 1;
                text.push_str(&tree(&one.plan, Detail::Explain));
                text.push_str(&origins(Some(&one.binding), &one.plan, &one.prepared.changes));
            }
            Err(error) => {
                let _ = writeln!(text, "no plan: {error}");
            }
        }
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "{} jobs: {planned} have a plan, {} have none",
        jobs.len(),
        jobs.len() - planned
    );
    text
}
