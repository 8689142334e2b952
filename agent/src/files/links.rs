//! Symbolic links: reading and making them, and the checks that keep a reader out of them.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

use super::attributes::normalize;
use super::temp::random_name;
use super::{Cancel, FileError, JavaClass, Result};
use crate::confine::check_found;

/// The options a controller sends with a read, a listing or an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkCheck {
    /// `LinkOption.NOFOLLOW_LINKS` is among the open options.
    pub no_follow_links: bool,
    /// `DisplayOption.IGNORE_TMP_DIRS` is among the open options: directories named `…@tmp` are off limits.
    pub ignore_tmp_dirs: bool,
    /// Ancestors are checked up to this directory, which is not checked itself.
    pub verification_root: Option<PathBuf>,
}

/// Java: `WorkspaceList.TMP_DIR_SUFFIX`.
const TMP_SUFFIX: &str = "@tmp";

impl LinkCheck {
    /// Whether any check is on.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.no_follow_links || self.ignore_tmp_dirs
    }

    /// Whether the file is a link, or below one (Java: `FilePath#isSymlink`; false without the option).
    #[must_use]
    pub fn has_symlink(&self, file: &Path) -> bool {
        self.no_follow_links && (is_symlink(file) || self.ancestor_matches(file, is_symlink))
    }

    /// Whether the file is a temporary directory of a workspace, or below one (Java: `FilePath#isTmpDir`).
    #[must_use]
    pub fn is_tmp_dir(&self, file: &Path) -> bool {
        self.ignore_tmp_dirs && (is_tmp_dir(file) || self.ancestor_matches(file, is_tmp_dir))
    }

    /// Whether either check forbids the file.
    #[must_use]
    pub fn forbids(&self, file: &Path) -> bool {
        self.has_symlink(file) || self.is_tmp_dir(file)
    }

    fn ancestor_matches(&self, file: &Path, matches: fn(&Path) -> bool) -> bool {
        let Some(root) =
            self.verification_root.as_deref().and_then(|root| fs::canonicalize(root).ok())
        else {
            return false;
        };
        let mut current = Some(file);
        while let Some(path) = current {
            match fs::canonicalize(path) {
                Ok(real) if real == root => return false,
                Ok(_) if matches(path) => return true,
                Ok(_) => current = path.parent().filter(|parent| !parent.as_os_str().is_empty()),
                Err(_) => return false,
            }
        }
        false
    }

    /// Opens a file for reading, refusing what the options forbid before and after (Java:
    /// `FilePath#newInputStreamDenyingSymlinkAsNeeded`).
    ///
    /// # Errors
    /// `Tmp directory is prohibited.`, `Symlinks are prohibited.`, or why the file cannot be opened. A directory
    /// opens; reading it then fails with `Is a directory`, as in Java.
    pub fn open(&self, file: &Path) -> Result<File> {
        check_found(file)?;
        if self.is_tmp_dir(file) {
            return Err(FileError::io("Tmp directory is prohibited."));
        }
        let deny = || {
            if self.has_symlink(file) {
                Err(FileError::io("Symlinks are prohibited."))
            } else {
                Ok(())
            }
        };
        deny()?;
        let mut options = OpenOptions::new();
        options.read(true);
        if self.no_follow_links {
            options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        }
        let opened = options.open(file).map_err(|error| FileError::at(error, file))?;
        deny()?;
        Ok(opened)
    }
}

/// Whether the path itself is a link.
#[must_use]
pub fn is_symlink(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

fn is_tmp_dir(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.len() > 4 && name.ends_with(TMP_SUFFIX))
        && path.is_dir()
}

/// The text of a link; `None` if the path is no link or cannot be read (Java: `Util#resolveSymlink`).
///
/// # Errors
/// None at present; Java declares some that Unix never raises.
pub fn read_link(path: &Path) -> Result<Option<PathBuf>> {
    Ok(fs::read_link(path).ok())
}

/// Makes `link` point to `target`, replacing a link, file or empty directory there (Java: `Util#createSymlink`).
///
/// # Errors
/// Java prints the error to the task listener as `ln <target> <link> failed` and carries on; so should the caller.
pub fn create_symlink(link: &Path, target: &Path, cancel: &Cancel) -> Result<()> {
    const TRIES: u32 = 4;
    let parent =
        link.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Replace in one step when something is there, so that nobody sees the link missing.
    if fs::symlink_metadata(link).is_ok_and(|metadata| !metadata.is_dir()) {
        let temporary = parent.join(random_name(Path::new("symtmp"), ".tmp"));
        if symlink(target, &temporary).is_ok() {
            if fs::rename(&temporary, link).is_ok() {
                return Ok(());
            }
            let _ = fs::remove_file(&temporary);
        }
    }
    for attempt in 1..=TRIES {
        super::removal::delete_if_exists(link)?;
        match symlink(target, link) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < TRIES => {
                if !cancel.sleep(Duration::from_millis(100)) {
                    return Err(FileError::cancelled());
                }
            }
            Err(error) => return Err(FileError::between(error, link, Some(target))),
        }
    }
    Err(FileError::file_system(JavaClass::FileAlreadyExists, link, None, None))
}

/// Whether a relative path stays below `parent` once links are resolved (Java: `FilePath$IsDescendant`).
///
/// # Errors
/// An absolute `child` is an `IllegalArgumentException`.
pub fn is_descendant(parent: &Path, child: &str) -> Result<bool> {
    if child.starts_with('/') {
        let message =
            format!("Only a relative path is supported, the given path is absolute: {child}");
        return Err(FileError::new(JavaClass::IllegalArgument, message));
    }
    let base = super::attributes::absolutize(parent);
    let Ok(real) = fs::canonicalize(&base) else { return Ok(false) };
    let mut current = base.clone();
    let parts: Vec<OsString> = Path::new(child)
        .components()
        .filter(|part| !matches!(part, Component::CurDir))
        .map(|part| part.as_os_str().to_owned())
        .collect();
    for part in parts {
        current.push(part);
        match fs::canonicalize(&current) {
            Ok(path) if !path.starts_with(&real) => return Ok(false),
            Ok(path) => current = path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A dangling link counts by where it points, anything else by its name.
                let named = match fs::read_link(&current) {
                    Ok(target) => current.parent().unwrap_or(&base).join(target),
                    Err(_) => current,
                };
                let named = normalize(&named);
                return Ok(named.starts_with(normalize(&base)) || named.starts_with(&real));
            }
            Err(_) => return Ok(false),
        }
    }
    Ok(true)
}
