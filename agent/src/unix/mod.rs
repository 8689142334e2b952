//! What the agent asks a Unix system for, outside its two places with a system of their own: processes (crate
//! `pilotfish-process`, module `unix`) and the files of builds (module [`files`](crate::files), which works on
//! descriptors so that no link leads it astray).
//!
//! Another platform needs one more such module, with the same functions.

pub mod signals;

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::fs::{Access, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, Signal};

/// The room of a file system, in bytes and files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// All of it.
    pub(crate) total: u64,
    /// What this user may still take.
    pub(crate) available: u64,
    /// How many files there may be; 0 where the file system makes room as it needs it.
    pub(crate) files: u64,
    /// How many more files this user may make.
    pub(crate) available_files: u64,
}

/// Lets the group of new files and directories write to them too, for this process and what it starts.
pub(crate) fn share_files_with_group() {
    let before = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::umask(before - Mode::RWXG);
}

/// Whether this user may read a path (`java.io.File.canRead`).
pub(crate) fn can_read(path: &Path) -> bool {
    rustix::fs::access(path, Access::READ_OK).is_ok()
}

/// Whether this user may write to a path.
pub(crate) fn can_write(path: &Path) -> bool {
    rustix::fs::access(path, Access::WRITE_OK).is_ok()
}

/// Whether this user may list, enter and change a directory.
pub(crate) fn may_use_directory(path: &Path) -> io::Result<()> {
    rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)
        .map_err(io::Error::from)
}

/// The number of the user whose rights this process has.
pub(crate) fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The number of the user who started this process.
pub(crate) fn real_user() -> u32 {
    rustix::process::getuid().as_raw()
}

/// The number of the user whom a file belongs to.
pub(crate) fn owner(metadata: &Metadata) -> u32 {
    metadata.uid()
}

/// The room of the file system that a path is on.
pub(crate) fn room(path: &Path) -> io::Result<Room> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(Room {
        total: disk.f_blocks.saturating_mul(disk.f_frsize),
        available: disk.f_bavail.saturating_mul(disk.f_frsize),
        files: disk.f_files,
        available_files: disk.f_favail,
    })
}

/// Has files be made that nobody else can read.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Has nothing be opened but a plain file: a link would lead elsewhere, a pipe would block.
pub(crate) fn plain(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
}

/// Locks a file against other processes until it is closed; `false` if another one has it.
///
/// Some network file systems have no locks: that is no `false`.
pub(crate) fn lock(file: &File) -> bool {
    let locked = rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive);
    !matches!(locked, Err(Errno::WOULDBLOCK))
}

/// The error of a path with too many links.
pub(crate) fn too_many_links() -> io::Error {
    Errno::LOOP.into()
}

/// Whether an error says that the disk is full, or the user's share of it.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSPC | Errno::DQUOT))
}

/// Whether an error says that a file system is mounted read-only.
pub(crate) fn is_read_only(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::ROFS)
}

/// Has the kernel refuse this process's memory and environment to others of the same user.
pub(crate) fn make_undumpable() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(io::Error::from)
}

/// The bytes of a text of the system.
pub(crate) fn bytes_of(text: &OsStr) -> &[u8] {
    text.as_bytes()
}

/// A text of the system of these bytes.
pub(crate) fn text_of(bytes: Vec<u8>) -> OsString {
    OsString::from_vec(bytes)
}

/// Becomes another program; returns only if that fails.
pub fn become_program(command: &mut Command) -> io::Error {
    command.exec()
}

/// Sends a signal to a process. Nothing happens where it is gone.
pub(crate) fn send_signal(pid: u32, number: i32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let (Some(pid), Some(signal)) = (pid, Signal::from_named_raw(number)) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Has this process be ended as by SIGTERM.
pub(crate) fn end_this_process() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::TERM);
}
