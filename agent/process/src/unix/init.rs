//! The signals, the terminal and the zombies of a PID 1 that runs one command.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};

use super::children::{SigchldStream, to_pid};
use crate::ExitStatus;

/// What is sent on to the command.
const FORWARDED: [Signal; 10] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::TSTP,
    Signal::CONT,
    Signal::WINCH,
];

/// See [`crate::run_as_init`].
pub(crate) fn run_as_init(command: &OsStr) -> io::Result<ExitStatus> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(command))
}

async fn run(command: &OsStr) -> io::Result<ExitStatus> {
    // Before the command exists: a signal that comes in between is kept and then sent on.
    let mut ends = SigchldStream::new()?;
    let streams = FORWARDED
        .map(|one| Ok((one, signal(SignalKind::from_raw(one.as_raw()))?)))
        .into_iter()
        .collect::<io::Result<Vec<_>>>()?;
    let child = Command::new(command).process_group(0).spawn()?;
    let main = to_pid(child.id()).ok_or_else(|| io::Error::other("the command has no number"))?;
    give_terminal(main);
    for (kind, stream) in streams {
        tokio::spawn(forward(kind, stream, main));
    }
    loop {
        if let Some(status) = reap_until(main)? {
            // The event loop has one thread and is not given back to the forwarding tasks: no signal
            // can reach another process that gets the number from now on.
            return Ok(status);
        }
        ends.next().await;
    }
}

async fn forward(kind: Signal, mut stream: SignalStream, main: Pid) {
    while stream.recv().await.is_some() {
        let _ = rustix::process::kill_process(main, kind);
    }
}

/// Makes the command the terminal's foreground process, where there is a terminal.
fn give_terminal(main: Pid) {
    let terminal = rustix::stdio::stdin();
    if rustix::termios::isatty(terminal) && rustix::termios::tcsetpgrp(terminal, main).is_ok() {
        // One that reads before it has the terminal is stopped by the kernel.
        let _ = rustix::process::kill_process(main, Signal::CONT);
    }
}

/// Collects every child that has ended; the status of the command if it is among them.
fn reap_until(main: Pid) -> io::Result<Option<ExitStatus>> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == main => return Ok(Some(exit_status(status))),
            Ok(Some(_)) => {}
            Ok(None) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(Errno::CHILD) => return Ok(Some(ExitStatus::Lost)),
            Err(errno) => return Err(errno.into()),
        }
    }
}

pub(super) fn exit_status(status: WaitStatus) -> ExitStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitStatus::Exited(code),
        (None, Some(signal)) => ExitStatus::Signaled(signal),
        (None, None) => ExitStatus::Lost,
    }
}
