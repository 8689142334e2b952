//! Questions about one path, and changes of its attributes, with the meaning of `java.io.File` and `java.nio.file.Files`.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use md5::{Digest, Md5};
use rustix::fs::{
    Access, AtFlags, CWD, Mode, OFlags, ResolveFlags, StatVfs, Timespec, Timestamps, UTIME_OMIT,
    openat2,
};
use rustix::io::Errno;

use super::{BUFFER, Cancel, FileError, JavaClass, Result};

/// `FilePath$Mkdirs`: true if the path exists afterwards, whatever it is.
///
/// # Errors
/// The `java.nio.file` exception of the first directory that cannot be made.
pub fn mkdirs(dir: &Path) -> Result<bool> {
    if !exists(dir) {
        create_directories(dir)?;
    }
    Ok(true)
}

/// Java's `Files#createDirectories`: finds the nearest existing parent and makes the rest one by one.
pub(super) fn create_directories(dir: &Path) -> Result<()> {
    let dir = absolutize(dir);
    let mut missing: Vec<&Path> = Vec::new();
    let mut current = Some(dir.as_path());
    while let Some(path) = current {
        match rustix::fs::access(path, Access::EXISTS) {
            // A file is found out below: as the directory itself, or by what is to be in it.
            Ok(()) if path != dir || path.is_dir() => break,
            Ok(()) => {
                missing.push(path);
                break;
            }
            Err(Errno::NOENT) => missing.push(path),
            // What the directory itself meets is found out below.
            Err(_) if path == dir => missing.push(path),
            Err(error) => return Err(FileError::at(error, path)),
        }
        current = path.parent();
    }
    for path in missing.into_iter().rev() {
        match fs::create_dir(path) {
            Ok(()) => {}
            Err(_) if path.is_dir() => {}
            Err(error) => return Err(FileError::at(error, path)),
        }
    }
    Ok(())
}

/// Makes the directory that a file is about to be written into.
pub(super) fn create_parent(file: &Path) -> Result<()> {
    match absolutize(file).parent() {
        Some(parent) if !exists(parent) => create_directories(parent),
        _ => Ok(()),
    }
}

/// `File#exists`: links are followed, so a dangling one does not exist.
#[must_use]
pub fn exists(path: &Path) -> bool {
    fs::metadata(path).is_ok()
}

/// The same where the system can tell from memory, without waiting for a disk or a server
/// (`RESOLVE_CACHED` of Linux 5.12). Nothing where it cannot.
#[must_use]
pub fn exists_from_memory(path: &Path) -> Option<bool> {
    match openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::CACHED) {
        Ok(_) => Some(true),
        Err(Errno::NOENT) => Some(false),
        // Not in memory, or the system call is not allowed here.
        Err(_) => None,
    }
}

/// `File#isDirectory`: links are followed.
#[must_use]
pub fn is_directory(path: &Path) -> bool {
    path.is_dir()
}

/// `File#length`: bytes, 0 if there is no such file.
#[must_use]
pub fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// `File#lastModified`: milliseconds since the epoch, 0 if there is no such file.
#[must_use]
pub fn last_modified(path: &Path) -> i64 {
    fs::metadata(path).map_or(0, |stat| {
        stat.mtime().saturating_mul(1000).saturating_add(stat.mtime_nsec() / 1_000_000)
    })
}

/// `FilePath$Mode`: the permission bits, `0o777` at most.
///
/// # Errors
/// The file cannot be looked at.
pub fn mode(path: &Path) -> Result<u32> {
    fs::metadata(path)
        .map(|metadata| metadata.mode() & 0o777)
        .map_err(|error| FileError::at(error, path))
}

/// `FilePath$Chmod`.
///
/// # Errors
/// `Invalid mode` for set-id and sticky bits, which Java does not support; failure of the system call.
pub fn chmod(path: &Path, mask: i32) -> Result<()> {
    let mode = mask.cast_unsigned() & 0o7777;
    if mode > 0o777 {
        return Err(FileError::io(format!("Invalid mode: {mode}")));
    }
    rustix::fs::chmod(path, Mode::from_raw_mode(mode)).map_err(|error| FileError::at(error, path))
}

/// `FilePath$Touch`: makes an empty file if there is none and sets its time.
///
/// # Errors
/// The file cannot be made, or as [`set_last_modified`].
pub fn touch(path: &Path, timestamp: i64) -> Result<()> {
    if !exists(path) {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .map_err(|e| FileError::at(e, path))?;
    }
    set_last_modified(path, timestamp)
}

/// `FilePath$SetLastModified`; `timestamp` in milliseconds since the epoch.
///
/// # Errors
/// `Negative time` (an `IllegalArgumentException`) and `Failed to set the timestamp of …`.
pub fn set_last_modified(path: &Path, timestamp: i64) -> Result<()> {
    if timestamp < 0 {
        return Err(FileError::new(JavaClass::IllegalArgument, "Negative time"));
    }
    set_times(path, timestamp / 1000, timestamp % 1000 * 1_000_000).map_err(|_| {
        FileError::io(format!("Failed to set the timestamp of {} to {timestamp}", path.display()))
    })
}

pub(super) fn set_times(path: &Path, seconds: i64, nanoseconds: i64) -> rustix::io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::empty())
}

/// Sizes of the file system that holds a path, in bytes; all 0 if it cannot be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskSpace {
    /// `File#getTotalSpace`
    pub total: u64,
    /// `File#getFreeSpace`: not allocated
    pub free: u64,
    /// `File#getUsableSpace`: available without privileges
    pub usable: u64,
}

/// Space of the file system that `path` is on.
#[must_use]
pub fn disk_space(path: &Path) -> DiskSpace {
    let bytes = |stat: &StatVfs, blocks: u64| stat.f_frsize.saturating_mul(blocks);
    rustix::fs::statvfs(path).map_or_else(
        |_| DiskSpace::default(),
        |stat| DiskSpace {
            total: bytes(&stat, stat.f_blocks),
            free: bytes(&stat, stat.f_bfree),
            usable: bytes(&stat, stat.f_bavail),
        },
    )
}

/// `File#getAbsolutePath`: against the working directory, `..` and links left alone, slashes made single.
#[must_use]
pub fn absolutize(path: &Path) -> PathBuf {
    let absolute = if path.is_absolute() {
        path.to_path_buf()
    } else {
        std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")).join(path)
    };
    let bytes = absolute.as_os_str().as_bytes();
    let mut clean: Vec<u8> = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if *byte != b'/' || clean.last() != Some(&b'/') {
            clean.push(*byte);
        }
    }
    if clean.len() > 1 && clean.last() == Some(&b'/') {
        clean.pop();
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&clean))
}

/// `Path#normalize`: `.` and `..` resolved by text alone.
pub(super) fn normalize(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if clean.file_name().is_some_and(|name| name != "..") => {
                clean.pop();
            }
            Component::ParentDir if clean.has_root() => {}
            part => clean.push(part),
        }
    }
    clean
}

/// The string of `File#toURI`: `file:/…`, with a slash at the end of a directory, quoted as `java.net.URI` does.
#[must_use]
pub fn to_uri(path: &Path) -> String {
    use std::fmt::Write;
    let absolute = absolutize(path);
    let text = absolute.to_string_lossy();
    let mut uri = String::from("file:");
    for c in text.chars() {
        let plain = c.is_ascii_alphanumeric() || "_-!.~'()*:@&=+$,;/".contains(c);
        let other = !c.is_ascii() && !c.is_control() && !c.is_whitespace();
        if plain || other {
            uri.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    if absolute.is_dir() && !uri.ends_with('/') {
        uri.push('/');
    }
    uri
}

/// `FilePath$Digest`: the MD5 of a file in hexadecimal.
///
/// # Errors
/// The file cannot be opened or read; cancellation.
pub fn digest(path: &Path, cancel: &Cancel) -> Result<String> {
    let mut file = File::open(path).map_err(|error| FileError::at(error, path))?;
    let mut md5 = Md5::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        cancel.check()?;
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => md5.update(&buffer[..got]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FileError::stream(error)),
        }
    }
    Ok(hex(&md5.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
