//! `exec-server`: the entry point of a tool container. It serves the steps that the agent sends, runs the
//! container's own command where there is one, and ends as that does.

use std::io::{self, Write as _};
use std::path::Path;

use pilotfish_exec::{MainProcess, Server, ServerOptions, forget_last_words, leave_last_words};
use pilotfish_process::{Environment, ExitStatus, ProcessError};
use rustix::io::Errno;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::level_filters::LevelFilter;

use crate::cli::ExecServerOptions;
use crate::exit::Exit;
use crate::unix::{send_signal, share_files_with_group};

/// What is passed on to the container's own command. Without one, those of [`ENDING`] end the server, and
/// the others do nothing, where the kernel would end a process that is not PID 1.
const PASSED_ON: [Signal; 7] = [
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
];

/// What asks a process to end.
const ENDING: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

/// How many signals wait to be passed on.
const WAITING_SIGNALS: usize = 16;

/// Serves until the container is told to stop, or its own command ends: with what that ends.
///
/// # Errors
/// Why it could not begin: [`Exit::Failure`] without a socket, [`Exit::CommandNotFound`] or
/// [`Exit::CommandNotExecutable`] without the command. The reason is in the container's log, and beside the
/// socket for the agent.
pub fn run(options: ExecServerOptions, environment: Environment) -> Result<u8, Exit> {
    log_to_standard_error();
    // What a step leaves in the workspace, one in another container goes on with, as another user.
    share_files_with_group();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(&format!("no event loop: {error}")))?;
    runtime.block_on(serve(options, environment))
}

async fn serve(options: ExecServerOptions, environment: Environment) -> Result<u8, Exit> {
    let ExecServerOptions { socket, allowed_users, command } = options;
    // First of all: the kernel drops a signal that PID 1 has no handler for, and whoever sees the socket may send one.
    let mut signals = signals().map_err(|error| failed(&format!("no signal handlers: {error}")))?;
    let server = Server::bind(ServerOptions {
        socket: socket.clone(),
        allowed_users,
        environment: environment.clone(),
    });
    let server = server.and_then(|server| forget_last_words(&socket).map(|()| server));
    let server = server.map_err(|error| {
        failed(&format!(
            "{} cannot be listened at: {error}; the directory must be writable for user {}",
            socket.display(),
            rustix::process::geteuid().as_raw()
        ))
    })?;
    tracing::info!("steps of this container are served at {}", socket.display());
    let attended = server.attendance();
    tokio::spawn(server.serve());
    if command.is_empty() {
        asked_to_end(&mut signals).await;
        // A pod that is deleted has all of its containers told at once, and the agent waits for its builds.
        tokio::select! {
            () = attended.over() => {}
            () = asked_to_end(&mut signals) => {}
        }
        leave(&socket, "it was told to stop", &[]);
        return Ok(Exit::Success.code());
    }
    let program = command.first().cloned().unwrap_or_default();
    let main = match MainProcess::start(command, &environment).await {
        Ok(main) => main,
        Err(error) => {
            leave(&socket, &format!("its command cannot be started: {error}"), &[]);
            let _ = failed(&format!("{program} cannot be started: {error}"));
            return Err(match error {
                ProcessError::CannotRun { errno, .. } if errno == Errno::NOENT.raw_os_error() => {
                    Exit::CommandNotFound
                }
                _ => Exit::CommandNotExecutable,
            });
        }
    };
    let pid = main.pid();
    let passing = tokio::spawn(async move {
        while let Some(signal) = signals.recv().await {
            send_signal(pid, signal.as_raw());
        }
    });
    let (status, lines) = main.ended().await;
    // Its number may be another process's from now on.
    passing.abort();
    leave(&socket, &format!("its command ended {}", how(status)), &lines);
    Ok(u8::try_from(status.code()).unwrap_or(u8::MAX))
}

async fn asked_to_end(signals: &mut mpsc::Receiver<Signal>) {
    while let Some(signal) = signals.recv().await {
        if ENDING.contains(&signal) {
            return;
        }
    }
}

fn how(status: ExitStatus) -> String {
    match status {
        ExitStatus::Exited(code) => format!("with exit code {code}"),
        ExitStatus::Signaled(signal) => format!("by signal {signal}"),
        _ => "in a way that nobody saw".to_owned(),
    }
}

/// All signals, in the order in which they come.
fn signals() -> io::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel(WAITING_SIGNALS);
    for one in PASSED_ON {
        let mut stream = signal(SignalKind::from_raw(one.as_raw()))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if sender.send(one).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(receiver)
}

fn leave(socket: &Path, how: &str, lines: &[String]) {
    if let Err(error) = leave_last_words(socket, how, lines) {
        tracing::warn!("the agent will not know how this container ended ({how}): {error}");
    }
}

/// The container's log is its standard error; whatever follows logs adds the time.
fn log_to_standard_error() {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(LevelFilter::INFO)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .finish();
    // A second one in the same process is a test's.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

fn failed(problem: &str) -> Exit {
    let _ = writeln!(io::stderr().lock(), "pilotfish-agent exec-server: {problem}");
    Exit::Failure
}
