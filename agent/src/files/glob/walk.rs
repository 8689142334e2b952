//! The walk of an Ant `DirectoryScanner`: directories in which nothing can match are not entered.
//!
//! Follows Ant where a user can see it: a pattern with a fixed prefix starts at that prefix (so `out/**` does not
//! select a plain file `out`), links are followed unless told otherwise, a directory that cannot be listed counts
//! as a file, and a link back up the tree is followed five times at most (`MAX_LEVELS_OF_SYMLINKS`).

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::pattern::{Pattern, split};
use super::{DEFAULT_EXCLUDES, split_masks};
use crate::confine::check_found;
use crate::files::attributes::absolutize;
use crate::files::{Cancel, FileError, JavaClass, Result};

/// How often a link is followed back to a directory that is already being walked.
const MAX_LEVELS_OF_SYMLINKS: usize = 5;

/// A set of include and exclude patterns with the flags of an Ant file set.
#[derive(Debug, Clone)]
pub struct DirectoryScanner {
    includes: Set,
    excludes: Set,
    case_sensitive: bool,
    follow_symlinks: bool,
}

/// What a scan selected: paths relative to the directory, sorted, without duplicates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanResult {
    /// Everything selected that is not a directory.
    pub files: Vec<PathBuf>,
    /// Selected directories; the empty path is the scanned directory itself.
    pub dirs: Vec<PathBuf>,
}

/// Limits of a scan that only asks whether anything matches at all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) operations: u64,
    pub(super) time: Duration,
}

/// Patterns, those without wildcards apart: Ant compares them as whole strings.
#[derive(Debug, Clone)]
struct Set {
    literals: Vec<Pattern>,
    patterns: Vec<Pattern>,
    names: HashSet<String>,
    case_sensitive: bool,
}

impl Set {
    fn new(patterns: Vec<Pattern>, case_sensitive: bool) -> Self {
        let (patterns, literals): (Vec<_>, Vec<_>) =
            patterns.into_iter().partition(Pattern::has_wildcards);
        let fold = |text: &str| if case_sensitive { text.to_owned() } else { text.to_uppercase() };
        let names = literals.iter().map(|literal| fold(literal.text())).collect();
        Self { literals, patterns, names, case_sensitive }
    }

    fn matches(&self, path: &[u8], parts: &[&[u8]]) -> bool {
        if !self.names.is_empty() {
            let text = String::from_utf8_lossy(path);
            let found = if self.case_sensitive {
                self.names.contains(&*text)
            } else {
                self.names.contains(&text.to_uppercase())
            };
            if found {
                return true;
            }
        }
        self.patterns.iter().any(|pattern| pattern.matches_parts(parts, self.case_sensitive))
    }
}

impl DirectoryScanner {
    /// A file set as `hudson.Util#createFileSet` makes it: comma-separated lists, default excludes on request.
    #[must_use]
    pub fn new(
        includes: Option<&str>,
        excludes: Option<&str>,
        default_excludes: bool,
        case_sensitive: bool,
        follow_symlinks: bool,
    ) -> Self {
        let parse = |list: Vec<String>| -> Vec<Pattern> {
            list.iter().map(|mask| Pattern::parse(mask)).collect()
        };
        let includes =
            includes.and_then(split_masks).map_or_else(|| vec![Pattern::parse("**")], parse);
        let mut excludes = excludes.and_then(split_masks).map_or_else(Vec::new, parse);
        if default_excludes {
            excludes.extend(DEFAULT_EXCLUDES.iter().map(|mask| Pattern::parse(mask)));
        }
        Self::from_patterns(includes, excludes, case_sensitive, follow_symlinks)
    }

    pub(super) fn from_patterns(
        includes: Vec<Pattern>,
        excludes: Vec<Pattern>,
        case_sensitive: bool,
        follow_symlinks: bool,
    ) -> Self {
        Self {
            includes: Set::new(includes, case_sensitive),
            excludes: Set::new(excludes, case_sensitive),
            case_sensitive,
            follow_symlinks,
        }
    }

    /// Walks `dir`.
    ///
    /// # Errors
    /// An Ant `BuildException` when `dir` is missing, is no directory or cannot be listed; cancellation.
    pub fn scan(&self, dir: &Path, cancel: &Cancel) -> Result<ScanResult> {
        let mut walk = self.start(dir, cancel, None)?;
        walk.run()?;
        Ok(walk.result())
    }

    /// Whether anything matches; stops at the first match.
    ///
    /// # Errors
    /// As [`DirectoryScanner::scan`], and [`JavaClass::NoMatchesWithinBound`] when the bound is used up.
    pub(super) fn has_match(&self, dir: &Path, cancel: &Cancel, bound: Bound) -> Result<bool> {
        let mut walk = self.start(dir, cancel, Some(bound))?;
        walk.run()?;
        Ok(walk.found())
    }

    fn start<'a>(
        &'a self,
        dir: &'a Path,
        cancel: &'a Cancel,
        bound: Option<Bound>,
    ) -> Result<Walk<'a>> {
        let complain = |what: &str| {
            let dir = absolutize(dir);
            let dir = dir.to_string_lossy();
            match bound {
                None => FileError::new(JavaClass::Build, format!("{dir} {what}")),
                Some(_) => FileError::new(JavaClass::IllegalState, format!("basedir {dir} {what}")),
            }
        };
        match fs::metadata(dir) {
            Err(_) => return Err(complain("does not exist.")),
            Ok(metadata) if !metadata.is_dir() => return Err(complain("is not a directory.")),
            Ok(_) => {}
        }
        Ok(Walk {
            set: self,
            dir,
            cancel,
            bound,
            started: Instant::now(),
            operations: 0,
            scanned: HashSet::new(),
            files: Vec::new(),
            dirs: Vec::new(),
        })
    }
}

struct Walk<'a> {
    set: &'a DirectoryScanner,
    dir: &'a Path,
    cancel: &'a Cancel,
    bound: Option<Bound>,
    started: Instant,
    operations: u64,
    scanned: HashSet<Vec<u8>>,
    files: Vec<Vec<u8>>,
    dirs: Vec<Vec<u8>>,
}

/// A directory whose entries are being looked at.
struct Level {
    path: Vec<u8>,
    entries: std::vec::IntoIter<Entry>,
}

struct Entry {
    name: OsString,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    Link,
    Other,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<()> {
        let set = self.set;
        if !set.follow_symlinks && is_link(self.dir) {
            return Ok(());
        }
        if self.included(b"", &[])? && !set.excludes.matches(b"", &[]) {
            self.dirs.push(Vec::new());
        }
        let roots: Vec<(&Pattern, Vec<&str>)> = (set.includes.patterns.iter())
            .chain(&set.includes.literals)
            .filter(|pattern| !pattern.is_absolute())
            .map(|pattern| (pattern, pattern.fixed_prefix()))
            .collect();
        if roots.iter().any(|(_, prefix)| prefix.is_empty()) {
            return self.walk_from(Vec::new());
        }
        for (pattern, prefix) in roots {
            if self.done() {
                break;
            }
            self.visit_root(pattern, &prefix)?;
        }
        Ok(())
    }

    /// Looks at the place where a pattern's fixed prefix leads.
    fn visit_root(&mut self, pattern: &Pattern, prefix: &[&str]) -> Result<()> {
        self.cancel.check()?;
        if prefix.iter().any(|part| *part == "." || *part == "..") {
            return Ok(());
        }
        let Some(path) = self.resolve(prefix) else { return Ok(()) };
        let full = self.full(&path);
        if check_found(&full).is_err() {
            return Ok(());
        }
        let Ok(metadata) = fs::metadata(&full) else { return Ok(()) };
        let parts = split(&path);
        if !self.set.follow_symlinks {
            let mut step = self.dir.to_path_buf();
            for part in &parts {
                step.push(OsStr::from_bytes(part));
                if is_link(&step) {
                    return Ok(());
                }
            }
        }
        if metadata.is_dir() {
            if self.included(&path, &parts)? {
                let below = self.enters(&path, &parts)?;
                self.select_dir(&path, &parts);
                if !below {
                    return Ok(());
                }
            }
            return self.walk_from(path);
        }
        let text = String::from_utf8_lossy(&path);
        let same = if self.set.case_sensitive {
            pattern.text() == text
        } else {
            pattern.text().to_lowercase() == text.to_lowercase()
        };
        if metadata.is_file() && same {
            self.select_file(&path, &parts);
        }
        Ok(())
    }

    /// The relative path of an existing file with this name, in another case if the set ignores case.
    fn resolve(&self, prefix: &[&str]) -> Option<Vec<u8>> {
        let direct = prefix.join("/").into_bytes();
        if fs::metadata(self.full(&direct)).is_ok() {
            return Some(direct);
        }
        if self.set.case_sensitive {
            return None;
        }
        let mut path: Vec<u8> = Vec::new();
        for part in prefix {
            let folded = part.to_lowercase();
            let full = self.full(&path);
            check_found(&full).ok()?;
            let names: Vec<OsString> = fs::read_dir(full)
                .ok()?
                .filter_map(|entry| entry.ok().map(|e| e.file_name()))
                .collect();
            let exact = names.iter().find(|name| name.as_bytes() == part.as_bytes());
            let found = exact.or_else(|| {
                names.iter().find(|name| name.to_string_lossy().to_lowercase() == folded)
            })?;
            path = child(&path, found);
        }
        Some(path)
    }

    /// Walks a directory and everything below it that may hold a match.
    fn walk_from(&mut self, root: Vec<u8>) -> Result<()> {
        if self.scanned.contains(&root) {
            return Ok(());
        }
        let full = self.full(&root);
        let entries = list(&full).map_err(|_| {
            let dir = absolutize(&full);
            FileError::new(
                JavaClass::Build,
                format!("IO error scanning directory '{}'", dir.to_string_lossy()),
            )
        })?;
        self.scanned.insert(root.clone());
        let mut levels = vec![Level { path: root, entries: entries.into_iter() }];
        while let Some(level) = levels.last_mut() {
            let Some(entry) = level.entries.next() else {
                levels.pop();
                continue;
            };
            if self.done() {
                return Ok(());
            }
            self.cancel.check()?;
            let path = child(&level.path, &entry.name);
            if let Some(entries) = self.visit(&path, &entry, &levels)?
                && self.scanned.insert(path.clone())
            {
                levels.push(Level { path, entries: entries.into_iter() });
            }
        }
        Ok(())
    }

    /// Handles one entry; the entries below it when it is a directory to be walked.
    fn visit(
        &mut self,
        path: &[u8],
        entry: &Entry,
        levels: &[Level],
    ) -> Result<Option<Vec<Entry>>> {
        let link = entry.kind == Kind::Link;
        if link && !self.set.follow_symlinks {
            return Ok(None);
        }
        let full = self.full(path);
        if link && check_found(&full).is_err() {
            return Ok(None);
        }
        let directory = entry.kind == Kind::Directory
            || (link && fs::metadata(&full).is_ok_and(|m| m.is_dir()));
        let parts = split(path);
        let included = self.included(path, &parts)?;
        if !directory {
            if included {
                self.select_file(path, &parts);
            }
            return Ok(None);
        }
        let children = if self.enters(path, &parts)? {
            match list(&full) {
                Ok(children) => Some(children),
                Err(_) => {
                    // java.io.File#list gives null here, which Ant takes for "not a directory".
                    if included {
                        self.select_file(path, &parts);
                    }
                    return Ok(None);
                }
            }
        } else {
            None
        };
        if link && self.is_loop(&full, &entry.name, levels) {
            return Ok(None);
        }
        if included {
            self.select_dir(path, &parts);
        }
        Ok(children)
    }

    /// Whether a link leads back to directories of the same name often enough to be cut off
    /// (Ant `DirectoryScanner#causesIllegalSymlinkLoop`).
    fn is_loop(&self, full: &Path, name: &OsStr, levels: &[Level]) -> bool {
        let base = self.dir.file_name().unwrap_or_default();
        let named = |level: &&Level| {
            let last = Path::new(OsStr::from_bytes(&level.path)).file_name().unwrap_or(base);
            last == name
        };
        if levels.iter().filter(named).count() < MAX_LEVELS_OF_SYMLINKS {
            return false;
        }
        let Ok(target) = fs::canonicalize(full) else { return true };
        let same = |level: &&Level| {
            fs::canonicalize(self.full(&level.path)).is_ok_and(|path| path == target)
        };
        levels.iter().filter(named).filter(same).count() >= MAX_LEVELS_OF_SYMLINKS
    }

    fn included(&mut self, path: &[u8], parts: &[&[u8]]) -> Result<bool> {
        self.tick(2)?;
        Ok(self.set.includes.matches(path, parts))
    }

    /// Whether the walk goes into this directory (Ant `DirectoryScanner#scanDuringFastScan`).
    fn enters(&mut self, path: &[u8], parts: &[&[u8]]) -> Result<bool> {
        self.tick(1)?;
        let (set, case) = (self.set, self.set.case_sensitive);
        let holds = (set.includes.patterns.iter().chain(&set.includes.literals))
            .any(|pattern| pattern.could_match_below(parts, case));
        if !holds {
            return Ok(false);
        }
        let whole = |pattern: &Pattern| {
            pattern.text().strip_suffix("/**").is_some_and(|dir| dir.as_bytes() == path)
        };
        Ok(!set
            .excludes
            .patterns
            .iter()
            .any(|pattern| whole(pattern) || pattern.matches_whole_tree(parts, case)))
    }

    fn select_file(&mut self, path: &[u8], parts: &[&[u8]]) {
        if !self.set.excludes.matches(path, parts) {
            self.files.push(path.to_vec());
        }
    }

    fn select_dir(&mut self, path: &[u8], parts: &[&[u8]]) {
        if !self.set.excludes.matches(path, parts) {
            self.dirs.push(path.to_vec());
        }
    }

    fn tick(&mut self, operations: u64) -> Result<()> {
        let Some(bound) = self.bound else { return Ok(()) };
        if self.found() {
            return Ok(());
        }
        self.operations += operations;
        let late = self.operations.is_multiple_of(64) && self.started.elapsed() > bound.time;
        if self.operations > bound.operations || late {
            let message = format!("no matches found within {}", bound.operations);
            return Err(FileError::new(JavaClass::NoMatchesWithinBound, message));
        }
        Ok(())
    }

    fn found(&self) -> bool {
        !self.files.is_empty() || !self.dirs.is_empty()
    }

    /// A bounded walk needs only one match.
    fn done(&self) -> bool {
        self.bound.is_some() && self.found()
    }

    fn full(&self, path: &[u8]) -> PathBuf {
        if path.is_empty() {
            self.dir.to_path_buf()
        } else {
            self.dir.join(OsStr::from_bytes(path))
        }
    }

    fn result(self) -> ScanResult {
        let paths = |mut list: Vec<Vec<u8>>| {
            list.sort_unstable();
            list.dedup();
            list.into_iter().map(|path| PathBuf::from(OsString::from_vec(path))).collect()
        };
        ScanResult { files: paths(self.files), dirs: paths(self.dirs) }
    }
}

fn child(parent: &[u8], name: &OsStr) -> Vec<u8> {
    let mut path = Vec::with_capacity(parent.len() + 1 + name.len());
    path.extend_from_slice(parent);
    if !parent.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name.as_bytes());
    path
}

fn list(dir: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = match entry.file_type() {
            Ok(kind) if kind.is_dir() => Kind::Directory,
            Ok(kind) if kind.is_symlink() => Kind::Link,
            _ => Kind::Other,
        };
        entries.push(Entry { name: entry.file_name(), kind });
    }
    Ok(entries)
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}
