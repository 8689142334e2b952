//! A started process and how it ended.

use std::fmt;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::unix::{InputWriter, OutputReader, OwnEnds, TargetProcess};
use crate::{ProcessIdentity, ProcessState};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitStatus {
    /// It exited with this code, 0 to 255.
    Exited(i32),
    /// A signal of this number ended it.
    Signaled(i32),
    /// It is gone, but its status went to somebody else in this process: a defect, logged.
    Lost,
}

impl ExitStatus {
    /// The exit code as `java.lang.Process.waitFor` gives it: the code itself, or 128 plus the
    /// number of the signal. -1 for a lost status.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 0x80 + signal,
            Self::Lost => -1,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Signaled(signal) => write!(f, "killed by signal {signal}"),
            Self::Lost => write!(f, "exit status lost"),
        }
    }
}

/// A started process.
///
/// The process is waited for in the background from its start, so it never stays a zombie, and
/// dropping this value neither stops it nor loses anything but the streams: those that were not
/// taken are closed.
#[derive(Debug)]
pub struct Child {
    identity: ProcessIdentity,
    exit: ExitWatch,
    /// Writes to the standard input, if it was asked for as a pipe. Drop it to end the input.
    pub stdin: Option<InputWriter>,
    /// Reads the standard output, if it was asked for as a pipe; the error stream too, if that was
    /// merged into it.
    pub stdout: Option<OutputReader>,
    /// Reads the standard error, if it was asked for as a pipe of its own.
    pub stderr: Option<OutputReader>,
}

impl Child {
    pub(crate) fn new(identity: ProcessIdentity, exit: ExitWatch, own: OwnEnds) -> Self {
        let OwnEnds { stdin, stdout, stderr } = own;
        Self { identity, exit, stdin, stdout, stderr }
    }

    /// A process that somebody else started where this one sees it not, as in another container. Its
    /// identity matches no process: what ends it must go where it is.
    #[must_use]
    pub fn elsewhere(exit: ExitWatch, own: OwnEnds) -> Self {
        Self::new(ProcessIdentity { pid: 0, start_time: 0 }, exit, own)
    }

    /// Which process it is; [`Killer::kill_tree`](crate::Killer::kill_tree) takes it.
    #[must_use]
    pub fn identity(&self) -> ProcessIdentity {
        self.identity
    }

    /// The number of the process, which is that of its process group too.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.identity.pid
    }

    /// A handle on the end of the process that outlives this value and can be cloned.
    #[must_use]
    pub fn exit_watch(&self) -> ExitWatch {
        self.exit.clone()
    }

    /// Waits until the process has ended. Can be called any number of times, and dropped.
    pub async fn wait(&self) -> ExitStatus {
        self.exit.wait().await
    }

    /// How the process ended, or `None` while it runs.
    #[must_use]
    pub fn try_status(&self) -> Option<ExitStatus> {
        self.exit.try_status()
    }

    /// Whether the process still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.try_status().is_none()
    }

    /// Ends this process alone at once, with SIGKILL; its children go on. Nothing happens if it has ended.
    ///
    /// # Errors
    /// When the system refuses the signal.
    pub fn kill(&self) -> std::io::Result<()> {
        match TargetProcess::open(self.identity) {
            Some(process) => process.kill().map(drop),
            None => Ok(()),
        }
    }

    /// What the system says about the process, `None` once it is gone.
    #[must_use]
    pub fn state(&self) -> Option<ProcessState> {
        crate::unix::state_of(self.identity)
    }
}

/// Tells how and when a process ended. Cheap to clone; any number of tasks can wait.
#[derive(Debug, Clone)]
pub struct ExitWatch(watch::Receiver<Option<(ExitStatus, Instant)>>);

/// Tells the watches of a process elsewhere how it ended. Dropped unused, the status is lost.
#[derive(Debug)]
pub struct ExitSender(watch::Sender<Option<(ExitStatus, Instant)>>);

impl ExitSender {
    /// The process has ended now.
    pub fn ended(self, status: ExitStatus) {
        self.0.send_replace(Some((status, Instant::now())));
    }
}

impl ExitWatch {
    /// A watch of a process elsewhere, and what tells it of the end.
    #[must_use]
    pub fn elsewhere() -> (ExitSender, Self) {
        let (sender, watch) = Self::channel();
        (ExitSender(sender), watch)
    }

    /// The watch and the sender of its only value.
    pub(crate) fn channel() -> (watch::Sender<Option<(ExitStatus, Instant)>>, Self) {
        let (sender, receiver) = watch::channel(None);
        (sender, Self(receiver))
    }

    /// Waits until the process has ended.
    pub async fn wait(&self) -> ExitStatus {
        // A sender gone without a value is a runtime shutting down: nobody will learn the status.
        match self.0.clone().wait_for(Option::is_some).await {
            Ok(value) => value.map_or(ExitStatus::Lost, |(status, _)| status),
            Err(_) => ExitStatus::Lost,
        }
    }

    /// How the process ended, or `None` while it runs.
    #[must_use]
    pub fn try_status(&self) -> Option<ExitStatus> {
        self.0.borrow().map(|(status, _)| status)
    }

    /// When the end was noticed, or `None` while the process runs.
    #[must_use]
    pub fn ended_at(&self) -> Option<Instant> {
        self.0.borrow().map(|(_, at)| at)
    }
}
