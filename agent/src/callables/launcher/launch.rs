//! `RemoteLaunchCallable`: starts a process and answers with a proxy of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use java_object_stream::{Node, from_java};
use jenkins_remoting::channel::{Call, IoScope, Reply, Throwable};
use jenkins_remoting::{input_of, output_of};
use pilotfish_exec::{Container, ErrorStream};
use pilotfish_process::{
    Child, Command, Environment, ErrorTarget, InputSource, OutputTarget, ProcessError,
    format_command_line,
};

use super::super::listener::{Listener, Listeners};
use super::super::{Connection, unknown};
use super::process::{Input, Output, Process, REMOTE_PROCESS};
use super::{ending, failed, in_container};
use crate::drain::build_of;
use crate::memory::{NewStep, task_log};
use crate::usage::stage_of;

from_java! {
    /// The fields of `hudson.Launcher$RemoteLaunchCallable`.
    struct Launch<'g> {
        command: Vec<String> = "cmd",
        masks: Option<Vec<bool>> = "masks",
        environment: Option<Vec<String>> = "env",
        filter: Node<'g> = "envVarsFilterRuleWrapper",
        directory: Option<String> = "workDir",
        quiet: bool = "quiet",
        listener: Node<'g> = "listener",
        stdin: Node<'g> = "in",
        stdout: Node<'g> = "out",
        stdout_listener: Node<'g> = "stdoutListener",
        stderr: Node<'g> = "err",
        reverse_stdin: bool = "reverseStdin",
        reverse_stdout: bool = "reverseStdout",
        reverse_stderr: bool = "reverseStderr",
    }
}

/// Marks every process of a launch, so that they can be found even when they left its group.
const COOKIE: &str = "HUDSON_COOKIE";

pub(super) fn launch<'a>(
    connection: &'a Connection,
    call: &'a Call,
    callable: Node<'a>,
) -> BoxFuture<'a, Reply> {
    async move { start(connection, call, callable).await.into() }.boxed()
}

async fn start(
    connection: &Connection,
    call: &Call,
    callable: Node<'_>,
) -> Result<java_object_stream::Datum, Throwable> {
    let launch: Launch<'_> = callable.read()?;
    refuse_filters(launch.filter)?;
    let context = &connection.context;
    let overrides = launch.environment.as_deref().unwrap_or_default();
    let build = build_of(overrides);
    let trace = overrides.iter().find_map(|one| one.strip_prefix("TRACEPARENT="));
    call.note(|note| note.trace_parent = trace.map(str::to_owned));
    if let Err(draining) = context.drain.launch(overrides) {
        tracing::info!(build, "refused: the agent is draining");
        unknown::give_back(call, callable);
        return Err(Throwable::io(draining.to_string()));
    }
    let environment = build_environment(&context.environment, launch.environment.as_deref())
        .map_err(|error| failed(&error))?;

    check_streams(&launch)?;

    // The listeners' output belongs to the process from now on, and to this answer.
    let scope = IoScope::new();
    let mut listeners = Listeners::detached(call, scope.clone());
    print_command_line(&launch, &mut listeners).await?;

    let cookie = uuid::Uuid::new_v4().to_string();
    let stage = stage_of(overrides);
    let start = match in_container::container_of(context, overrides)? {
        Some(container) => {
            let directory = launch.directory.as_deref();
            let apart = !launch.stderr.is_null() || launch.reverse_stderr;
            let (request, task) =
                in_container::request(context, &launch.command, overrides, directory, &cookie);
            let request = pilotfish_exec::Launch {
                stderr: if apart { ErrorStream::Apart } else { ErrorStream::Output },
                // Where nobody is told, nothing is measured.
                stage: stage.clone().filter(|_| context.usages.is_some()),
                ..request
            };
            Start::In(container, request, task)
        }
        None => {
            let (command, task) = command(connection, &launch, environment, &cookie)
                .map_err(|error| failed(&error))?;
            Start::Here(command, task)
        }
    };
    let stdout = stdout(call, &launch, &mut listeners, &scope)?;
    let stderr = if launch.stderr.is_null() {
        launch.reverse_stderr.then_some(Output::Reversed)
    } else {
        Some(Output::Stream(call.channel().output(output_of(launch.stderr)?, scope.clone(), 0)))
    };
    let stdin = if launch.stdin.is_null() {
        launch.reverse_stdin.then_some(Input::Reversed)
    } else {
        Some(Input::Stream(call.channel().input(input_of(launch.stdin)?)))
    };
    drop(listeners);

    let step = |log, container: Option<&Container>| NewStep {
        label: build.unwrap_or_else(|| "a process".to_owned()),
        cookie: cookie.clone(),
        log,
        container: container.map(|one| one.name().to_owned()),
        measured: None,
    };
    let (child, ending, container) = match start {
        Start::In(container, request, task) => {
            let started = async {
                in_container::attend(context, &container).await?;
                container.launch(request).await
            };
            let started = started.await.map_err(|error| Throwable::io(error.to_string()))?;
            let (step, name) = (step(task, Some(&container)), container.name().to_owned());
            let ending = ending::in_container(context, step, stage, name, started.end);
            (started.child, ending, Some(container))
        }
        Start::Here(command, task) => {
            let child: Child = command.start().await.map_err(|error| failed(&error))?;
            (child, ending::here(context, step(task, None), stage), None)
        }
    };
    call.scope().include(&scope);
    let process = Process::run(child, cookie, stdin, stdout, stderr, scope, (ending, container));
    Ok(call.channel().export_object(Arc::new(process), &REMOTE_PROCESS))
}

/// A durable task begins with it.
const NOHUP: &str = "nohup";

/// Starts a durable task without `nohup`: it has no terminal that could hang up, and not every image has it.
pub(super) fn without_nohup(arguments: &mut Vec<String>, is_task: bool) {
    if is_task && arguments.first().is_some_and(|first| first == NOHUP) {
        arguments.remove(0);
    }
}

/// How a process is started; a durable task has a log of its own.
enum Start {
    /// Beside the agent.
    Here(Command, Option<PathBuf>),
    /// In a sibling container.
    In(Container, pilotfish_exec::Launch, Option<PathBuf>),
}

/// Everything that the request brings along is understood: nothing of it has been taken until here.
fn check_streams(launch: &Launch<'_>) -> Result<(), Throwable> {
    if !launch.quiet {
        Listeners::check(launch.listener)?;
    }
    if launch.stdout.is_null() && !launch.reverse_stdout {
        Listeners::check(launch.stdout_listener)?;
    }
    for stream in [launch.stdout, launch.stderr] {
        if !stream.is_null() {
            output_of(stream)?;
        }
    }
    if !launch.stdin.is_null() {
        input_of(launch.stdin)?;
    }
    Ok(())
}

/// Rules that rewrite the environment are code of their plugins.
fn refuse_filters(filter: Node<'_>) -> Result<(), Throwable> {
    if filter.is_null() || filter.field("rules")?.elements()?.is_empty() {
        return Ok(());
    }
    Err(unknown::limit("apply the environment filter rules of this job"))
}

/// The agent's environment with the job's on top (`Launcher.inherit`).
fn build_environment(
    base: &Environment,
    overrides: Option<&[String]>,
) -> Result<Environment, ProcessError> {
    let mut environment = base.clone();
    if let Some(overrides) = overrides {
        environment.override_expanding_all(&Environment::from_overrides(overrides)?)?;
    }
    Ok(environment)
}

/// What the launcher prints before it starts the command, unless told not to.
async fn print_command_line(
    launch: &Launch<'_>,
    listeners: &mut Listeners,
) -> Result<(), Throwable> {
    let listener = listeners.read(launch.listener);
    if launch.quiet {
        // Read all the same, so that its stream is given back; what it is does not matter then.
        return Ok(());
    }
    // `java.io.File` drops slashes at the end, and the launcher prints the last name of what is left.
    let directory = launch.directory.as_deref().map(|directory| directory.trim_end_matches('/'));
    let mut line = format_command_line(&launch.command, launch.masks.as_deref(), directory);
    line.push('\n');
    let mut listener = listener?;
    let written = async {
        listener.write(line.as_bytes()).await?;
        listener.finish().await
    };
    written.await.map_err(|error| Throwable::io(error.to_string()))
}

fn command(
    connection: &Connection,
    launch: &Launch<'_>,
    mut environment: Environment,
    cookie: &str,
) -> Result<(Command, Option<PathBuf>), ProcessError> {
    let mut arguments = launch
        .command
        .iter()
        .map(|argument| environment.expand(argument))
        .collect::<Result<Vec<_>, _>>()?;
    environment.insert(COOKIE, cookie);
    let task = task_log(&mut arguments);
    let search_path = connection.context.search_path.clone();
    if !search_path.has(NOHUP) {
        without_nohup(&mut arguments, task.is_some());
    }
    let apart = !launch.stderr.is_null() || launch.reverse_stderr;
    let mut command = Command::new(arguments, search_path)
        .environment(environment)
        // One that nobody writes to is closed at once, as by Java: not the null device.
        .stdin(InputSource::Piped)
        .stdout(OutputTarget::Piped)
        .stderr(if apart { ErrorTarget::Piped } else { ErrorTarget::Output });
    if let Some(directory) = &launch.directory {
        command = command.directory(Path::new(directory));
    }
    Ok((command, task))
}

fn stdout(
    call: &Call,
    launch: &Launch<'_>,
    listeners: &mut Listeners,
    scope: &IoScope,
) -> Result<Output, Throwable> {
    if !launch.stdout.is_null() {
        let oid = output_of(launch.stdout)?;
        return Ok(Output::Stream(call.channel().output(oid, scope.clone(), 0)));
    }
    if launch.reverse_stdout {
        return Ok(Output::Reversed);
    }
    let listener: Listener = listeners.read(launch.stdout_listener)?;
    Ok(Output::Listener(listener))
}
