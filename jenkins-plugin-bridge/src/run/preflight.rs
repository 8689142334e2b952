//! What is missing on this machine, told before anything runs.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{RunOptions, Runtime};
use crate::catalog::model::Effects;
use crate::error::Problem;
use crate::plan::{DecisionState, Plan, PlanStage};

/// Whether a stage is rehearsed.
pub(super) fn is_rehearsed(stage: &PlanStage, options: &RunOptions) -> bool {
    stage.effects == Effects::External && !options.with_effects
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

fn is_installed(tool: &str) -> bool {
    if tool.contains('/') {
        return is_program(Path::new(tool));
    }
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|directory| is_program(&directory.join(tool)))
    })
}

/// Everything that is missing. Stages that are decided at run time only give notes.
pub(super) fn check(
    plan: &Plan,
    options: &RunOptions,
    runtime: Runtime,
) -> (Vec<Problem>, Vec<String>) {
    let mut problems = Vec::new();
    let mut notes = Vec::new();
    let mut seen: BTreeMap<&str, bool> = BTreeMap::new();
    let mut told = BTreeSet::new();
    for stage in plan.all_stages().filter(|one| one.decision.state != DecisionState::Skipped) {
        let rehearsed = is_rehearsed(stage, options);
        if runtime == Runtime::Local && !rehearsed && !options.ignore_missing_tools {
            for tool in stage.containers.iter().flat_map(|one| &one.tools) {
                let there = *seen.entry(tool).or_insert_with(|| is_installed(tool));
                if there || !told.insert((&stage.name, tool)) {
                    continue;
                }
                let message = format!(
                    "needs `{tool}`, which is not installed: install it or podman or docker"
                );
                if stage.decision.state == DecisionState::Active {
                    problems.push(Problem::new(stage.id.clone(), message));
                } else {
                    notes.push(format!("{} {message}", stage.id));
                }
            }
        }
        if !rehearsed {
            for one in &stage.credentials {
                let message = match options.secret_file(one) {
                    None if one.optional => continue,
                    None => format!(
                        "needs the credential `{0}`: give a file with its secret, --credential {0}=FILE",
                        one.id
                    ),
                    Some(path) => match std::fs::File::open(&path) {
                        Ok(_) => continue,
                        Err(error) => format!(
                            "needs the credential `{}`: cannot read {}: {error}",
                            one.id,
                            path.display()
                        ),
                    },
                };
                problems.push(Problem::new(stage.id.clone(), message));
            }
        }
        if runtime == Runtime::Local {
            for service in &stage.services {
                notes.push(format!(
                    "{}: the service {} ({}) is not started, as there is no podman or docker",
                    stage.id, service.name, service.image
                ));
            }
        }
    }
    (problems, notes)
}
