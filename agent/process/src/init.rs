//! Being PID 1 for one command, as `tini` or `docker run --init` is.
//!
//! PID 1 has two duties that an ordinary program does not know of: the kernel gives it every orphan,
//! which it must reap, and signals that it does not handle do nothing to it. So a program started as
//! PID 1 would leave zombies and ignore `docker stop`. [`run_as_init`] does both for it:
//!
//! | signal | what happens |
//! |---|---|
//! | SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGTSTP, SIGCONT, SIGWINCH | sent on to the command |
//! | SIGCHLD | orphans are reaped |
//! | all others | stay with PID 1 (faults, job control of the terminal) |
//!
//! The command leads a process group of its own, which is given the terminal if there is one: a
//! Ctrl-C then reaches it once, from the terminal, and not a second time from here.

use std::ffi::OsStr;
use std::io;

use crate::{ExitStatus, unix};

/// Runs a command to its end with this process as its init, and says how it ended. What it leaves
/// running ends with this process, by the kernel's hand.
///
/// The command gets the environment, the working directory and the streams of this process.
///
/// # Errors
/// As `exec` has them: [`io::ErrorKind::NotFound`] for a command that is not there, any other for
/// one that cannot be executed; also when signals cannot be handled.
pub fn run_as_init(command: &OsStr) -> io::Result<ExitStatus> {
    unix::run_as_init(command)
}
