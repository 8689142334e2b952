//! Everything that asks a Unix system: the rest of the crate makes no system call.

mod children;
mod handle;
mod init;
mod own;
mod procfs;
mod spawn;
mod stream;

pub(crate) use children::{SigchldStream, become_subreaper, reap_orphans};
pub(crate) use handle::{Sent, TargetProcess, kill_now};
pub(crate) use init::run_as_init;
pub(crate) use own::own_usage;
pub(crate) use procfs::{arguments_of, environment_of, list_processes, memory_of, state_of};
pub(crate) use spawn::start;
pub use spawn::{OwnEnds, StreamEnds};
pub use stream::{InputWriter, OutputReader};
