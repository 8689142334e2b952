//! The pod's side: executes the plan that it was given.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use pilotfish_exec::Containers;
use pilotfish_process::Reaper;
use rustix::fs::Mode;

use super::emit::Emitter;
use super::handover::Handover;
use super::wire::{Message, PROTOCOL, SUITES};
use crate::error::BridgeError;
use crate::pod::SOCKETS;
use crate::run::{
    Cancel, PodContainers, RunOptions, RunResult, RuntimeChoice, StageSuites, run_with_suites,
};

/// Executes the plan in a directory that was handed over, in the directory that this process is
/// in, and tells everything to `output`; the exit code.
pub async fn work(
    directory: &Path,
    output: impl Write + Send + 'static,
    cancel: Cancel,
) -> Result<u8, BridgeError> {
    let emitter = Arc::new(Emitter::new(output));
    let version = env!("CARGO_PKG_VERSION").to_owned();
    emitter.tell(Message::Hello { protocol: PROTOCOL, version });
    match execute(directory, &emitter, cancel).await {
        Ok((mut result, suites)) => {
            bring_back(&emitter, &mut result, &suites);
            let code = result.exit_code();
            emitter.tell(Message::Result { result: Box::new(result) });
            Ok(code)
        }
        Err(error) => {
            emitter.tell(Message::Problem { text: error.to_string() });
            Err(error)
        }
    }
}

async fn execute<W: Write + Send + 'static>(
    directory: &Path,
    emitter: &Arc<Emitter<W>>,
    cancel: Cancel,
) -> Result<(RunResult, StageSuites), BridgeError> {
    share_files_with_group();
    if Reaper::is_needed() {
        tokio::spawn(Reaper::new()?.run());
    }
    let handover = Handover::read(directory)?;
    let build = std::env::var("PILOTFISH_BUILD").unwrap_or_default();
    let containers = Containers::below(SOCKETS);
    let containers =
        Arc::new(PodContainers::new(containers, handover.routes, handover.other_users, build));
    // Held until the end of the run, and not waited for: an image may still be on its way.
    let attended = Arc::clone(&containers);
    let attended = tokio::spawn(async move {
        let _all = attended.attend().await;
        std::future::pending::<()>().await;
    });
    let here = std::env::current_dir().map_err(|e| BridgeError::io("find this directory", e))?;
    let credentials = handover.credentials.into_iter();
    let options = RunOptions {
        workspace: here.join("workspace"),
        output: here.join("run"),
        start: here.join("source"),
        runtime: RuntimeChoice::Pod,
        with_effects: handover.with_effects,
        approve: handover.approve,
        ignore_missing_tools: true,
        credentials: credentials.map(|(id, name)| (id, directory.join(name))).collect(),
        changed_files: handover.changed_files,
        pod: Some(containers),
    };
    let ended = run_with_suites(&handover.document, &options, emitter.clone(), cancel).await;
    attended.abort();
    ended
}

/// Containers of other users read and write the files of this one: the group is the same.
fn share_files_with_group() {
    let before = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::umask(before - Mode::RWXG);
}

/// Tells the results of tests and the files that stages keep.
fn bring_back<W: Write>(emitter: &Emitter<W>, result: &mut RunResult, suites: &StageSuites) {
    let mut notes = Vec::new();
    if !suites.is_empty()
        && let Ok(text) = serde_json::to_vec(suites)
        && let Err(why) = emitter.content(SUITES, text.len() as u64, text.as_slice())
    {
        notes.push(format!("the results of tests are not brought back: {why}"));
    }
    let Ok(here) = std::env::current_dir() else { return };
    for path in result.stages.iter().flat_map(|stage| &stage.artifacts) {
        if let Err(why) = emitter.file(path, &here.join("run").join(path)) {
            notes.push(format!("{path} is not brought back: {why}"));
        }
    }
    result.notes.extend(notes);
}
