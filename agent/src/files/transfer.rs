//! Moving, copying, writing and reading whole files, and listing directories.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use rustix::io::Errno;

use super::attributes::{absolutize, create_directories, create_parent};
use super::charset::Charset;
use super::error::system_text;
use super::links::{LinkCheck, create_symlink};
use super::removal::delete_if_exists;
use super::safe_dir::{components, copy_into};
use super::scanner::{DirScanner, FileVisitor};
use super::{BUFFER, Cancel, FileError, JavaClass, Result};

/// `FilePath$RenameTo`: `Files#move` without replacing. Across file systems only files, links and empty
/// directories can be moved, as in Java.
///
/// # Errors
/// `FileAlreadyExistsException` for the target, `DirectoryNotEmptyException` across file systems, or the system's.
pub fn rename_to(source: &Path, target: &Path, cancel: &Cancel) -> Result<()> {
    let metadata = fs::symlink_metadata(source).map_err(|error| FileError::at(error, source))?;
    if let Ok(there) = fs::symlink_metadata(target) {
        if (there.dev(), there.ino()) == (metadata.dev(), metadata.ino()) {
            return Ok(());
        }
        return Err(FileError::file_system(JavaClass::FileAlreadyExists, target, None, None));
    }
    let Err(error) = fs::rename(source, target) else { return Ok(()) };
    if Errno::from_io_error(&error) != Some(Errno::XDEV) {
        return Err(FileError::between(error, source, Some(target)));
    }
    if metadata.is_dir() {
        let mut entries = fs::read_dir(source).map_err(|error| FileError::at(error, source))?;
        if entries.next().is_some() {
            return Err(FileError::file_system(JavaClass::DirectoryNotEmpty, source, None, None));
        }
    }
    if metadata.is_symlink() {
        let text = fs::read_link(source).map_err(|error| FileError::at(error, source))?;
        std::os::unix::fs::symlink(text, target).map_err(|error| FileError::at(error, target))?;
    } else {
        copy_with_attributes(source, target, cancel)?;
    }
    delete_if_exists(source)
}

/// `FilePath$MoveAllChildrenTo`: moves what is in a directory into another, then deletes the empty directory.
///
/// # Errors
/// `Failed to rename <from> to <to>`.
pub fn move_all_children_to(dir: &Path, target: &Path) -> Result<()> {
    let rename = |from: &Path, to: &Path| {
        fs::rename(from, to).map_err(|_| {
            FileError::io(format!("Failed to rename {} to {}", from.display(), to.display()))
        })
    };
    // Out of the way first: a child may have the name of the directory itself.
    let mut aside = absolutize(dir).into_os_string();
    aside.push(".__rename");
    let aside = PathBuf::from(aside);
    rename(dir, &aside)?;
    for entry in fs::read_dir(&aside).map_err(|error| FileError::at(error, &aside))? {
        let entry = entry.map_err(|error| FileError::at(error, &aside))?;
        rename(&entry.path(), &target.join(entry.file_name()))?;
    }
    delete_if_exists(&aside)
}

/// `FilePath$CopyToWithPermission`: contents, mode, times and, if allowed, the owner; replaces what is there.
///
/// # Errors
/// The `java.nio.file` exception of the step that failed; cancellation.
pub fn copy_with_permission(source: &Path, target: &Path, cancel: &Cancel) -> Result<()> {
    if let Some(parent) = absolutize(target).parent() {
        create_directories(parent)?;
    }
    copy_with_attributes(source, target, cancel)
}

/// `Files#copy` with `COPY_ATTRIBUTES` and `REPLACE_EXISTING`. Of a directory only the directory is copied.
fn copy_with_attributes(source: &Path, target: &Path, cancel: &Cancel) -> Result<()> {
    let metadata = fs::metadata(source).map_err(|error| FileError::at(error, source))?;
    if fs::metadata(target)
        .is_ok_and(|there| (there.dev(), there.ino()) == (metadata.dev(), metadata.ino()))
    {
        return Ok(());
    }
    delete_if_exists(target)?;
    if metadata.is_dir() {
        fs::create_dir(target).map_err(|error| FileError::at(error, target))?;
    } else {
        let mut from = File::open(source).map_err(|error| FileError::at(error, source))?;
        let mut to = File::create_new(target).map_err(|error| FileError::at(error, target))?;
        copy_into(&mut from, &mut to, target, cancel)?;
    }
    let _ = chown(target, Some(metadata.uid()), Some(metadata.gid()));
    let failed = |error| FileError::at(error, target);
    fs::set_permissions(target, metadata.permissions()).map_err(failed)?;
    super::attributes::set_times(target, metadata.mtime(), metadata.mtime_nsec())
        .map_err(|error| FileError::at(error, target))
}

/// `FilePath$CopyRecursiveLocal`: copies what a scanner finds; returns the number of files and links copied.
///
/// # Errors
/// Those of the scanner and of the copies; cancellation.
pub fn copy_recursive_local(
    base: &Path,
    scanner: &DirScanner,
    target: &Path,
    cancel: &Cancel,
) -> Result<u32> {
    if !base.exists() {
        return Ok(0);
    }
    let mut copier = Copier { target, count: 0, cancel };
    scanner.scan(base, &mut copier, cancel)?;
    Ok(copier.count)
}

struct Copier<'a> {
    target: &'a Path,
    count: u32,
    cancel: &'a Cancel,
}

impl Copier<'_> {
    fn place(&self, relative: &Path) -> Result<PathBuf> {
        use std::os::unix::ffi::OsStrExt;
        let parts = components(relative.as_os_str().as_bytes())
            .filter(|parts| !parts.is_empty())
            .ok_or_else(|| {
            FileError::io(format!("{} leads out of the target directory", relative.display()))
        })?;
        let mut path = self.target.to_path_buf();
        path.extend(parts.iter().map(|part| std::ffi::OsStr::from_bytes(part)));
        create_parent(&path)?;
        Ok(path)
    }
}

impl FileVisitor for Copier<'_> {
    fn visit(&mut self, file: &Path, relative: &Path) -> Result<()> {
        if file.is_file() {
            let place = self.place(relative)?;
            copy_with_attributes(file, &place, self.cancel)?;
            self.count += 1;
        }
        Ok(())
    }

    fn understands_symlinks(&self) -> bool {
        true
    }

    fn visit_symlink(&mut self, _link: &Path, target: &Path, relative: &Path) -> Result<()> {
        let place = self.place(relative)?;
        if let Err(error) = create_symlink(&place, target, self.cancel) {
            tracing::warn!(%error, "symbolic link not copied");
        }
        self.count += 1;
        Ok(())
    }
}

/// Opens a file to be written from its start, making its directory (`FilePath$WritePipe`).
///
/// # Errors
/// The `java.nio.file` exception of the directory or the file.
pub fn create_for_writing(path: &Path) -> Result<File> {
    create_parent(path)?;
    File::create(path).map_err(|error| FileError::at(error, path))
}

/// `FilePath$Write`: replaces a file by text; what the charset cannot express becomes `?`.
///
/// # Errors
/// As [`create_for_writing`], and a full disk.
pub fn write_text(path: &Path, text: &str, charset: Charset) -> Result<()> {
    let mut file = create_for_writing(path)?;
    file.write_all(&charset.encode(text)).map_err(FileError::stream)
}

/// `FilePath$ReadToString`.
///
/// # Errors
/// The file cannot be opened or read, or is not text of that charset.
pub fn read_to_string(path: &Path, charset: Charset) -> Result<String> {
    let mut file = File::open(path).map_err(|error| FileError::at(error, path))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(FileError::stream)?;
    charset.decode(&bytes)
}

/// Which entries of a directory are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListFilter {
    /// No filter.
    All,
    /// `FilePath$DirectoryFilter`.
    Directories,
    /// `FilePath$OptionalDiscardingFileFilter`: all that the check does not forbid.
    Allowed(LinkCheck),
    /// `FilePath$SymlinkRetainingFileFilter`: only links and what is below links.
    Symlinks(LinkCheck),
}

/// `FilePath$ListFilter`: the entries of a directory as full paths, sorted; `None` if it cannot be listed, for which
/// Java answers an empty list.
#[must_use]
pub fn list(dir: &Path, filter: &ListFilter) -> Option<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).ok()?.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
    paths.retain(|path| match filter {
        ListFilter::All => true,
        ListFilter::Directories => path.is_dir(),
        ListFilter::Allowed(check) => !check.forbids(path),
        ListFilter::Symlinks(check) => check.has_symlink(path),
    });
    paths.sort_unstable();
    Some(paths)
}

/// Copies a file to a writer in large chunks (`FilePath$CopyTo`, `FilePath$Read`); returns the number of bytes.
///
/// # Errors
/// Reading or writing fails; cancellation.
pub fn copy_to(from: &mut File, out: &mut dyn Write, cancel: &Cancel) -> Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut total = 0;
    loop {
        cancel.check()?;
        let got = match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(got) => got,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(FileError::stream(error)),
        };
        out.write_all(&buffer[..got]).map_err(FileError::stream)?;
        total += got as u64;
    }
}

/// `FilePath$OffsetPipeSecureFileCallable`: what a file has from `offset` on, as gzip. Past the end that is nothing.
///
/// # Errors
/// A `FileNotFoundException` as `RandomAccessFile` words it, `Negative seek offset`, errors of the stream.
pub fn tail_gzip<W: Write>(path: &Path, offset: i64, out: W, cancel: &Cancel) -> Result<u64> {
    let mut gzip = GzEncoder::new(out, flate2::Compression::new(6));
    let copied = tail(path, offset, &mut gzip, cancel);
    // What follows a failure is a whole stream of what there was until then, as from Java.
    let finished = gzip.finish().and_then(|mut out| out.flush()).map_err(FileError::stream);
    let total = copied?;
    finished.map(|()| total)
}

fn tail(path: &Path, offset: i64, out: &mut impl Write, cancel: &Cancel) -> Result<u64> {
    let missing = |text: &str| {
        FileError::new(JavaClass::FileNotFound, format!("{} ({text})", path.display()))
    };
    let mut file = File::open(path).map_err(|error| missing(&system_text(&error)))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(missing("Is a directory"));
    }
    let offset = u64::try_from(offset).map_err(|_| FileError::io("Negative seek offset"))?;
    file.seek(SeekFrom::Start(offset)).map_err(FileError::stream)?;
    copy_to(&mut file, out, cancel)
}
