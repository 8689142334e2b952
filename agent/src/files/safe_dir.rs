//! A directory that archives are unpacked into without ever leaving it.
//!
//! Every directory on the way to an entry is opened from its parent's descriptor without following links, so
//! neither `..` nor a link, however it got there and whenever it appears, leads outside.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::{absolutize, create_directories};
use super::{Cancel, FileError, Result};
use crate::confine::check_found;

/// What happens when an entry lies below, or would overwrite, a symbolic link that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkPolicy {
    /// Such an entry is an error, as Jenkins has it on the controller.
    #[default]
    Never,
    /// Links that existed before are followed, as Jenkins has it on agents (a workspace directory may be a link
    /// to another disk). Links made by the archive itself are still an error.
    FollowExisting,
}

/// Why an entry was refused.
#[derive(Debug)]
pub(super) enum Refused {
    /// A directory on the way is a link.
    LinkInPath,
    /// The entry itself is a link already.
    LinkInPlace(PathBuf),
    /// The system said no.
    Failed(FileError),
}

impl From<FileError> for Refused {
    fn from(error: FileError) -> Self {
        Self::Failed(error)
    }
}

type Checked<T> = std::result::Result<T, Refused>;

pub(super) struct SafeDir {
    base: PathBuf,
    root: Option<OwnedFd>,
    /// The directory of the entry before, which most often is also that of the next.
    last: Option<(Vec<u8>, OwnedFd)>,
    policy: LinkPolicy,
    own_links: HashSet<Vec<u8>>,
}

/// The components of an entry's name with `.` and `..` resolved by text; `None` if it leads out of the directory.
/// A leading `/` counts for nothing, as in `new File(parent, child)`.
pub(super) fn components(name: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts)
}

impl SafeDir {
    /// `base` is created, with its parents, once something goes into it.
    pub(super) fn new(base: &Path, policy: LinkPolicy) -> Self {
        Self { base: absolutize(base), root: None, last: None, policy, own_links: HashSet::new() }
    }

    pub(super) fn path(&self, parts: &[&[u8]]) -> PathBuf {
        let mut path = self.base.clone();
        path.extend(parts.iter().map(|part| OsStr::from_bytes(part)));
        path
    }

    /// A directory entry; one that exists in any form stays as it is.
    pub(super) fn make_dir(&mut self, parts: &[&[u8]]) -> Checked<()> {
        let Some((name, parents)) = parts.split_last() else { return Ok(()) };
        let path = self.path(parts);
        let parent = self.enter(parents)?;
        match rustix::fs::mkdirat(parent, *name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(FileError::at(error, &path).into()),
        }
    }

    /// Opens a file for writing, emptied, as `Files#newOutputStream` does.
    pub(super) fn create_file(&mut self, parts: &[&[u8]]) -> Checked<File> {
        let Some((name, parents)) = parts.split_last() else {
            return Err(FileError::io("an archive entry has no name").into());
        };
        let path = self.path(parts);
        let own = self.own_links.contains(&join(parts));
        let follow = self.policy == LinkPolicy::FollowExisting && !own;
        if follow {
            check_found(&path)?;
        }
        let parent = self.enter(parents)?;
        // Without NONBLOCK a pipe of that name would block until somebody reads it.
        let mut flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NONBLOCK;
        if !follow {
            flags |= OFlags::NOFOLLOW;
        }
        match rustix::fs::openat(parent, *name, flags, Mode::from_raw_mode(0o666)) {
            Ok(fd) => Ok(File::from(fd)),
            Err(Errno::LOOP) if !follow => Err(Refused::LinkInPlace(path)),
            Err(error) => Err(FileError::at(error, &path).into()),
        }
    }

    /// A symbolic link; its target is only text and may say anything.
    ///
    /// As in Java, a link that cannot be made (a full directory is in its place) is no error: `Ok(false)`.
    pub(super) fn make_symlink(&mut self, parts: &[&[u8]], target: &[u8]) -> Checked<bool> {
        let Some((name, parents)) = parts.split_last() else { return Ok(false) };
        let path = self.path(parts);
        let parent = self.enter(parents)?;
        remove_at(parent, name);
        match rustix::fs::symlinkat(OsStr::from_bytes(target), parent, *name) {
            Ok(()) => {
                self.own_links.insert(join(parts));
                Ok(true)
            }
            Err(Errno::EXIST) => {
                tracing::warn!(path = %path.display(), "not replaced by a symbolic link: a directory with contents is there");
                Ok(false)
            }
            Err(error) => {
                let error = FileError::at(error, &path);
                tracing::warn!(%error, "symbolic link not made");
                Ok(false)
            }
        }
    }

    /// A hard link to another entry of the same directory.
    pub(super) fn make_hard_link(&mut self, parts: &[&[u8]], target: &[&[u8]]) -> Checked<()> {
        let (Some((name, parents)), Some((from, from_parents))) =
            (parts.split_last(), target.split_last())
        else {
            return Err(FileError::io("a hard link in the archive has no name").into());
        };
        if parts == target {
            return Ok(());
        }
        let (path, target_path) = (self.path(parts), self.path(target));
        let from_dir = self.enter_existing(from_parents)?;
        let parent = self.enter(parents)?;
        let failed = |error: Errno| FileError::between(error, &path, Some(&target_path));
        match rustix::fs::statat(&from_dir, *from, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => remove_at(parent, name),
            Err(error) => return Err(FileError::at(error, &target_path).into()),
        }
        rustix::fs::linkat(&from_dir, *from, parent, *name, AtFlags::empty()).map_err(failed)?;
        if self.own_links.contains(&join(target)) {
            self.own_links.insert(join(parts));
        }
        Ok(())
    }

    /// The descriptor of a directory below the base, made if it is missing.
    fn enter(&mut self, parts: &[&[u8]]) -> Checked<&OwnedFd> {
        if self.root.is_none() {
            create_directories(&self.base)?;
            let fd = rustix::fs::open(
                &self.base,
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .map_err(|error| FileError::at(error, &self.base))?;
            self.root = Some(fd);
        }
        let key = join(parts);
        let reuse = self.last.as_ref().is_some_and(|(path, _)| *path == key);
        if !reuse {
            let fd = self.descend(parts, true)?;
            self.last = Some((key, fd));
        }
        match (&self.last, parts.is_empty(), &self.root) {
            (_, true, Some(root)) => Ok(root),
            (Some((_, fd)), ..) => Ok(fd),
            _ => Err(FileError::io("the target directory is not open").into()),
        }
    }

    fn enter_existing(&mut self, parts: &[&[u8]]) -> Checked<OwnedFd> {
        self.enter(&[])?;
        self.descend(parts, false)
    }

    fn descend(&self, parts: &[&[u8]], create: bool) -> Checked<OwnedFd> {
        let Some(root) = &self.root else {
            return Err(FileError::io("the target directory is not open").into());
        };
        let mut fd = root.try_clone().map_err(|error| FileError::at(error, &self.base))?;
        for (index, part) in parts.iter().enumerate() {
            fd = self.step(&fd, part, &parts[..=index], create)?;
        }
        Ok(fd)
    }

    fn step(&self, dir: &OwnedFd, name: &[u8], path: &[&[u8]], create: bool) -> Checked<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |flags| rustix::fs::openat(dir, name, flags, Mode::empty());
        let mut opened = open(flags | OFlags::NOFOLLOW);
        if create && matches!(opened, Err(Errno::NOENT)) {
            match rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => opened = open(flags | OFlags::NOFOLLOW),
                Err(error) => return Err(FileError::at(error, &self.path(path)).into()),
            }
        }
        let error = match opened {
            Ok(fd) => return Ok(fd),
            Err(error) => error,
        };
        let link = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink());
        if !link {
            return Err(FileError::at(error, &self.path(path)).into());
        }
        if self.policy == LinkPolicy::Never || self.own_links.contains(&join(path)) {
            return Err(Refused::LinkInPath);
        }
        check_found(&self.path(path))?;
        open(flags).map_err(|error| FileError::at(error, &self.path(path)).into())
    }
}

/// Sets time and mode of a file just written. `mode` 0 means that the archive has none.
pub(super) fn finish_file(
    file: &File,
    path: &Path,
    modified: Option<i64>,
    mode: u32,
) -> Result<()> {
    if let Some(seconds) = modified {
        set_modified(file, seconds).map_err(|error| FileError::at(error, path))?;
    }
    if mode != 0 {
        rustix::fs::fchmod(file, Mode::from_raw_mode(mode & 0o777))
            .map_err(|error| FileError::at(error, path))?;
    }
    Ok(())
}

fn set_modified(file: impl AsFd, seconds: i64) -> rustix::io::Result<()> {
    use rustix::fs::{Timespec, Timestamps, UTIME_OMIT};
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: 0 },
    };
    rustix::fs::futimens(file, &times)
}

/// Copies a reader into a file in large chunks.
pub(super) fn copy_into(
    from: &mut dyn io::Read,
    file: &mut File,
    path: &Path,
    cancel: &Cancel,
) -> Result<u64> {
    use std::io::Write;
    let mut buffer = vec![0; super::BUFFER];
    let mut total = 0;
    loop {
        cancel.check()?;
        let got = match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(FileError::stream(error)),
        };
        file.write_all(&buffer[..got]).map_err(|error| write_failed(&error, path))?;
        total += got as u64;
    }
}

/// Java reports a failed write without the file; say which one it was.
pub(super) fn write_failed(error: &io::Error, path: &Path) -> FileError {
    FileError::io(format!("{}: {}", path.display(), super::error::system_text(error)))
}

/// Removes what is in the way of a link: a file, a link, an empty directory.
fn remove_at(dir: &OwnedFd, name: &[u8]) {
    if matches!(rustix::fs::unlinkat(dir, name, AtFlags::empty()), Err(Errno::ISDIR | Errno::PERM))
    {
        let _ = rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR);
    }
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.join(&b'/')
}
