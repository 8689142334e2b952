//! Temporary files and directories with the names that Java gives them: prefix, an unsigned 64-bit number, suffix.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::attributes::{absolutize, mkdirs};
use super::charset::Charset;
use super::error::system_text;
use super::{FileError, JavaClass, Result};

/// Longest file name on the file systems that matter, in bytes.
const NAME_MAX: usize = 255;

/// How many names are tried before the directory is taken to be broken.
const TRIES: usize = 1000;

/// A name that nobody has guessed: `<prefix><number><suffix>`, the prefix shortened if the name would be too long.
pub(super) fn random_name(prefix: &Path, suffix: &str) -> PathBuf {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    // The version and variant bits of the two halves do not meet after this rotation.
    let number = (high ^ low.rotate_left(17)).to_string();
    let prefix = prefix.file_name().map_or_else(Vec::new, |name| name.as_bytes().to_vec());
    let room = NAME_MAX.saturating_sub(number.len() + suffix.len());
    let mut name = prefix;
    name.truncate(room.max(3));
    name.extend_from_slice(number.as_bytes());
    name.extend_from_slice(suffix.as_bytes());
    name.truncate(NAME_MAX);
    PathBuf::from(std::ffi::OsString::from_vec(name))
}

/// `File#createTempFile`: an empty file in `dir`, mode 0666 less the umask; returns its name.
///
/// # Errors
/// A prefix of less than three characters is an `IllegalArgumentException`; a file that cannot be made is an
/// `IOException` with the text of the system.
pub fn create_temp_file(prefix: &str, suffix: Option<&str>, dir: &Path) -> Result<String> {
    if prefix.encode_utf16().count() < 3 {
        let message = format!("Prefix string \"{prefix}\" too short: length must be at least 3");
        return Err(FileError::new(JavaClass::IllegalArgument, message));
    }
    let suffix = suffix.unwrap_or(".tmp");
    if suffix.contains('/') {
        return Err(FileError::io(
            "Unable to create temporary file: the suffix has a path separator",
        ));
    }
    for _ in 0..TRIES {
        let name = random_name(Path::new(prefix), suffix);
        match OpenOptions::new().write(true).create_new(true).open(dir.join(&name)) {
            Ok(_) => return Ok(name.to_string_lossy().into_owned()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(FileError::io(system_text(&error))),
        }
    }
    Err(FileError::io("Unable to create temporary file"))
}

/// `FilePath$CreateTextTempFile`: a temporary file with contents, in `dir` (made if missing) or, without one, in
/// the temporary directory of the system; returns its absolute path.
///
/// # Errors
/// `Failed to create a temporary directory in <dir>` with a cause, text that the charset cannot express, a full disk.
pub fn create_text_temp_file(
    prefix: &str,
    suffix: Option<&str>,
    contents: &str,
    dir: Option<&Path>,
    charset: Charset,
) -> Result<PathBuf> {
    let dir = match dir {
        Some(dir) => {
            mkdirs(dir)?;
            dir.to_path_buf()
        }
        None => std::env::temp_dir(),
    };
    let name = create_temp_file(prefix, suffix, &dir).map_err(|error| {
        if error.class().is_io() {
            FileError::io_caused(
                format!("Failed to create a temporary directory in {}", dir.display()),
                error,
            )
        } else {
            error
        }
    })?;
    let path = absolutize(&dir.join(name));
    let bytes = charset.encode_strict(contents)?;
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&path)
        .map_err(|error| FileError::at(error, &path))?
        .write_all(&bytes)
        .map_err(FileError::stream)?;
    Ok(path)
}

/// `FilePath$CreateTempDir`: a directory with mode 0777 less the umask; returns its name.
///
/// # Errors
/// `Invalid prefix or suffix` if the prefix has a separator; why the directory cannot be made.
pub fn create_temp_dir(prefix: &str, dir: &Path) -> Result<String> {
    if prefix.contains('/') {
        return Err(FileError::new(JavaClass::IllegalArgument, "Invalid prefix or suffix"));
    }
    for _ in 0..TRIES {
        let name = random_name(Path::new(prefix), "");
        let path = dir.join(&name);
        match fs::create_dir(&path) {
            Ok(()) => return Ok(name.to_string_lossy().into_owned()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(FileError::at(error, &path)),
        }
    }
    Err(FileError::io("Unable to create temporary directory"))
}
