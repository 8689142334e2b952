//! `run`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::input::{RequestArguments, changed_files};
use super::{CatalogArguments, complain};
use crate::error::BridgeError;
use crate::run::{Cancel, PlainProgress, Progress, RunOptions, RuntimeChoice, TreeProgress, run};

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    #[command(flatten)]
    catalog: CatalogArguments,
    #[command(flatten)]
    request: RequestArguments,
    /// Directory in which the steps work; a new one in the output directory unless given.
    #[arg(long, value_name = "DIRECTORY")]
    workspace: Option<PathBuf>,
    /// Directory for logs, reports and artefacts.
    #[arg(long, value_name = "DIRECTORY", default_value = "pilotfish-run")]
    output: PathBuf,
    /// What runs the steps.
    #[arg(long, value_enum, default_value = "auto")]
    runtime: RuntimeChoice,
    /// Deploy, publish and notify in earnest; without it such stages are only rehearsed.
    #[arg(long)]
    with_effects: bool,
    /// Count approvals as given.
    #[arg(long)]
    approve: bool,
    /// Try stages whose tools are missing.
    #[arg(long)]
    ignore_missing_tools: bool,
    /// File with the secret of a credential; `user:password` for those with a user name.
    #[arg(long, value_name = "ID=FILE", value_parser = credential)]
    credential: Vec<(String, PathBuf)>,
    /// Plain lines with the output of the steps, also in a terminal.
    #[arg(long)]
    plain: bool,
}

fn credential(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((id, path)) if !id.is_empty() => Ok((id.to_owned(), path.into())),
        _ => Err("expected ID=FILE".to_owned()),
    }
}

pub(super) fn execute(arguments: &RunArguments) -> Result<u8, BridgeError> {
    let catalog = arguments.catalog.load()?;
    let planned = arguments.request.plan(&catalog)?;
    let start = std::env::current_dir().map_err(|e| BridgeError::io("find this directory", e))?;
    let workspace =
        arguments.workspace.clone().unwrap_or_else(|| arguments.output.join("workspace"));
    let options = RunOptions {
        workspace,
        output: arguments.output.clone(),
        start,
        runtime: arguments.runtime,
        with_effects: arguments.with_effects,
        approve: arguments.approve,
        ignore_missing_tools: arguments.ignore_missing_tools,
        credentials: arguments.credential.iter().cloned().collect::<BTreeMap<_, _>>(),
        changed_files: changed_files(arguments.request.changed_files.as_ref())?,
    };
    // A workspace that the run made itself starts empty; one that was given stays as it is.
    if arguments.workspace.is_none() && options.workspace.exists() {
        std::fs::remove_dir_all(&options.workspace)
            .map_err(|e| BridgeError::io(format!("empty {}", options.workspace.display()), e))?;
    }
    let document = planned.plan.into_document();
    let tree = if arguments.plain { None } else { TreeProgress::new(&document.plan) };
    let progress: Arc<dyn Progress> = match tree {
        Some(tree) => Arc::new(tree),
        None => Arc::new(PlainProgress::new(std::io::stderr(), true)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| BridgeError::io("start", e))?;
    let result = runtime.block_on(async {
        let (stop, cancel) = Cancel::new();
        let mut work = std::pin::pin!(run(&document, &options, progress, cancel));
        let interrupted = async {
            let mut terminate =
                tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
            let terminated = async {
                match &mut terminate {
                    Some(signal) => {
                        signal.recv().await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                () = terminated => {}
            }
        };
        tokio::select! {
            done = &mut work => done,
            () = interrupted => {
                stop.cancel();
                work.await
            }
        }
    })?;
    complain(&format!(
        "{}: {} — report {}",
        result.pipeline,
        result.outcome.word(),
        options.output.join("report.html").display()
    ));
    Ok(result.exit_code())
}
