//! Child processes by the rules of Jenkins: environment, streams, kill by cookie, reaping.
//!
//! The crate starts processes the way the Java launcher of Jenkins does, so that a build sees no
//! difference: the same environment merge ([`Environment`]), the same program look-up and error
//! texts ([`Command`]), the same exit codes ([`ExitStatus`]), the same wait for streams that
//! background processes keep open ([`OutputPump`]) and the same way of stopping what a build left
//! behind ([`Killer`]). It knows neither remoting nor Java classes.
//!
//! Linux first: every system call is made in the `unix` module, and nothing in the public
//! interface names a Unix type, so another platform needs one more such module.
//!
//! All of it needs a tokio runtime with input/output and time enabled.

#[cfg(not(unix))]
compile_error!(
    "pilotfish-process has no implementation for this platform yet: add one beside src/unix"
);

pub mod cgroup;
mod child;
mod command;
mod command_line;
mod environment;
mod error;
mod init;
mod kill;
mod output;
mod processes;
mod reaper;
mod unix;

pub use child::{Child, ExitSender, ExitStatus, ExitWatch};
pub use command::{Command, ErrorTarget, InputSource, OutputTarget, SearchPath};
pub use command_line::format_command_line;
pub use environment::{Environment, MAX_ENVIRONMENT_BYTES, MAX_EXPANDED_BYTES};
pub use error::ProcessError;
pub use init::run_as_init;
pub use kill::{KillReport, Killer, SOFT_KILL_WAIT};
pub use output::{
    AsyncWriteSink, LEAKED_DESCRIPTORS_GRACE, OutputPump, OutputSink, PumpEnd, PumpOutcome,
};
pub use processes::{OwnUsage, ProcessIdentity, ProcessInfo, ProcessState, own_usage, processes};
pub use reaper::Reaper;
pub use unix::{InputWriter, OutputReader, OwnEnds, StreamEnds};

#[cfg(test)]
mod tests;
