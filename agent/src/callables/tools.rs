//! What tool installers ask of a node beyond plain file operations.

mod unpack;

use std::fs;
use std::path::Path;

use java_object_stream::Datum;
use jenkins_remoting::channel::Throwable;

use super::{Entry, FileCall, Job, Run};
use crate::files::attributes::{chmod, mode};
use crate::files::links::is_symlink;
use crate::files::{Cancel, FileError};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        class: "hudson.tools.ZipExtractionInstaller$ChmodRecAPlusX",
        run: Run::File(chmod_all),
    },
    Entry { class: "hudson.FilePath$Unpack", run: Run::File(unpack::unpack) },
];

/// `chmod -R a+x`, for archives that carry no modes.
fn chmod_all(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    Ok(Box::new(move |cancel| {
        make_executable(&path, cancel)?;
        Ok(Datum::Null)
    }))
}

fn make_executable(path: &Path, cancel: &Cancel) -> Result<(), FileError> {
    cancel.check()?;
    if is_symlink(path) {
        return Ok(());
    }
    let mode = mode(path)?;
    chmod(path, i32::try_from(mode | 0o111).unwrap_or(0o755))?;
    if path.is_dir() {
        let children = fs::read_dir(path).map_err(|error| FileError::at(error, path))?;
        for child in children {
            let child = child.map_err(|error| FileError::at(error, path))?;
            make_executable(&child.path(), cancel)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_links_becomes_executable() {
        let directory = tempfile::tempdir().unwrap();
        let (inner, outside) =
            (directory.path().join("bin/tool"), directory.path().join("outside"));
        fs::create_dir(directory.path().join("bin")).unwrap();
        fs::write(&inner, "").unwrap();
        fs::write(&outside, "").unwrap();
        chmod(&inner, 0o640).unwrap();
        chmod(&outside, 0o600).unwrap();
        std::os::unix::fs::symlink(&outside, directory.path().join("bin/link")).unwrap();
        make_executable(&directory.path().join("bin"), &Cancel::new()).unwrap();
        assert_eq!(mode(&inner).unwrap() & 0o777, 0o751);
        assert_eq!(mode(&outside).unwrap() & 0o777, 0o600);
    }
}
