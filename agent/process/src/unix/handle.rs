//! A process that is to end, and the wait until it has.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::children::to_pid;
use super::procfs;
use crate::{ProcessIdentity, ProcessState};

/// How often a process is looked at where the kernel cannot tell of its end: first after this,
/// then after twice the time, up to the second.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LAST_LOOK: Duration = Duration::from_millis(100);

/// A process that can be signalled without ever hitting a later one with the same number.
#[derive(Debug)]
pub(crate) struct TargetProcess {
    identity: ProcessIdentity,
    /// `None` where pidfds are missing: before Linux 5.3, and in some sandboxes.
    pidfd: Option<AsyncFd<OwnedFd>>,
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It was sent.
    Delivered,
    /// The process is gone already.
    Gone,
    /// The process belongs to somebody else.
    Denied,
}

impl TargetProcess {
    /// `None` if the process is gone or a zombie.
    pub(crate) fn open(identity: ProcessIdentity) -> Option<Self> {
        let pid = to_pid(identity.pid)?;
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => watch(fd)
                .inspect_err(|error| tracing::debug!(%error, "cannot wait on a pidfd"))
                .ok(),
            Err(Errno::SRCH) => return None,
            Err(error) => {
                tracing::debug!(%error, "no pidfd, looking at /proc instead");
                None
            }
        };
        // Checked after opening: from here on the descriptor stands for this very process.
        let alive = procfs::state_of(identity) == Some(ProcessState::Alive);
        alive.then_some(Self { identity, pidfd })
    }

    /// Asks the process to end.
    pub(crate) fn terminate(&self) -> io::Result<Sent> {
        self.send(Signal::TERM)
    }

    /// Ends the process.
    pub(crate) fn kill(&self) -> io::Result<Sent> {
        self.send(Signal::KILL)
    }

    fn send(&self, signal: Signal) -> io::Result<Sent> {
        let by_descriptor = match &self.pidfd {
            Some(pidfd) => rustix::process::pidfd_send_signal(pidfd.get_ref(), signal),
            None => Err(Errno::NOSYS),
        };
        let result = match (by_descriptor, to_pid(self.identity.pid)) {
            // Either there is no such call, or a sandbox refuses it, or the process is not ours.
            (Err(Errno::NOSYS | Errno::PERM), Some(pid)) => {
                if self.is_gone() {
                    return Ok(Sent::Gone);
                }
                rustix::process::kill_process(pid, signal)
            }
            (result, _) => result,
        };
        match result {
            Ok(()) => Ok(Sent::Delivered),
            Err(Errno::SRCH) => Ok(Sent::Gone),
            Err(Errno::PERM) => Ok(Sent::Denied),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether the process has ended; a zombie has.
    fn is_gone(&self) -> bool {
        procfs::state_of(self.identity) != Some(ProcessState::Alive)
    }

    /// Waits until the process has ended. A zombie has: it may take its parent long to notice.
    pub(crate) async fn ended(&self) {
        if let Some(pidfd) = &self.pidfd {
            match pidfd.readable().await {
                Ok(_) => return,
                Err(error) => tracing::debug!(%error, "a pidfd failed, looking at /proc instead"),
            }
        }
        let mut pause = FIRST_LOOK;
        while !self.is_gone() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
    }
}

/// Ends a process at once, without a runtime; `false` if it is gone.
pub(crate) fn kill_now(identity: ProcessIdentity) -> io::Result<bool> {
    let alive = || procfs::state_of(identity) == Some(ProcessState::Alive);
    let Some(pid) = to_pid(identity.pid) else { return Ok(false) };
    let result = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        // Checked after opening: from here on the descriptor stands for this very process.
        Ok(_) if !alive() => return Ok(false),
        Ok(fd) => rustix::process::pidfd_send_signal(fd, Signal::KILL),
        Err(Errno::SRCH) => return Ok(false),
        Err(_) if !alive() => return Ok(false),
        Err(_) => rustix::process::kill_process(pid, Signal::KILL),
    };
    match result {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Has tokio watch a pidfd. It becomes readable when the process ends.
#[expect(
    deprecated,
    reason = "the successor is unsafe because a type may lie about its descriptor; OwnedFd owns \
              one descriptor for all its life and always names it"
)]
fn watch(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(pidfd, Interest::READABLE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Command, ExitStatus, SearchPath};

    #[tokio::test]
    async fn works_where_pidfds_are_missing() {
        let child = Command::new(["sleep", "1000"], SearchPath::new(None)).start().await.unwrap();
        let target = TargetProcess { identity: child.identity(), pidfd: None };
        assert_eq!(target.terminate().unwrap(), Sent::Delivered);
        target.ended().await;
        assert_eq!(child.wait().await, ExitStatus::Signaled(15));
        assert_eq!(target.terminate().unwrap(), Sent::Gone);
    }

    #[tokio::test]
    async fn never_reaches_another_process_with_the_same_number() {
        let child = Command::new(["cat"], SearchPath::new(None))
            .stdin(crate::InputSource::Piped)
            .start()
            .await
            .unwrap();
        let other =
            ProcessIdentity { start_time: child.identity().start_time + 1, ..child.identity() };
        assert!(TargetProcess::open(other).is_none());
        let unknown = TargetProcess { identity: other, pidfd: None };
        assert_eq!(unknown.kill().unwrap(), Sent::Gone);
        unknown.ended().await;
        assert!(child.is_alive());
        let mut child = child;
        child.stdin = None;
        assert_eq!(child.wait().await, ExitStatus::Exited(0));
    }
}
