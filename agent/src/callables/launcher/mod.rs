//! Processes on behalf of the controller (`hudson.Launcher`).

mod ending;
mod in_container;
mod launch;
mod process;

use std::collections::BTreeMap;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use java_object_stream::{Datum, Node};
use jenkins_remoting::channel::{Call, Reply, Throwable};
use pilotfish_process::{Killer, ProcessError};

use super::answer::text;
use super::{Connection, Entry, Run};

pub(super) const ENTRIES: &[Entry] = &[
    Entry { class: "hudson.Launcher$RemoteLaunchCallable", run: Run::Async(launch::launch) },
    Entry { class: "hudson.Launcher$RemoteLauncher$KillTask", run: Run::Async(kill) },
    Entry { class: "hudson.tasks.Shell$DescriptorImpl$Shellinterpreter", run: Run::Now(shell) },
];

/// How often processes are looked for that others started while they were ended.
const MAX_ROUNDS: usize = 5;

/// The shell of freestyle jobs where an administrator has set none.
fn shell(_: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    Ok(text("/bin/sh"))
}

/// Ends all processes whose environment has the given variables: what a build left behind.
fn kill<'a>(
    connection: &'a Connection,
    call: &'a Call,
    callable: Node<'a>,
) -> BoxFuture<'a, Reply> {
    async move {
        let variables: BTreeMap<String, String> = match callable.read_field("modelEnvVars") {
            Ok(variables) => variables,
            Err(error) => return Reply::throw(error.into()),
        };
        // An agent that is itself part of a build has that build's variables, and so has its JVM.
        let killed = kill_all(&variables, call.channel().child_pid()).await;
        in_container::kill_everywhere(&connection.context, &variables).await;
        connection.context.drain.swept(variables.iter().map(|(name, value)| (&**name, &**value)));
        match killed {
            Ok(()) => Reply::null(),
            Err(error) => Reply::throw(failed(&error)),
        }
    }
    .boxed()
}

/// Looks again after each round: a shell whose child was ended may start the next one before it is
/// ended itself, as the heartbeat of a durable task does.
async fn kill_all(
    variables: &BTreeMap<String, String>,
    spared: Option<u32>,
) -> Result<(), ProcessError> {
    for _ in 0..MAX_ROUNDS {
        let report = Killer::new().excluding(spared).kill_matching(variables.clone()).await?;
        for survivor in &report.survivors {
            tracing::warn!(pid = survivor.pid, "a process of a build ignores SIGTERM and stays");
        }
        if report.signalled.len() == report.survivors.len() {
            break;
        }
    }
    Ok(())
}

/// Failures to start or end a process are `java.io.IOException`s with the texts that Java has.
fn failed(error: &ProcessError) -> Throwable {
    Throwable::io(error.to_string())
}
