//! Whose zombie is it? Keeps the children this crate waits for apart from adopted orphans.

use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::init::exit_status;
use super::procfs;
use crate::{ExitStatus, ProcessState};

/// Held for reading from before a process exists until it is in [`OWN`], for writing while orphans
/// are reaped: a child that ends at once must not be taken for an orphan.
static STARTING: RwLock<()> = RwLock::new(());

/// The numbers of the children tokio waits for.
static OWN: Mutex<Option<HashSet<u32>>> = Mutex::new(None);

fn own() -> MutexGuard<'static, Option<HashSet<u32>>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a process and notes that its status is ours.
pub(super) fn started_by_us<T>(start: impl FnOnce() -> io::Result<(u32, T)>) -> io::Result<T> {
    let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    let (pid, started) = start()?;
    own().get_or_insert_default().insert(pid);
    Ok(started)
}

/// Notes that the status of one of our children was collected.
pub(super) fn reaped(pid: u32) {
    if let Some(own) = own().as_mut() {
        own.remove(&pid);
    }
}

/// An orphan that was reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReapedOrphan {
    pub(crate) pid: u32,
    pub(crate) status: ExitStatus,
}

/// Collects the status of every zombie child that is not [`OWN`]; `None` while a process is being
/// started, which may take long on a file system that hangs: the caller looks again later.
///
/// Asking for "any child" would take the statuses of our own children, so the zombies are found in
/// the process list and waited for one by one. The list is read only if the kernel says that there
/// is a zombie at all.
pub(crate) fn reap_orphans() -> io::Result<Option<Vec<ReapedOrphan>>> {
    let _nobody_starts = match STARTING.try_write() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return Ok(None),
    };
    let mut reaped = Vec::new();
    if !any_zombie()? {
        return Ok(Some(reaped));
    }
    let parent = std::process::id();
    for process in procfs::list_processes()? {
        let pid = process.identity.pid;
        let orphan = process.state == ProcessState::Zombie
            && process.parent == parent
            && !own().as_ref().is_some_and(|own| own.contains(&pid));
        if !orphan {
            continue;
        }
        let Some(wait_for) = to_pid(pid) else { continue };
        match rustix::process::waitpid(Some(wait_for), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => {
                reaped.push(ReapedOrphan { pid, status: exit_status(status) });
            }
            // It was reaped since the list was made: by tokio, or by other code of this process.
            Ok(None) | Err(Errno::CHILD) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(Some(reaped))
}

/// Whether this process has a child that ended and was not waited for.
fn any_zombie() -> io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match rustix::process::waitid(WaitId::All, options) {
        Ok(status) => Ok(status.is_some()),
        Err(Errno::CHILD) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Makes orphans among the descendants of this process its children, as they are for PID 1.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // Any process number will do for "yes"; rustix takes one because that is how it reads back.
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Says when a child has ended. Several ends may come as one.
#[derive(Debug)]
pub(crate) struct SigchldStream(Signal);

impl SigchldStream {
    pub(crate) fn new() -> io::Result<Self> {
        signal(SignalKind::child()).map(Self)
    }

    /// The next end; `false` when there will be none any more.
    pub(crate) async fn next(&mut self) -> bool {
        self.0.recv().await.is_some()
    }
}

pub(super) fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}
