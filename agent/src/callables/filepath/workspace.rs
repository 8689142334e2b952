//! Callables of plugins that clean up workspaces.

use std::path::{Path, PathBuf};

use java_object_stream::{Datum, Node};
use jenkins_remoting::channel::Throwable;

use super::super::{Entry, FileCall, Job, Run, unknown};
use crate::files::glob::{DirectoryScanner, Pattern};
use crate::files::links::is_symlink;
use crate::files::{Cancel, FileError, removal};

pub(in super::super) const ENTRIES: &[Entry] =
    &[Entry { class: "hudson.plugins.ws_cleanup.Cleanup", run: Run::File(clean) }];

/// Patterns of the workspace clean-up plugin (`Cleanup.invoke`).
struct Selection {
    includes: Vec<String>,
    excludes: Vec<String>,
    directories: bool,
}

fn clean(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let callable = file.callable;
    let command: Option<String> = callable.read_field("deleteCommand")?;
    if let Some(command) = command {
        return Err(unknown::limit(&format!("run the delete command {command:?}")));
    }
    let mut selection = Selection {
        includes: Vec::new(),
        excludes: Vec::new(),
        directories: callable.read_field("deleteDirs")?,
    };
    let patterns: Option<Vec<Node<'_>>> = callable.read_field("patterns")?;
    for pattern in patterns.unwrap_or_default() {
        let text: String = pattern.read_field("pattern")?;
        let kind = pattern.field("type")?.enum_constant();
        let list = if kind.as_deref() == Some("EXCLUDE") {
            &mut selection.excludes
        } else {
            &mut selection.includes
        };
        list.push(text);
    }
    if selection.includes.is_empty() {
        selection.includes.push("**/*".to_owned());
    }
    Ok(Box::new(move |cancel| {
        selection.delete(&path, cancel)?;
        Ok(Datum::Null)
    }))
}

impl Selection {
    fn delete(&self, directory: &Path, cancel: &Cancel) -> Result<(), FileError> {
        let (includes, excludes) = (self.includes.join(","), self.excludes.join(","));
        let scanner = DirectoryScanner::new(Some(&includes), Some(&excludes), false, true, false);
        let found = scanner.scan(directory, cancel)?;
        let directories = if self.directories { found.dirs } else { Vec::new() };
        // The directory itself has the empty path; the plugin deletes its contents and it.
        for relative in found.files.iter().chain(&directories) {
            removal::delete_recursive(&directory.join(relative), cancel)?;
        }
        // The scan neither follows links nor lists them.
        for link in self.links(directory, cancel)? {
            removal::delete_recursive(&link, cancel)?;
        }
        Ok(())
    }

    fn links(&self, directory: &Path, cancel: &Cancel) -> Result<Vec<PathBuf>, FileError> {
        let parse =
            |list: &[String]| list.iter().map(|text| Pattern::parse(text)).collect::<Vec<_>>();
        let (includes, excludes) = (parse(&self.includes), parse(&self.excludes));
        let mut links = Vec::new();
        let mut pending = vec![directory.to_path_buf()];
        while let Some(next) = pending.pop() {
            cancel.check()?;
            let Ok(children) = std::fs::read_dir(&next) else { continue };
            for path in children.flatten().map(|child| child.path()) {
                if is_symlink(&path) {
                    let relative = path.strip_prefix(directory).unwrap_or(&path);
                    let any = |list: &[Pattern]| list.iter().any(|one| one.matches(relative, true));
                    if any(&includes) && !any(&excludes) {
                        links.push(path);
                    }
                } else if path.is_dir() {
                    pending.push(path);
                }
            }
        }
        Ok(links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_matches_goes_and_links_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let (workspace, outside) = (root.path().join("ws"), root.path().join("outside"));
        fs::create_dir_all(workspace.join("keep")).unwrap();
        fs::create_dir_all(workspace.join("build/deep")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        for file in ["ws/keep/a.txt", "ws/build/deep/b.o", "ws/c.txt", "outside/d.txt"] {
            fs::write(root.path().join(file), "x").unwrap();
        }
        std::os::unix::fs::symlink(&outside, workspace.join("build/link")).unwrap();
        let selection = Selection {
            includes: vec!["**/*".to_owned()],
            excludes: vec!["keep/**".to_owned()],
            directories: true,
        };
        selection.delete(&workspace, &Cancel::new()).unwrap();
        assert!(workspace.join("keep/a.txt").exists() && outside.join("d.txt").exists());
        assert!(!workspace.join("build").exists() && !workspace.join("c.txt").exists());
    }
}
