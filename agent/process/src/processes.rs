//! The processes of the machine.

use std::io;
use std::time::Duration;

use crate::{Environment, ProcessError, unix};

/// A process, told from a later one that was given the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessIdentity {
    /// The number of the process.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did. 0 if that could not be learnt: such
    /// an identity matches no process.
    pub start_time: u64,
}

/// What a process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessState {
    /// It runs, sleeps or is stopped.
    Alive,
    /// It has ended, its parent has not asked for the status yet.
    Zombie,
}

/// What a process uses. `None` is what the system does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnUsage {
    /// Its memory that is resident, files included, in bytes.
    pub resident: Option<u64>,
    /// The processor time of all its threads.
    pub processor: Option<Duration>,
    /// How many descriptors it has open.
    pub descriptors: Option<usize>,
}

impl ProcessIdentity {
    /// Whether this very process still runs; a zombie does not.
    #[must_use]
    pub fn is_alive(self) -> bool {
        unix::state_of(self) == Some(ProcessState::Alive)
    }

    /// Its memory that only its end gives back, in bytes: private, shared by name, or swapped out.
    /// Files that the kernel can read again do not count.
    ///
    /// # Errors
    /// When it is gone.
    pub fn memory(self) -> io::Result<u64> {
        unix::memory_of(self)
    }

    /// Ends this very process with SIGKILL, without waiting; `false` if it is gone already. Works
    /// without a runtime.
    ///
    /// # Errors
    /// When it belongs to another user.
    pub fn kill(self) -> io::Result<bool> {
        unix::kill_now(self)
    }
}

/// A process as it was when the list was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Which process it is.
    pub identity: ProcessIdentity,
    /// The number of its parent; 0 for one without.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// Whether it runs.
    pub state: ProcessState,
    /// The name of its program, cut to 15 bytes by the system.
    pub name: String,
}

impl ProcessInfo {
    /// The environment it was started with. Later changes it made to it may or may not show.
    ///
    /// # Errors
    /// When it is gone or a zombie, or belongs to another user.
    pub fn environment(&self) -> io::Result<Environment> {
        unix::environment_of(self.identity)
    }

    /// Its arguments, the program first; empty for a zombie and for a thread of the kernel.
    ///
    /// # Errors
    /// When it is gone.
    pub fn arguments(&self) -> io::Result<Vec<String>> {
        unix::arguments_of(self.identity)
    }
}

/// All processes this one can see, in no order. Blocks for the time of some hundred small reads.
///
/// # Errors
/// [`ProcessError::ProcessList`] when the system has no list of processes, as without `/proc`.
pub fn processes() -> Result<Vec<ProcessInfo>, ProcessError> {
    unix::list_processes().map_err(ProcessError::ProcessList)
}

/// What this process uses itself. Blocks for the time of some small reads.
#[must_use]
pub fn own_usage() -> OwnUsage {
    unix::own_usage()
}
