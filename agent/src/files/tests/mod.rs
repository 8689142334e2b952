//! Tests of archives and file operations on real directories, with the system's own tools as a second opinion.

mod archives;
mod escape;
mod operations;
mod zips;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::scanner::DirScanner;

/// A fresh directory, removed at the end.
fn temp() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_path_buf();
    (dir, path)
}

fn put(root: &Path, name: &str, contents: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

fn everything() -> DirScanner {
    glob("**", None)
}

fn glob(includes: &str, excludes: Option<&str>) -> DirScanner {
    DirScanner::Glob {
        includes: Some(includes.into()),
        excludes: excludes.map(Into::into),
        default_excludes: true,
        no_follow_links: false,
    }
}

/// Every path below a directory: mode, seconds, and contents or link text.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, (u32, i64, Vec<u8>)> {
    use std::os::unix::ffi::OsStrExt;
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().to_path_buf();
            if metadata.is_dir() {
                todo.push(path);
            } else if metadata.is_symlink() {
                found.insert(
                    name,
                    (0o777, 0, fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()),
                );
            } else {
                found.insert(
                    name,
                    (metadata.mode() & 0o777, metadata.mtime(), fs::read(&path).unwrap()),
                );
            }
        }
    }
    found
}
