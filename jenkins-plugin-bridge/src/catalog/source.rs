//! Where the files of a catalog come from: a directory, or a revision of a git repository.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{BridgeError, Problem};

/// The largest file of a catalog, in bytes. Templates are some kilobytes; more is a mistake.
pub const MAX_FILE: u64 = 1024 * 1024;
/// The most files of a catalog.
pub const MAX_FILES: usize = 10_000;
/// How deep directories may lie in each other.
const MAX_DEPTH: usize = 16;

/// The YAML files of a catalog by their path in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files(pub BTreeMap<String, String>);

fn is_wanted(name: &str) -> bool {
    (name.ends_with(".yaml") || name.ends_with(".yml")) && !name.split('/').any(is_hidden)
}

fn is_hidden(part: &str) -> bool {
    part.starts_with('.')
}

fn one_problem(file: &str, message: impl Into<String>) -> BridgeError {
    BridgeError::Catalog(vec![Problem::new("", message).in_file(file)])
}

impl Files {
    /// Reads the YAML files of a directory and those inside. Hidden ones are left out, symbolic
    /// links are followed (a mounted `ConfigMap` consists of them).
    ///
    /// # Errors
    /// A directory or a file that cannot be read, is too large or not UTF-8.
    pub fn of_directory(directory: &Path) -> Result<Self, BridgeError> {
        let mut files = Self::default();
        files.add_directory(directory, "", 0)?;
        if files.0.is_empty() {
            return Err(one_problem(
                "",
                format!("no .yaml file in {}: is this the catalog?", directory.display()),
            ));
        }
        Ok(files)
    }

    fn add_directory(
        &mut self,
        directory: &Path,
        prefix: &str,
        depth: usize,
    ) -> Result<(), BridgeError> {
        if depth > MAX_DEPTH {
            return Err(one_problem(prefix, "directories are too deep: is there a link loop?"));
        }
        let action = || format!("read the directory {}", directory.display());
        let entries = std::fs::read_dir(directory).map_err(|e| BridgeError::io(action(), e))?;
        for entry in entries {
            let entry = entry.map_err(|e| BridgeError::io(action(), e))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if is_hidden(&name) {
                continue;
            }
            let path = entry.path();
            let shown = format!("{prefix}{name}");
            let about = || format!("read {}", path.display());
            let metadata = std::fs::metadata(&path).map_err(|e| BridgeError::io(about(), e))?;
            if metadata.is_dir() {
                self.add_directory(&path, &format!("{shown}/"), depth + 1)?;
            } else if metadata.is_file() && is_wanted(&name) {
                let file = std::fs::File::open(&path).map_err(|e| BridgeError::io(about(), e))?;
                self.add(&shown, file)?;
            }
        }
        Ok(())
    }

    /// Reads the YAML files below `directory` as they are in a revision of the git repository
    /// that the directory is in. The working tree is not touched.
    ///
    /// # Errors
    /// A revision that git does not know, or files that cannot be used.
    pub fn of_revision(directory: &Path, revision: &str) -> Result<Self, BridgeError> {
        // A revision that starts with a dash would be an option of git.
        if revision.starts_with('-') || revision.is_empty() {
            return Err(BridgeError::Git {
                command: "rev-parse".into(),
                message: format!("{revision:?} is no revision"),
            });
        }
        let wanted = format!("{revision}^{{commit}}");
        let commit = git(directory, &["rev-parse", "--verify", "--quiet", &wanted])
            .map_err(|_| BridgeError::Git {
                command: "rev-parse".into(),
                message: format!("there is no revision {revision:?} in {}", directory.display()),
            })?
            .trim()
            .to_owned();
        // Started in a directory, git archives that directory and nothing beside it.
        let mut child = Command::new("git")
            .arg("-C")
            .arg(directory)
            .args(["archive", "--format=tar", &commit])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| BridgeError::io("start git", e))?;
        let Some(output) = child.stdout.take() else {
            return Err(one_problem("", "git gave no output"));
        };
        let mut files = Self::default();
        let read = files.add_archive(output);
        let status = child.wait().map_err(|e| BridgeError::io("wait for git", e))?;
        read?;
        if !status.success() || files.0.is_empty() {
            return Err(BridgeError::Git {
                command: "archive".into(),
                message: format!("revision {revision} has no catalog in {}", directory.display()),
            });
        }
        Ok(files)
    }

    fn add_archive(&mut self, output: impl std::io::Read) -> Result<(), BridgeError> {
        let unreadable = |e| BridgeError::io("read what git archive wrote", e);
        let mut archive = tar::Archive::new(output);
        for entry in archive.entries().map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let path = entry.path().map_err(unreadable)?.to_string_lossy().into_owned();
            if entry.header().entry_type().is_file() && is_wanted(&path) {
                self.add(&path, entry)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, reader: impl std::io::Read) -> Result<(), BridgeError> {
        if self.0.len() >= MAX_FILES {
            return Err(one_problem(path, format!("the catalog has over {MAX_FILES} files")));
        }
        let mut bytes = Vec::new();
        reader
            .take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| BridgeError::io(format!("read {path}"), e))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE {
            return Err(one_problem(path, "the file is over 1 MiB: split it"));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| one_problem(path, "the file is not UTF-8: save it as UTF-8"))?;
        self.0.insert(path.to_owned(), text);
        Ok(())
    }
}

fn git(directory: &Path, arguments: &[&str]) -> Result<String, BridgeError> {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| BridgeError::io("start git", e))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(BridgeError::Git {
            command: (*arguments.first().unwrap_or(&"")).to_owned(),
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}
