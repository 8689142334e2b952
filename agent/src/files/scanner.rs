//! Which files go into an archive and under which names: `hudson.util.DirScanner` and the filters around a visitor.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::glob::DirectoryScanner;
use super::links::{LinkCheck, read_link};
use super::{Cancel, FileError, Result};
use crate::confine::check_found;

/// How the files are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirScanner {
    /// `DirScanner$Glob`. Blank includes without excludes mean [`DirScanner::Full`].
    Glob {
        /// Comma-separated Ant patterns; blank means everything.
        includes: Option<String>,
        /// Comma-separated Ant patterns.
        excludes: Option<String>,
        /// Whether Ant's default excludes apply.
        default_excludes: bool,
        /// Whether `openOptions` has `LinkOption.NOFOLLOW_LINKS`: links are then left out.
        no_follow_links: bool,
    },
    /// `DirScanner$Full`: everything, each name prefixed with the name of the directory.
    Full,
    /// `FilePath$ExplicitlySpecifiedDirScanner`: (name in the archive, path below the directory), in this order.
    Explicit(Vec<(String, String)>),
}

/// Receives the files of a scan (Java: `hudson.util.FileVisitor`).
pub trait FileVisitor {
    /// A file or directory; links are followed.
    fn visit(&mut self, file: &Path, relative: &Path) -> Result<()>;

    /// Whether links come as [`FileVisitor::visit_symlink`] rather than as what they point to.
    fn understands_symlinks(&self) -> bool {
        false
    }

    /// A symbolic link. Called only if [`FileVisitor::understands_symlinks`].
    fn visit_symlink(&mut self, link: &Path, target: &Path, relative: &Path) -> Result<()> {
        let _ = target;
        self.visit(link, relative)
    }
}

impl DirScanner {
    /// Passes every file to `visitor`.
    ///
    /// A missing directory yields nothing for [`DirScanner::Glob`] and [`DirScanner::Full`].
    ///
    /// # Errors
    /// Those of the visitor, an unreadable directory, cancellation.
    pub fn scan(&self, dir: &Path, visitor: &mut dyn FileVisitor, cancel: &Cancel) -> Result<()> {
        match self {
            Self::Glob { includes, excludes, default_excludes, no_follow_links } => {
                let includes = includes.as_deref().filter(|list| !list.is_empty());
                if includes.is_none() && excludes.is_none() {
                    return Self::Full.scan(dir, visitor, cancel);
                }
                if !dir.exists() {
                    return Ok(());
                }
                let set = DirectoryScanner::new(
                    includes,
                    excludes.as_deref(),
                    *default_excludes,
                    true,
                    !no_follow_links,
                );
                for relative in set.scan(dir, cancel)?.files {
                    cancel.check()?;
                    scan_single(&dir.join(&relative), &relative, visitor)?;
                }
                Ok(())
            }
            Self::Full => scan_full(dir, visitor, cancel),
            Self::Explicit(files) => {
                for (name, path) in files {
                    cancel.check()?;
                    // new File(dir, "/x") stays below dir in Java.
                    let file = dir.join(path.trim_start_matches('/'));
                    scan_single(&file, Path::new(name), visitor)?;
                }
                Ok(())
            }
        }
    }
}

fn scan_single(file: &Path, relative: &Path, visitor: &mut dyn FileVisitor) -> Result<()> {
    if visitor.understands_symlinks()
        && let Ok(Some(target)) = read_link(file)
    {
        return visitor.visit_symlink(file, &target, relative);
    }
    visitor.visit(file, relative)
}

/// Everything below `dir`. A link that the visitor stores as a link is not entered; one that it follows is entered
/// unless it leads back to a directory above, where Java goes on until the system refuses.
fn scan_full(dir: &Path, visitor: &mut dyn FileVisitor, cancel: &Cancel) -> Result<()> {
    let name = dir.file_name().map_or_else(PathBuf::new, PathBuf::from);
    let mut above: Vec<(u64, u64)> = Vec::new();
    // Reversed children on a stack give the order of a recursive walk without its depth.
    let mut stack = vec![Step::Enter(dir.to_path_buf(), name)];
    while let Some(step) = stack.pop() {
        cancel.check()?;
        let Step::Enter(file, relative) = step else {
            above.pop();
            continue;
        };
        let readable = rustix::fs::access(&file, rustix::fs::Access::READ_OK).is_ok();
        if !readable || check_found(&file).is_err() {
            continue;
        }
        scan_single(&file, &relative, visitor)?;
        let Ok(metadata) = fs::metadata(&file) else { continue };
        if !metadata.is_dir() {
            continue;
        }
        let id = (metadata.dev(), metadata.ino());
        let link = fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_symlink());
        if link && !above.is_empty() && (visitor.understands_symlinks() || above.contains(&id)) {
            continue;
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&file).map_err(|error| FileError::at(error, &file))? {
            names.push(entry.map_err(|error| FileError::at(error, &file))?.file_name());
        }
        names.sort_unstable();
        above.push(id);
        stack.push(Step::Leave);
        stack.extend(
            names.iter().rev().map(|name| Step::Enter(file.join(name), relative.join(name))),
        );
    }
    Ok(())
}

enum Step {
    Enter(PathBuf, PathBuf),
    Leave,
}

/// A visitor behind the checks of `openOptions` (Java: `FilePath#ignoringSymlinks` and `#ignoringTmpDirs`).
///
/// With either check on, links reach the inner visitor as files.
pub struct Checked<'a> {
    inner: &'a mut dyn FileVisitor,
    check: &'a LinkCheck,
}

impl<'a> Checked<'a> {
    /// Puts `check` in front of `inner`.
    pub fn new(inner: &'a mut dyn FileVisitor, check: &'a LinkCheck) -> Self {
        Self { inner, check }
    }
}

impl FileVisitor for Checked<'_> {
    fn visit(&mut self, file: &Path, relative: &Path) -> Result<()> {
        if self.check.verification_root.is_some() && self.check.forbids(file) {
            return Ok(());
        }
        self.inner.visit(file, relative)
    }

    fn understands_symlinks(&self) -> bool {
        !self.check.is_active() && self.inner.understands_symlinks()
    }

    fn visit_symlink(&mut self, link: &Path, target: &Path, relative: &Path) -> Result<()> {
        self.inner.visit_symlink(link, target, relative)
    }
}
