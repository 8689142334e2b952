//! `diff`.

use std::path::PathBuf;

use clap::Args;

use super::input::jobs;
use super::{FAILED, PASSED, print};
use crate::catalog::Catalog;
use crate::error::BridgeError;
use crate::plan::diff::compare;

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct DiffArguments {
    /// Directory of the catalog, in a repository of git.
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    catalog: PathBuf,
    /// Revision before.
    #[arg(long, value_name = "REVISION")]
    from: String,
    /// Revision after; the working tree unless given.
    #[arg(long, value_name = "REVISION")]
    to: Option<String>,
    /// YAML or JSON file with the jobs to compare; the examples of the catalog unless given.
    #[arg(long, value_name = "FILE")]
    jobs: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(arguments: &DiffArguments) -> Result<u8, BridgeError> {
    let from = Catalog::load_revision(&arguments.catalog, &arguments.from)?;
    let to = match &arguments.to {
        Some(revision) => Catalog::load_revision(&arguments.catalog, revision)?,
        None => Catalog::load(&arguments.catalog)?,
    };
    let jobs = match &arguments.jobs {
        Some(path) => jobs(path)?,
        None => Vec::new(),
    };
    let comparison = compare(&from, &to, &jobs);
    if arguments.json {
        let text = serde_json::to_string_pretty(&comparison).unwrap_or_default();
        print(&format!("{text}\n"));
    } else {
        print(&comparison.to_text());
    }
    Ok(if comparison.breaks() { FAILED } else { PASSED })
}
