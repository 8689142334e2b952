//! `run`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio::sync::mpsc;

use super::input::{RequestArguments, changed_files};
use super::remote::runtime;
use super::run_in_pod::{PodArguments, in_cluster};
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
    #[command(flatten)]
    pod: PodArguments,
    /// Directory in which the steps work; a new one in the output directory unless given.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "cluster")]
    workspace: Option<PathBuf>,
    /// Directory for logs, reports and artefacts.
    #[arg(long, value_name = "DIRECTORY", default_value = "pilotfish-run")]
    output: PathBuf,
    /// What runs the steps.
    #[arg(long, value_enum, default_value = "auto", conflicts_with = "cluster")]
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
        pod: None,
    };
    // A workspace that the run made itself starts empty; one that was given stays as it is.
    let here = arguments.pod.cluster().is_none();
    if here && arguments.workspace.is_none() && options.workspace.exists() {
        std::fs::remove_dir_all(&options.workspace)
            .map_err(|e| BridgeError::io(format!("empty {}", options.workspace.display()), e))?;
    }
    let document = planned.plan.into_document();
    let tree = if arguments.plain { None } else { TreeProgress::new(&document.plan) };
    let progress: Arc<dyn Progress> = match tree {
        Some(tree) => Arc::new(tree),
        None => Arc::new(PlainProgress::new(std::io::stderr(), true)),
    };
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        match arguments.pod.cluster() {
            Some(_) => in_cluster(&arguments.pod, &document, &options, progress).await,
            None => {
                let (stop, cancel) = Cancel::new();
                tokio::spawn(async move {
                    let mut interrupts = interrupts();
                    while interrupts.recv().await.is_some() {
                        stop.cancel();
                    }
                });
                run(&document, &options, progress, cancel).await
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

/// Hears each time that somebody wants this program to end, by the keyboard or by SIGTERM.
pub(super) fn interrupts() -> mpsc::Receiver<()> {
    let (told, heard) = mpsc::channel(4);
    tokio::spawn(async move {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
        loop {
            let terminated = async {
                match &mut terminate {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated => {}
            }
            if told.send(()).await.is_err() {
                return;
            }
        }
    });
    heard
}
