//! `jobs`: which there are; kept from a file; their copies on masters looked at and mended.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Bridge;
use super::{OutputArguments, ServiceArguments, declared, encoded, typed};
use crate::cli::remote::runtime;
use crate::cli::table::Table;
use crate::cli::{FAILED, PASSED, complain, print};
use crate::error::BridgeError;
use crate::jobs::{CopyState, JobSpec, JobsFile};

/// Arguments of `jobs`.
#[derive(Debug, Args)]
pub struct JobsArguments {
    #[command(flatten)]
    service: ServiceArguments,
    #[command(flatten)]
    output: OutputArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The jobs, and how their copies on masters were when they were looked at last.
    List,
    /// Keep the jobs of a file. Their copies on masters are made by `keep`, or with their first build.
    Apply {
        /// A YAML file of the kind `jobs`.
        file: PathBuf,
    },
    /// Show what would be made or mended on masters, and do it once that is agreed to.
    Keep {
        /// Only these jobs.
        jobs: Vec<String>,
        /// Only at these masters.
        #[arg(long, value_name = "NAME")]
        master: Vec<String>,
        /// Do it without asking.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Deserialize)]
struct Job {
    job: JobSpec,
    revision: i64,
    is_removed: bool,
    copies: BTreeMap<String, CopyState>,
}

pub(in crate::cli) fn execute(arguments: &JobsArguments) -> Result<u8, BridgeError> {
    let bridge = Bridge::connect(&arguments.service)?;
    let output = &arguments.output;
    runtime()?.block_on(async {
        match &arguments.command {
            None | Some(Command::List) => {
                output.print(&bridge.get("/v1/jobs").await?, table)?;
                Ok(PASSED)
            }
            Some(Command::Apply { file }) => {
                output.print(&apply(&bridge, file).await?, table)?;
                Ok(PASSED)
            }
            Some(Command::Keep { jobs, master, yes }) => {
                keep(&bridge, output, jobs, master, *yes).await
            }
        }
    })
}

fn table(answer: &Value) -> Result<String, BridgeError> {
    let all: Vec<Job> = typed(answer)?;
    let mut table = Table::new(&["JOB", "PIPELINE", "REVISION", "LABELS", "COPIES"]);
    for one in all {
        let labels: Vec<&str> = one.job.labels.iter().map(|label| label.0.as_str()).collect();
        let copies: Vec<String> =
            one.copies.iter().map(|(master, state)| format!("{master} {}", state.word())).collect();
        table.line([
            if one.is_removed { format!("{} (removed)", one.job.name) } else { one.job.name },
            one.job.pipeline.to_string(),
            one.revision.to_string(),
            labels.join(","),
            copies.join(", "),
        ]);
    }
    Ok(table.text())
}

async fn apply(bridge: &Bridge, file: &Path) -> Result<Value, BridgeError> {
    let jobs: JobsFile = declared("jobs", file, JobsFile::problems)?;
    let all = jobs.jobs.iter().map(|job| (job.name.clone(), json!(job)));
    Ok(Value::from(bridge.post_each("/v1/jobs", all).await?))
}

/// Copies by job and master.
type Copies = BTreeMap<String, BTreeMap<String, CopyState>>;

async fn keep(
    bridge: &Bridge,
    output: &OutputArguments,
    jobs: &[String],
    masters: &[String],
    yes: bool,
) -> Result<u8, BridgeError> {
    let mut names = jobs.to_vec();
    if names.is_empty() {
        let all: Vec<Job> = typed(&bridge.get("/v1/jobs").await?)?;
        names = all.into_iter().filter(|one| !one.is_removed).map(|one| one.job.name).collect();
    }
    let seen = ask(bridge, &names, masters, true).await?;
    let needs = |state: &CopyState| matches!(state, CopyState::Missing | CopyState::Drifted { .. });
    let open: Vec<String> = names
        .iter()
        .filter(|name| seen.get(*name).is_some_and(|all| all.values().any(needs)))
        .cloned()
        .collect();
    let people = output.output == super::Output::Table;
    if people {
        print(&copies(&seen));
    }
    let agreed = yes || (people && !open.is_empty() && agreed(open.len())?);
    if open.is_empty() || !agreed {
        if !people {
            print(&format!("{:#}\n", json!(seen)));
        } else if open.is_empty() && !is_well(&seen) {
            complain("nothing can be done: the reasons are above");
        } else if open.is_empty() {
            complain("nothing is to be done");
        } else if !agreed {
            complain("nothing was done; --yes does it");
        }
        let well = open.is_empty() && is_well(&seen);
        return Ok(if well { PASSED } else { FAILED });
    }
    let done = ask(bridge, &open, masters, false).await?;
    output.print(&json!(done), |_| Ok(format!("\nNow:\n{}", copies(&done))))?;
    Ok(if is_well(&done) { PASSED } else { FAILED })
}

fn is_well(copies: &Copies) -> bool {
    copies.values().flat_map(BTreeMap::values).all(|state| *state == CopyState::Same)
}

async fn ask(
    bridge: &Bridge,
    jobs: &[String],
    masters: &[String],
    dry_run: bool,
) -> Result<Copies, BridgeError> {
    let mut all = BTreeMap::new();
    for job in jobs {
        let path = format!("/v1/jobs/{}/keep", encoded(job));
        let body = json!({"dry_run": dry_run, "masters": masters});
        all.insert(job.clone(), typed(&bridge.post(&path, &body, None).await?)?);
    }
    Ok(all)
}

fn copies(all: &Copies) -> String {
    let mut table = Table::new(&["JOB", "MASTER", "COPY", ""]);
    for (job, copies) in all {
        if copies.is_empty() {
            table.line([job.clone(), "-".into(), "-".into(), "no master has its labels".into()]);
        }
        for (master, state) in copies {
            let more = match state {
                CopyState::Same => String::new(),
                CopyState::Missing => "would be made".to_owned(),
                CopyState::Drifted { differences } => differences.join("; "),
                CopyState::Foreign { reason } | CopyState::Failed { reason } => reason.clone(),
            };
            table.line([job.clone(), master.clone(), state.word().to_owned(), more]);
        }
    }
    table.text()
}

fn agreed(count: usize) -> Result<bool, BridgeError> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    complain(&format!("Make or mend the copies of {count} job(s)? Type yes:"));
    let mut line = String::new();
    let mut input = std::io::stdin().lock();
    input.read_line(&mut line).map_err(|error| BridgeError::io("read the answer", error))?;
    Ok(line.trim() == "yes")
}
