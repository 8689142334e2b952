//! A directory to extract into, with things around it that must stay as they are.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const SECRET: &str = "must stay";

/// `outside/` with a file, and `target/`, all in a temporary directory.
pub struct Jail {
    root: TempDir,
    target: PathBuf,
}

impl Jail {
    pub fn new() -> Self {
        // In memory where that is offered: thousands of these are made each second.
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let root = tempfile::Builder::new().prefix("pilotfish-fuzz").tempdir_in(base);
        let root = root.expect("a temporary directory");
        let outside = root.path().join("outside");
        let target = root.path().join("target");
        fs::create_dir(&outside).expect("outside");
        fs::write(outside.join("file"), SECRET).expect("a file outside");
        fs::create_dir_all(target.join("old")).expect("the target");
        fs::write(target.join("old/file"), "old").expect("a file inside");
        symlink("old", target.join("inner-link")).expect("a link");
        Self { root, target }
    }

    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Panics if anything outside of the target changed, and makes all of it deletable.
    pub fn check(&self) {
        let mut names: Vec<_> = list(self.root.path());
        names.sort();
        assert_eq!(names, ["outside", "target"], "a path left the target directory");
        let outside = self.root.path().join("outside");
        assert_eq!(list(&outside), ["file"], "a path left the target directory");
        let file = outside.join("file");
        let kept = fs::read_to_string(&file).is_ok_and(|text| text == SECRET);
        assert!(kept, "a file outside was written");
        let mode = fs::metadata(&file).map(|metadata| metadata.permissions().mode() & 0o7000);
        assert!(mode.is_ok_and(|mode| mode == 0), "the mode of a file outside was changed");
        unlock(&self.target);
    }
}

fn list(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a directory that can be listed");
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Archives may make directories that not even their owner may list.
fn unlock(folder: &Path) {
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            unlock(&entry.path());
        }
    }
}
