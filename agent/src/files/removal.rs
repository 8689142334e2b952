//! Deleting files and directory trees, persistently: `jenkins.util.io.PathRemover` with Jenkins' default strategy.
//!
//! Three attempts with 0.1 s between them; what is not writable is made so; links are removed, never followed.

use std::ffi::{CString, OsStr};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::normalize;
use super::error::COMPOSITE_LIMIT;
use super::links::is_symlink;
use super::{Cancel, FileError, JavaClass, Result};

/// Java: `Util.DELETION_RETRIES`.
const RETRIES: usize = 2;
/// Java: `Util.WAIT_BETWEEN_DELETION_RETRIES`.
const WAIT: Duration = Duration::from_millis(100);

/// `FilePath$Delete`: one file, link or empty directory. Nothing there is fine.
///
/// # Errors
/// `Unable to delete '<path>'. Tried 3 times …` with a cause.
pub fn delete(path: &Path, cancel: &Cancel) -> Result<()> {
    let target = normalize(path);
    persist(path, cancel, |errors| {
        if let Err(error) = remove(&target) {
            errors.add(error);
        }
        Ok(())
    })
    .map_err(|failure| match failure.errors.into_iter().next() {
        Some(cause) => FileError::io_caused(failure.message, cause),
        None => FileError::cancelled(),
    })
}

/// `FilePath$DeleteRecursive`: a directory with everything in it, or any other file.
///
/// # Errors
/// A composite with the first ten causes.
pub fn delete_recursive(path: &Path, cancel: &Cancel) -> Result<()> {
    let target = normalize(path);
    persist(path, cancel, |errors| {
        if !is_symlink(&target) {
            remove_contents(&target, errors, cancel)?;
        }
        if let Err(error) = remove(&target) {
            errors.add(error);
        }
        Ok(())
    })
    .map_err(Failure::composite)
}

/// `FilePath$DeleteContents`: what is in a directory, not the directory. If `path` itself is a link to a directory,
/// that directory is emptied.
///
/// # Errors
/// A composite with the first ten causes.
pub fn delete_contents(path: &Path, cancel: &Cancel) -> Result<()> {
    let target = normalize(path);
    persist(path, cancel, |errors| remove_contents(&target, errors, cancel))
        .map_err(Failure::composite)
}

/// `FilePath$DeleteSuffixesRecursive`: the siblings of `path` whose names start with its name and `@`.
///
/// # Errors
/// Those of [`delete_recursive`] on the first sibling that cannot be deleted.
pub fn delete_suffixes_recursive(path: &Path, cancel: &Cancel) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let start = [name.as_bytes(), b"@"].concat();
    let Ok(entries) = fs::read_dir(parent) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_name().as_bytes().starts_with(&start) {
            delete_recursive(&entry.path(), cancel)?;
        }
    }
    Ok(())
}

/// Java's `Files#deleteIfExists`: a file, link or empty directory, once, without repairs.
pub(super) fn delete_if_exists(path: &Path) -> Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(FileError::at(error, path)),
    };
    let result = if metadata.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
    match result {
        Ok(()) => Ok(()),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT) => Ok(()),
            Some(Errno::NOTEMPTY | Errno::EXIST) if metadata.is_dir() => {
                Err(FileError::file_system(JavaClass::DirectoryNotEmpty, path, None, None))
            }
            _ => Err(FileError::at(error, path)),
        },
    }
}

/// The first errors of an attempt, and how many more there were.
#[derive(Default)]
struct Errors {
    kept: Vec<FileError>,
    dropped: usize,
}

impl Errors {
    fn add(&mut self, error: FileError) {
        if self.kept.len() < COMPOSITE_LIMIT {
            self.kept.push(error);
        } else {
            self.dropped += 1;
        }
    }
}

struct Failure {
    message: String,
    errors: Vec<FileError>,
    dropped: usize,
}

impl Failure {
    fn composite(self) -> FileError {
        if self.errors.is_empty() {
            return FileError::cancelled();
        }
        FileError::composite_of(self.message, self.errors, self.dropped)
    }
}

/// Runs attempts until one leaves no error.
fn persist(
    path: &Path,
    cancel: &Cancel,
    mut attempt: impl FnMut(&mut Errors) -> Result<()>,
) -> std::result::Result<(), Failure> {
    for tried in 1.. {
        let mut errors = Errors::default();
        if attempt(&mut errors).is_err() {
            return Err(Failure { message: String::new(), errors: Vec::new(), dropped: 0 });
        }
        if errors.kept.is_empty() {
            return Ok(());
        }
        let interrupted = tried <= RETRIES && !cancel.sleep(WAIT);
        if tried > RETRIES || interrupted {
            let plural = if tried == 1 { "" } else { "s" };
            let note = if interrupted {
                ". The delete operation was interrupted before it completed successfully"
            } else {
                ""
            };
            let message = format!(
                "Unable to delete '{}'. Tried {tried} time{plural} (of a maximum of {}) \
                 waiting 0.1 sec between attempts{note}.",
                path.display(),
                RETRIES + 1,
            );
            return Err(Failure { message, errors: errors.kept, dropped: errors.dropped });
        }
    }
    Ok(())
}

/// Deletes one path, making it and its directory writable if need be.
fn remove(path: &Path) -> Result<()> {
    let Err(first) = delete_if_exists(path) else { return Ok(()) };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    for path in [Some(path), parent].into_iter().flatten() {
        if rustix::fs::access(path, Access::WRITE_OK).is_err() {
            make_writable(path)?;
        }
    }
    delete_if_exists(path).map_err(|second| unable(path, first, second))
}

fn unable(path: &Path, first: FileError, second: FileError) -> FileError {
    let shown = path.display();
    if path.is_dir() {
        let entries: Vec<String> = fs::read_dir(path).map_or_else(
            |_| Vec::new(),
            |entries| entries.flatten().map(|entry| entry.path().display().to_string()).collect(),
        );
        let entries = entries.join(", ");
        let message =
            format!("Unable to remove directory {shown} with directory contents: [{entries}]");
        return FileError::composite(message, vec![first, second]);
    }
    FileError::composite(format!("Unable to remove file {shown}"), vec![first, second])
}

/// Gives the owner what is needed to delete: write permission, and on directories all of it. Links stay untouched.
///
/// # Errors
/// What hinders it, which is what Java reports of a file that belongs to somebody else.
fn make_writable(path: &Path) -> Result<()> {
    make_writable_at(CWD, path).map_err(|errno| FileError::at(errno, path))
}

fn make_writable_at(dir: impl std::os::fd::AsFd, name: &Path) -> rustix::io::Result<()> {
    let stat = match rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        stat => stat?,
    };
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind.is_symlink() {
        return Ok(());
    }
    let wanted = if kind.is_dir() { 0o700 } else { 0o200 };
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777 | wanted);
    rustix::fs::chmodat(dir, name, mode, AtFlags::empty())
}

/// A directory being emptied.
struct Level {
    fd: OwnedFd,
    path: PathBuf,
    /// Names still to be removed; the flag says that it is known to be a directory.
    todo: Vec<(CString, bool)>,
}

/// Empties a directory. Works on descriptors, so that no link swapped in meanwhile is followed.
fn remove_contents(dir: &Path, errors: &mut Errors, cancel: &Cancel) -> Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    let opened = open_dir(CWD, dir.as_os_str(), OFlags::empty()).or_else(|_| {
        let _ = make_writable(dir);
        open_dir(CWD, dir.as_os_str(), OFlags::empty())
    });
    let mut levels = match opened.and_then(|fd| level(fd, dir.to_path_buf())) {
        Ok(level) => vec![level],
        Err(error) => {
            errors.add(FileError::at(error, dir));
            return Ok(());
        }
    };
    while let Some(current) = levels.last_mut() {
        cancel.check()?;
        let Some((name, directory)) = current.todo.pop() else {
            let done = levels.pop();
            if let (Some(parent), Some(done)) = (levels.last(), done)
                && let Some(name) = done.path.file_name()
            {
                remove_at(&parent.fd, &parent.path, name, true, errors);
            }
            continue;
        };
        let name = OsStr::from_bytes(name.to_bytes());
        if !directory {
            remove_at(&current.fd, &current.path, name, false, errors);
            continue;
        }
        let path = current.path.join(name);
        let opened = open_dir(&current.fd, name, OFlags::NOFOLLOW).or_else(|error| {
            if !matches!(error, Errno::ACCESS | Errno::PERM) {
                return Err(error);
            }
            let _ = make_writable(&path);
            open_dir(&current.fd, name, OFlags::NOFOLLOW)
        });
        match opened.and_then(|fd| level(fd, path.clone())) {
            Ok(next) => levels.push(next),
            // Replaced by something else meanwhile.
            Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => {
                remove_at(&current.fd, &current.path, name, false, errors);
            }
            Err(error) => {
                errors.add(FileError::at(error, &path));
                remove_at(&current.fd, &current.path, name, true, errors);
            }
        }
    }
    Ok(())
}

fn open_dir(
    at: impl std::os::fd::AsFd,
    name: &OsStr,
    extra: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | extra;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

fn level(fd: OwnedFd, path: PathBuf) -> rustix::io::Result<Level> {
    let mut todo = Vec::new();
    for entry in Dir::read_from(&fd)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let directory = match entry.file_type() {
            FileType::Unknown => rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir()),
            kind => kind.is_dir(),
        };
        todo.push((name.to_owned(), directory));
    }
    Ok(Level { fd, path, todo })
}

fn remove_at(dir: &OwnedFd, dir_path: &Path, name: &OsStr, directory: bool, errors: &mut Errors) {
    let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    let first = match rustix::fs::unlinkat(dir, name, flags) {
        Ok(()) | Err(Errno::NOENT) => return,
        Err(error) => error,
    };
    // What counts for removal are the permissions of the directory; Java stops at those of the file.
    for (name, path) in [(Path::new(name), dir_path.join(name)), (Path::new("."), dir_path.into())]
    {
        let writable = rustix::fs::accessat(dir, name, Access::WRITE_OK, AtFlags::empty()).is_ok();
        if !writable && let Err(errno) = make_writable_at(dir, name) {
            errors.add(FileError::at(errno, &path));
            return;
        }
    }
    if let Err(second) = rustix::fs::unlinkat(dir, name, flags)
        && second != Errno::NOENT
    {
        let path = dir_path.join(name);
        let error = |errno: Errno| {
            if directory && matches!(errno, Errno::NOTEMPTY | Errno::EXIST) {
                FileError::file_system(JavaClass::DirectoryNotEmpty, &path, None, None)
            } else {
                FileError::at(errno, &path)
            }
        };
        errors.add(unable(&path, error(first), error(second)));
    }
}
