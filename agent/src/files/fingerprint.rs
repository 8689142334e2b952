//! The records of fingerprinted files: `hudson.tasks.Fingerprinter$FindRecords`.

use std::path::{Path, PathBuf};

use super::attributes::{digest, last_modified};
use super::glob::DirectoryScanner;
use super::{Cancel, FileError, Result};

/// A file and its fingerprint (Java: `hudson.tasks.Fingerprinter$Record`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whether the file is as new as the build.
    pub produced: bool,
    /// Path below the workspace.
    pub relative_path: PathBuf,
    /// Name without directories.
    pub file_name: String,
    /// MD5 in hexadecimal.
    pub md5sum: String,
}

/// How much older than the build a file may be: some file systems keep times in steps of two seconds.
const TIME_STEP: i64 = 2000;

/// Digests every file that `set` selects in `dir`, in sorted order. `build_timestamp` is in milliseconds since the epoch.
///
/// # Errors
/// Those of the scan; `Failed to compute digest for <file>` with a cause; cancellation.
pub fn find_records(
    dir: &Path,
    set: &DirectoryScanner,
    build_timestamp: i64,
    cancel: &Cancel,
) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for relative_path in set.scan(dir, cancel)?.files {
        let file = dir.join(&relative_path);
        let md5sum = digest(&file, cancel).map_err(|error| {
            if error.is_cancelled() {
                return error;
            }
            FileError::io_caused(format!("Failed to compute digest for {}", file.display()), error)
        })?;
        records.push(Record {
            produced: build_timestamp <= last_modified(&file).saturating_add(TIME_STEP),
            file_name: relative_path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            relative_path,
            md5sum,
        });
    }
    Ok(records)
}
