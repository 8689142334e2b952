//! What a stage leaves behind: test results, coverage, files to keep.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::junit::{TestSuite, parse};
use crate::catalog::model::Reports;

/// The most files looked at in a workspace.
const MAX_FILES: usize = 500_000;
/// How deep directories are looked into.
const MAX_DEPTH: usize = 64;
/// The most files kept of a stage.
const MAX_KEPT: usize = 10_000;
/// The largest test report that is read, in bytes.
const MAX_REPORT: u64 = 64 * 1024 * 1024;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub suites: Vec<TestSuite>,
    pub kept: Vec<String>,
    pub notes: Vec<String>,
}

fn globs(patterns: &[String], found: &mut Found) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        match GlobBuilder::new(pattern).literal_separator(true).build() {
            Ok(glob) => {
                set.add(glob);
            }
            Err(error) => found.notes.push(format!("{pattern:?} is no glob: {}", error.kind())),
        }
    }
    set.build().unwrap_or_else(|_| GlobSet::empty())
}

/// Every regular file below a directory, relative to it. Symbolic links are not followed, so that
/// nothing outside the workspace is kept.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut open = vec![(PathBuf::new(), 0usize)];
    while let Some((relative, depth)) = open.pop() {
        let Ok(entries) = std::fs::read_dir(root.join(&relative)) else { continue };
        for entry in entries.flatten() {
            let path = relative.join(entry.file_name());
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && depth < MAX_DEPTH && entry.file_name() != ".git" {
                open.push((path, depth + 1));
            } else if kind.is_file() {
                all.push(path);
            }
            if all.len() >= MAX_FILES {
                return all;
            }
        }
    }
    all.sort();
    all
}

/// Collects what a stage left behind.
pub(super) fn collect(
    reports: &Reports,
    workspace: &Path,
    since: SystemTime,
    output: &Path,
    directory: &str,
) -> Found {
    let mut found = Found::default();
    if reports.is_empty() {
        return found;
    }
    let junit = globs(&reports.junit, &mut found);
    let mut wanted = reports.archive.clone();
    wanted.extend(reports.coverage.iter().map(|one| one.path.clone()));
    let wanted = globs(&wanted, &mut found);
    let mut read = 0usize;
    for relative in files(workspace) {
        let path = workspace.join(&relative);
        if junit.is_match(&relative) {
            let metadata = path.metadata().ok();
            let old = metadata
                .as_ref()
                .and_then(|about| about.modified().ok())
                .is_some_and(|at| at < since);
            // What an earlier stage left was counted there.
            if !old {
                read += 1;
                if metadata.is_some_and(|about| about.len() > MAX_REPORT) {
                    let text = format!("{} is too large for a report", relative.display());
                    found.notes.push(text);
                } else {
                    match std::fs::read(&path).map_err(|e| e.to_string()).and_then(|b| parse(&b)) {
                        Ok(mut suites) => found.suites.append(&mut suites),
                        Err(why) => {
                            found.notes.push(format!("{}: {why}", relative.display()));
                        }
                    }
                }
            }
        }
        if wanted.is_match(&relative) && found.kept.len() < MAX_KEPT {
            let kept = Path::new("artifacts").join(directory).join(&relative);
            let target = output.join(&kept);
            let copied = target
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| std::fs::copy(&path, &target));
            match copied {
                Ok(_) => found.kept.push(kept.to_string_lossy().into_owned()),
                Err(error) => {
                    found.notes.push(format!("cannot keep {}: {error}", relative.display()))
                }
            }
        }
    }
    if read == 0 && !reports.junit.is_empty() {
        found.notes.push(format!("no test report at {}", reports.junit.join(", ")));
    }
    found
}
